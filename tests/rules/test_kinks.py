"""The kink table: what the derivative is where none exists, and at the edges of domains.

The numbers are PyTorch's wherever it has a convention; `peer` is its function, compared where
PyTorch is installed. None: ours departs from it, or it has no such function.
"""

from functools import partial
from operator import attrgetter

import numpy as np
import pytest

import tinygrad_fm as tg
import tinygrad_fm.functional as fm

INF, NAN = np.inf, np.nan
C, O3, I2 = np.array([True, False]), np.arange(1.0, 4), [[1, 0], [0, 1]]

# name, function, PyTorch's, arguments, gradients of the sum of the results
TABLE = [
    ("abs at 0", np.abs, "abs", [[-1, 0, 1]], [[-1, 0, 1]]),
    ("fabs at 0", np.fabs, "abs", [[-1, 0, 1]], [[-1, 0, 1]]),
    ("maximum, tie", np.maximum, "maximum", [[1, 2, 3], [2, 2, 2]], [[0, 0.5, 1], [1, 0.5, 0]]),
    ("minimum, tie", np.minimum, "minimum", [[1, 2, 3], [2, 2, 2]], [[1, 0.5, 0], [0, 0.5, 1]]),
    ("maximum with 0", lambda x: np.maximum(x, 0), "clamp0", [[0, 1]], [[0.5, 1]]),
    ("max, tie", np.max, "amax", [[1, 2, 2]], [[0, 0.5, 0.5]]),
    ("min, tie", np.min, "amin", [[1, 1, 1, 2]], [[1 / 3, 1 / 3, 1 / 3, 0]]),
    (
        "max, ties by row",
        lambda x: np.max(x, axis=1),
        "amax1",
        [[[3, 3], [0, 1]]],
        [[[0.5, 0.5], [0, 1]]],
    ),
    (
        "clip at its edges",
        lambda x: np.clip(x, -1, 1),
        "clamp",
        [[-2, -1, 0, 1, 2]],
        [[0, 1, 1, 1, 0]],
    ),
    ("relu at 0", fm.relu, "relu", [[-1, 0, 1]], [[0, 0, 1]]),
    ("leaky_relu at 0", fm.leaky_relu, "leaky_relu", [[-1, 0, 1]], [[0.01, 0.01, 1]]),
    ("sqrt at 0", np.sqrt, "sqrt", [[0, 4]], [[INF, 0.25]]),
    ("log at 0", np.log, "log", [[0, 2]], [[INF, 0.5]]),
    ("arcsin at 1", np.arcsin, "asin", [[1, 0]], [[INF, 1]]),
    ("arccos at 1", np.arccos, "acos", [[1, 0]], [[-INF, -1]]),
    ("arctanh at 1", np.arctanh, "atanh", [[1, 0]], [[INF, 1]]),
    ("arccosh at 1", np.arccosh, "acosh", [[1]], [[INF]]),
    ("cbrt at 0", np.cbrt, None, [[0, 1]], [[INF, 1 / 3]]),
    ("prod, one zero", np.prod, "prod", [[2, 0, 3]], [[0, 6, 0]]),
    ("prod, two zeros", np.prod, "prod", [[0, 0, 3]], [[0, 0, 0]]),
    ("std of a constant", np.std, "std", [[2, 2, 2]], [[0, 0, 0]]),
    ("0 ** b", np.power, "pow", [[0, 0, 0, 0], [0, 1, 2, 0.5]], [[0, 1, 0, INF], [0, 0, 0, 0]]),
    ("x ** 2 at 0", lambda x: x**2, "square", [[0]], [[0]]),
    ("x ** 1 at 0", lambda x: x**1, None, [[0]], [[1]]),
    ("x ** 0 at 0", lambda x: x**0, None, [[0]], [[0]]),
    ("0 ** b, number", lambda b: 0.0**b, None, [[1, 2]], [[0, 0]]),
    ("hypot at (0, 0)", np.hypot, None, [[0, 3], [0, 4]], [[0, 0.6], [0, 0.8]]),
    ("where", lambda x, y: np.where(C, x, y), "where", [[0, 1], [2, 3]], [[1, 0], [0, 1]]),
    ("where x > 0, at 0", lambda x: np.where(x > 0, x, 3 * x), None, [[0, 1]], [[3, 1]]),
    ("a mask, at 0", lambda x: x[x >= 0], None, [[-1, 0, 1]], [[0, 1, 1]]),
    ("remainder, multiple", np.remainder, "remainder", [[4], [2]], [[1], [-2]]),
    ("fmod, negative", np.fmod, "fmod", [[-5], [3]], [[1], [1]]),
    ("logaddexp of equals", np.logaddexp, "logaddexp", [[1], [1]], [[0.5], [0.5]]),
    ("logaddexp of infinity", np.logaddexp, None, [[INF], [0]], [[1], [0]]),
    ("fmax, tie", np.fmax, "fmax", [[1, 2, 3], [2, 2, 2]], [[0, 1, 1], [1, 0, 0]]),
    ("fmin, tie", np.fmin, "fmin", [[1, 2, 3], [2, 2, 2]], [[1, 1, 0], [0, 0, 1]]),
    ("fmax of NaN", np.fmax, "fmax", [[NAN, 1], [1, NAN]], [[0, 1], [1, 0]]),
    ("copysign at 0", lambda x: np.copysign(x, -1.0), "copysign", [[0, 1, -2]], [[0, -1, 1]]),
    ("heaviside at 0", partial(np.heaviside, np.array([0.0, 1.0])), None, [[2, 2]], [[1, 0]]),
    ("modf at an integer", lambda x: np.modf(x)[0], "frac", [[1, -1, 0.5]], [[1, 1, 1]]),
    ("sinc at 0", np.sinc, "sinc", [[0, 1]], [[0, -1]]),
    ("nan_to_num", np.nan_to_num, "nan_to_num", [[NAN, INF, -INF, 1]], [[0, 0, 0, 1]]),
    ("norm at 0", np.linalg.norm, "norm2", [[0, 0]], [[0, 0]]),
    ("norm of a matrix at 0", np.linalg.norm, "norm_fro", [[[0, 0], [0, 0]]], [[[0, 0], [0, 0]]]),
    ("1-norm at 0", lambda x: np.linalg.norm(x, 1), "norm1", [[0, -2]], [[0, -1]]),
    ("3-norm at 0", lambda x: np.linalg.norm(x, 3), "norm3", [[0, 0]], [[0, 0]]),
    ("1/2-norm, one 0", lambda x: np.linalg.norm(x, 0.5), "norm0.5", [[0, 4]], [[0, 1]]),
    ("inf-norm, tie", lambda x: np.linalg.norm(x, INF), "norminf", [[0, 3, -3]], [[0, 0.5, -0.5]]),
    ("sort, tie", lambda x: np.sort(x) * O3, "sort", [[2, 1, 1]], [[3, 1, 2]]),
    ("median, tie", np.median, "quantile", [[2, 2, 2]], [[0, 1, 0]]),
    ("median of four, tie", np.median, "quantile", [[2, 2, 2, 2]], [[0, 0.5, 0.5, 0]]),
    ("ptp, ties", np.ptp, "ptp", [[1, 1, 2, 2]], [[-0.5, -0.5, 0.5, 0.5]]),
    ("nansum", np.nansum, "nansum", [[NAN, 1]], [[0, 1]]),
    ("nanmax, tie", np.nanmax, None, [[NAN, 1, 1]], [[0, 0.5, 0.5]]),
    ("cumprod, zeros", np.cumprod, "cumprod0", [[2, 0, 3, 0, 4]], [[1, 8, 0, 0, 0]]),
    ("interp at a point", lambda x: np.interp(x, [0, 1, 2], [0, 1, 3]), None, [[1, 2]], [[2, 2]]),
    ("interp outside", lambda x: np.interp(x, [0, 1], [0, 1]), None, [[-1, 2]], [[0, 0]]),
    ("eigenvalues, equal", np.linalg.eigvalsh, "linalg.eigvalsh", [I2], [I2]),
    ("singular values, equal", np.linalg.svdvals, "linalg.svdvals", [I2], [I2]),
]


