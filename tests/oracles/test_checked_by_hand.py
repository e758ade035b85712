"""The reports' layers as people write them, forward and backward, go through check_backward."""

import numpy as np
import pytest
import zheng
from kong import _softmax
from korssjoen import leaky_relu, leaky_relu_backward

from tinygrad_fm.testing import check_backward

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((5, 4)), RNG.standard_normal((4, 3)), RNG.standard_normal(3)
LABELS = RNG.integers(0, 3, 5)
TARGETS = np.eye(3)[LABELS]


def linear_backward(dout, X, W, b):
    dX = zheng.linear_dx(X, W, b, dout)
    dW = zheng.linear_dw(X, W, b, dout)
    db = zheng.linear_db(X, W, b, dout)
    return dX, dW, db


def cross_entropy_loss(x, t):
    return zheng.cross_entropy(x, t), zheng.cross_entropy_gradient(x, t)


def delta_loss(a, t):
    """Report 004, (1): delta is minus the gradient, summed over the samples."""
    loss = -np.sum(t * np.log(_softmax(a)))
    return loss, t - _softmax(a)


RIGHT = {
    "000, 3.1.1 to 3.1.3": lambda: check_backward(
        (lambda X, W, b: zheng.linear(X, W, b), linear_backward), X, W, B
    ),
    "000, 3.2.1, as corrected": lambda: check_backward(
        (lambda Y: zheng.relu(Y), lambda dout, Y: zheng.relu_backward_corrected(Y, dout)), X
    ),
    "000, 3.2.5 and 3.2.6": lambda: check_backward(
        (lambda Y: zheng.tanh_forward(Y), lambda dout, Y: zheng.tanh_backward(Y, dout)), X
    ),
    "000, 3.2.9 and 3.2.10": lambda: check_backward(
        (lambda Y: zheng.sigmoid_forward(Y), lambda dout, Y: zheng.sigmoid_backward(Y, dout)), X
    ),
    "000, 3.3.3 and 3.3.5": lambda: check_backward(cross_entropy_loss, X, np.eye(4)[LABELS]),
    "003, (1)": lambda: check_backward(
        (
            lambda x, alpha: leaky_relu(x, alpha),
            lambda dout, x, alpha: leaky_relu_backward(x, dout, alpha),
        ),
        X,
        0.1,
    ),
}


@pytest.mark.parametrize("layer", RIGHT)
def test_what_is_right_as_printed_passes(layer):
    report = RIGHT[layer]()
    assert report.verdict == "right", str(report)


def test_the_printed_backward_of_relu_is_found_and_named():
    report = check_backward(
        (lambda Y: zheng.relu(Y), lambda dout, Y: zheng.relu_backward(Y, dout)), X
    )
    assert not report.is_right
    assert "mask" in str(report)


def test_the_negative_delta_of_report_004_is_a_convention():
    report = check_backward(delta_loss, RNG.standard_normal((5, 3)), TARGETS)
    assert report.verdict == "right up to a convention"
    assert report.convention == "the sign"
