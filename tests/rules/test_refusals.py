"""What a rule does not know is refused when the function is called, with the way out."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor

REFUSED = {
    "reshape by memory": (lambda x: np.reshape(x, -1, order="A"), "order='A'.*write order='C'"),
    "ravel by memory": (lambda x: np.ravel(x, order="K"), "order='K'"),
    "sum where": (lambda x: np.sum(x, where=np.ones(3, bool)), "does not know where="),
    "max initial": (lambda x: np.max(x, initial=0.0), "does not know initial="),
    "pad mean": (lambda x: np.pad(x, 1, mode="mean"), "mode='mean'"),
    "stack of shapes": (lambda x: np.stack([x, x[0]]), r"one shape, not of \[\(2, 3\), \(3,\)\]"),
    "tensordot lengths": (lambda x: np.tensordot(x, x, axes=1), r"axes \(-1,\) of \(2, 3\)"),
    "einsum terms": (lambda x: np.einsum("ij,jk", x), "names 2 operands, not 1"),
    "einsum letters": (lambda x: np.einsum("ijk->i", x), "'ijk' does not fit 2 dimensions"),
    "nansum where": (lambda x: np.nansum(x, where=True), r"np\.nansum does not know where=True"),
    "median weights": (lambda x: np.quantile(x, 0.5, weights=x), "does not know weights="),
    "method where": (lambda x: x.sum(where=np.ones(3, bool)), r"np\.where\(mask, x, 0\)"),
    "method initial": (lambda x: x.max(initial=2.0), r"np\.maximum\(np\.max\(x\), initial\)"),
    "variance correction": (lambda x: x.var(correction=1), "write ddof="),
    "add dtype": (lambda x: np.add(x, 1, dtype=np.float32), r"x\.astype\(dtype\)"),
    "clip dtype": (lambda x: np.clip(x, 0, 1, dtype=np.float32), r"np\.clip does not know dtype="),
    "joining as integers": (lambda x: np.concatenate([x, x], dtype=int), "float64 into .*int"),
    "a safe cast": (lambda x: x.astype(np.float32, casting="safe"), "by the rule 'safe'"),
    "quantile's q": (lambda x: np.quantile(x, x[0, 0] / 2), "without losing its graph"),
    "histogram": (np.histogram, r"np\.histogram has no derivative rule"),
    "fit": (lambda x: np.polyfit(x[0], x[1], 1), r"np\.polyfit has no derivative rule"),
    "fft": (np.fft.fft, r"np\.fft\.fft computes with complex numbers"),
    "eigenvalues": (
        lambda x: np.linalg.eigvals(x @ x.T),
        r"np\.linalg\.eigvals computes with",
    ),
    "complex roots": (np.emath.sqrt, "scimath.sqrt computes with complex numbers"),
    "complex factor": (lambda x: x * 1j, "multiply gave a result of dtype complex128"),
    "complex dtype": (lambda x: x.astype(complex), "astype gave a result of dtype complex128"),
    "complex seed": (lambda x: x.backward(np.ones((2, 3)) * 1j), "gradient= has the dtype complex"),
    "complex pull": (lambda x: tg.vjp(np.tanh, np.ones(2))[1](np.ones(2) * 1j), "dtype complex128"),
    "complex tangent": (lambda x: tg.jvp(np.tanh, (1.0,), (1j,)), "dtype complex128"),
    "svd, not square": (np.linalg.svd, "write full_matrices=False"),
    "svd, hermitian": (lambda x: np.linalg.svd(x, hermitian=True), "write np.linalg.eigh"),
    "qr, complete": (lambda x: np.linalg.qr(x.T, "complete"), r"mode='complete'.*\(3, 2\)"),
    "norm of what": (lambda x: np.linalg.norm(x, "max"), "not 'max'"),
    "norm without axis": (lambda x: np.linalg.norm(x[None], 1), r"axis=.*\(1, 2, 3\)"),
    "cross of two": (lambda x: np.cross(x[:, :2], x[:, :2]), r"a\[\.\.\., 0\] \* b"),
    "choose outside": (lambda x: np.choose(np.array([0, 2]), [x, x]), "not within 0 and 1"),
    "select lengths": (lambda x: np.select([x > 0], [x, x]), "2 choices for 1 conditions"),
    "average lengths": (lambda x: np.average(x, axis=1, weights=[1.0, 2.0]), r"shape \(3,\)"),
    "gradient spacings": (
        lambda x: np.gradient(x, 1.0, 1.0, 1.0),
        "each of 2 axes, not 3",
    ),
    "gradient, few points": (lambda x: np.gradient(x, axis=0, edge_order=2), "3 points or more"),
    "window too long": (
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 4, axis=1),
        r"window of 4 does not fit axis 1 of shape \(2, 3\)",
    ),
}


@pytest.mark.parametrize(("call", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_unknown_is_refused_at_the_call(call, says):
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=says):
        call(x)


def test_the_nearest_functions_are_named_as_one_writes_them():
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(TypeError, match=r"near it: .*np\.linspace") as raised:
        np.geomspace(x, 2.0)
    assert "tg.defvjp(np.geomspace, ...)" in str(raised.value)


def test_where_nothing_is_recorded_every_keyword_works():
    x = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    mask = np.array([True, True, False])
    for call in (
        lambda x: np.nansum(x, where=mask),
        lambda x: np.nanmean(x, axis=0, dtype=np.float32),
        lambda x: np.median(x, 0, None, True, True),
        lambda x: np.cov(x[1:], fweights=[1, 2, 1]),
    ):
        np.testing.assert_array_equal(call(Tensor(x)).data, call(x))