def peers(torch):
    """PyTorch's functions by the names of the table."""
    functional = torch.nn.functional
    special = {
        "clamp0": lambda x: torch.maximum(x, torch.zeros_like(x)),
        "amax1": lambda x: torch.amax(x, dim=1),
        "clamp": lambda x: torch.clamp(x, -1, 1),
        "leaky_relu": functional.leaky_relu,
        "std": lambda x: torch.std(x, correction=0),
        "where": lambda x, y: torch.where(torch.tensor(C), x, y),
        "copysign": lambda x: torch.copysign(x, -1.0),
        "norm_fro": torch.linalg.matrix_norm,
        "sort": lambda x: torch.sort(x).values * torch.tensor(O3),
        "quantile": lambda x: torch.quantile(x, 0.5),
        "ptp": lambda x: torch.amax(x) - torch.amin(x),
        "cumprod0": lambda x: torch.cumprod(x, 0),
    }
    for order in ("2", "1", "3", "0.5", "inf"):
        special["norm" + order] = partial(torch.linalg.vector_norm, ord=float(order))
    return lambda name: special.get(name) or attrgetter(name)(torch)


each_kink = pytest.mark.parametrize(
    ("function", "peer", "arguments", "gradients"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)


@each_kink
def test_the_kink_table(function, peer, arguments, gradients):
    tensors = [tg.Tensor(a, requires_grad=True, dtype=float) for a in arguments]
    with np.errstate(divide="ignore"):  # an infinite slope is a division by 0, and says so
        function(*tensors).sum().backward()
    for t, expected in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(t.grad, expected, rtol=1e-15)


@each_kink
def test_the_kink_table_is_pytorchs(function, peer, arguments, gradients):
    torch = pytest.importorskip("torch")
    if peer is None:
        pytest.skip("no convention of PyTorch's, or not ours")
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arguments]
    peers(torch)(peer)(*tensors).sum().backward()
    for t, expected in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-14)


