"""Every spelling in the kink table has the derivative that the table says, as has its page."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import functional, nn
from tinygrad_fm.debug.kink_table import KINKS, to_markdown

NAMES = {"np": np, "functional": functional, "nn": nn}


def function_of(spelling, arguments, names=NAMES):
    """The function that an expression in x, or in x and y, stands for."""
    parameters = "x, y" if len(arguments) == 2 else "x"
    return eval(f"lambda {parameters}: {spelling}", dict(names))


# name, function, PyTorch's spelling, arguments, gradients of the sum of the results
TABLE = [
    (f"{row.where}: {spelling}", function_of(spelling, row.arguments), row.peer, *examples)
    for row in KINKS
    for examples in [(row.arguments, row.gradients)]
    for spelling in row.spellings
]

each_kink = pytest.mark.parametrize(
    ("function", "arguments", "gradients"),
    [(row[1], *row[3:]) for row in TABLE],
    ids=[row[0] for row in TABLE],
)


@each_kink
def test_the_kink_table(function, arguments, gradients):
    tensors = [tg.Tensor(a, requires_grad=True, dtype=float) for a in arguments]
    with np.errstate(divide="ignore"):  # an infinite slope is a division by 0, and says so
        function(*tensors).sum().backward()
    for t, expected in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(t.grad, expected, rtol=1e-15)


@pytest.mark.parametrize("row", [row for row in KINKS if row.peer], ids=lambda row: row.where)
def test_the_kink_table_is_pytorchs(row):
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in row.arguments]
    function_of(row.peer, row.arguments, {"torch": torch})(*tensors).sum().backward()
    for t, expected in zip(tensors, row.gradients, strict=True):
        np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-14)


def test_the_reduction_by_a_ufunc_names_the_function_of_the_table():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for ufunc in (np.maximum, np.minimum):
        with pytest.raises(TypeError, match=r"np\.max or np\.min"):
            ufunc.reduce(x)


def test_the_page_of_the_table_is_current():
    page = Path(__file__).parents[2] / "docs" / "kinks.md"
    assert page.read_text(encoding="utf-8") == to_markdown(), (
        "write it anew: python -m tinygrad_fm.debug > docs/kinks.md"
    )


def test_one_command_writes_the_page():
    command = [sys.executable, "-X", "utf8", "-m", "tinygrad_fm.debug"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == to_markdown().splitlines()


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
