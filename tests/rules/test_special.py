"""SciPy's ufuncs are recognised by name when SciPy is there, and only SciPy's own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm.rules.special import RULES, find, is_special
from tinygrad_fm.testing import check_grads

special = pytest.importorskip("scipy.special")


def test_a_name_alone_is_not_enough():
    assert special.exp2 is not np.exp2  # each has the name of the other
    assert is_special(special.exp2)
    assert not is_special(np.exp2)
    assert find(np.frompyfunc(len, 1, 1)) is None


def test_every_name_is_scipys():
    unknown = [n for n in RULES if not hasattr(special, n) and not hasattr(special._ufuncs, n)]
    assert unknown == []


def test_nothing_imports_scipy():
    program = (
        "import sys, numpy as np, tinygrad_fm as tg\n"
        "x = tg.Tensor([1.0, 2.0], requires_grad=True)\n"
        "np.tanh(np.divmod(x, 2)[1]).sum().backward()\n"
        "assert not any(m.split('.')[0] == 'scipy' for m in sys.modules)\n"
        "from scipy import special\n"
        "y = special.gammaln(x); y.sum().backward()\n"
        "print(y.node.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])},
    )
    assert done.stdout.strip() == "gammaln"


def test_an_order_has_no_derivative_and_says_so():
    v = tg.Tensor(1.5, requires_grad=True)
    with pytest.raises(TypeError, match="jv has no derivative rule for argument 0"):
        special.jv(v, 2.0)


def test_what_has_no_rule_names_scipys_nearest():
    x = tg.Tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError, match=r"scipy\.special\.ellipkm1 has no derivative rule"):
        special.ellipkm1(x)


@pytest.mark.parametrize(
    ("function", "arguments", "gradients"),
    [
        (special.xlogy, [[0, 0, 1], [0, 1, 2]], [[0, 0, np.log(2)], [0, 0, 0.5]]),
        (special.xlog1py, [[0, 0], [-1, 1]], [[0, np.log(2)], [0, 0]]),
        (special.entr, [[0, 1]], [[np.inf, -1]]),
        (special.logit, [[0, 1]], [[np.inf, np.inf]]),
        (special.i0e, [[0]], [[0]]),
        (special.i1e, [[0]], [[0.5]]),
        (special.j1, [[0]], [[0.5]]),
        (special.log_ndtr, [[-50, 40]], [[50 + 1 / 50 - 2 / 50**3 + 10 / 50**5, 0]]),
    ],
    ids=["xlogy", "xlog1py", "entr", "logit", "i0e", "i1e", "j1", "log_ndtr"],
)
def test_at_edges(function, arguments, gradients):
    tensors = [tg.Tensor(a, requires_grad=True, dtype=float) for a in arguments]
    with np.errstate(all="ignore"):
        function(*tensors).sum().backward()
    for t, expected in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(t.grad, expected, rtol=1e-9, atol=1e-300)


def test_a_second_derivative_of_xlogy_at_0_is_right():
    mixed = tg.grad(lambda y: tg.grad(lambda x: special.xlogy(x, y))(0.0))(2.0)
    np.testing.assert_allclose(mixed, 0.5)


def test_a_negative_binomial_likelihood():
    def likelihood(r, p):
        k = np.array([0.0, 2.0, 5.0])
        choices = special.gammaln(k + r) - special.gammaln(r)
        return np.sum(choices + special.xlogy(k, p) + r * special.log1p(-p))

    check_grads(likelihood, 2.5, 0.3)