def test_a_recorded_backward_pass_obeys_the_same_table():
    for name, function, _, arguments, gradients in TABLE:
        tensors = [tg.Tensor(a, requires_grad=True, dtype=float) for a in arguments]
        with np.errstate(divide="ignore"):
            function(*tensors).sum().backward(create_graph=True)
        for t, expected in zip(tensors, gradients, strict=True):
            np.testing.assert_allclose(t.grad.data, expected, rtol=1e-15, err_msg=name)


@pytest.mark.parametrize(
    ("function", "x", "curvature"),
    [
        (np.abs, [0.0, 1.0], [0.0, 0.0]),
        (lambda x: np.maximum(x, 0), [0.0, 1.0], [0.0, 0.0]),
        (lambda x: np.clip(x, -1, 1), [-1.0, 0.0], [0.0, 0.0]),
        (lambda x: np.max(x) + 0 * x, [1.0, 1.0], [0.0, 0.0]),
        (lambda x: x**2, [0.0, 1.0], [2.0, 2.0]),
        (lambda x: x**3.0, [0.0, 1.0], [0.0, 6.0]),
        (lambda x: np.prod(x) + 0 * x, [0.0, 0.0], [2.0, 2.0]),
        (lambda x: np.cumprod(x)[1] + 0 * x, [0.0, 0.0], [2.0, 2.0]),
        (np.sinc, [0.0, 0.0], [-(np.pi**2) / 3] * 2),
        (lambda x: np.sort(x) ** 2, [1.0, 1.0], [2.0, 2.0]),
    ],
    ids=["abs", "maximum", "clip", "max", "square", "cube", "prod", "cumprod", "sinc", "sort"],
)
def test_second_derivatives_at_kinks_are_finite(function, x, curvature):
    product = tg.hvp(lambda t: np.sum(function(t)), np.array(x), np.ones(2))
    np.testing.assert_allclose(product, curvature)
