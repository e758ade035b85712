"""The peculiarities of the reports' programs: each is what its formula says."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim
from tinygrad_fm.reports import anomaly
from tinygrad_fm.reports.cheng import coded_bce, coded_sigmoid
from tinygrad_fm.reports.decay import DecayedSGD
from tinygrad_fm.reports.gradient_check import central, difference
from tinygrad_fm.reports.training import MultiplyLR
from tinygrad_fm.reports.zheng import CodedPenalty, DrawsValidationToo


class Weights(nn.Module):
    def __init__(self, weight, bias):
        self.weight, self.bias = nn.Parameter(np.array(weight)), nn.Parameter(np.array(bias))


def test_report_000_logs_the_norm_and_descends_its_square():
    model = Weights([[3.0, 4.0]], [5.0])
    penalty = CodedPenalty(0.01)(model)
    penalty.backward()
    assert penalty.item() == pytest.approx(0.05)
    np.testing.assert_allclose(model.weight.grad.data, [[0.06, 0.08]])
    assert model.bias.grad is None


def test_report_000_draws_ten_validation_images_after_each_batch():
    drawn, again = np.random.RandomState(3), np.random.RandomState(3)
    both = DrawsValidationToo(drawn, 100)
    for _ in range(2):
        rows = both.choice(np.arange(100), 64, replace=False)
        np.testing.assert_array_equal(rows, again.choice(np.arange(100), 64, replace=False))
        again.choice(np.arange(10_000), 10, replace=False)


def test_report_001_takes_the_slope_of_a_sigmoid_at_its_output():
    slope = tg.grad(lambda a: coded_sigmoid(a))(6.0)
    assert slope == pytest.approx(0.196836, abs=5e-7)
    assert coded_sigmoid(0.0) == 0.5


def test_report_001_divides_by_another_small_number_than_it_adds():
    p, t = np.array([[0.9, 0.2], [0.3, 0.6]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    loss = coded_bce(p, t)
    expected = -np.sum(t * np.log(p) + (1 - t) * np.log(1 + 2e-7 - p)) / 2
    assert float(loss) == pytest.approx(expected)
    gradient = tg.grad(lambda q: coded_bce(q, t))(p)
    np.testing.assert_allclose(gradient, (p - t) / (p * (1 + 1e-5 - p)) / 2)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("squares", 0.5 - 0.03 * 0.01 * 2 * 0.5 - 0.03 * 2),
        ("absolute", 0.5 - 0.03 * 0.01 - 0.03 * 2),
        ("unscaled", 0.5 * (1 - 0.01) - 0.03 * 2),
    ],
)
def test_decay_shrinks_weights_beside_the_step(form, expected):
    w = tg.Tensor(np.array([0.5]), requires_grad=True)
    w.grad = tg.Tensor(np.array([2.0]))
    DecayedSGD([w], lr=0.03, decay=0.01, decay_form=form).step()
    np.testing.assert_allclose(w.data, [expected], rtol=1e-14)


def test_decay_does_not_pass_through_the_momentum():
    """Report 004: m <- .9 m + .1 g, w <- w - lr m - lr decay 2 w."""
    w = tg.Tensor(np.array([0.5]), requires_grad=True)
    optimizer = DecayedSGD([w], lr=0.1, momentum=0.9, form="averaged", decay=0.2)
    value = np.array([0.5])
    m = 0.0
    for g in (1.0, -2.0, 0.5):
        w.grad = tg.Tensor(np.array([g]))
        optimizer.step()
        m = 0.9 * m + 0.1 * g
        value = value - 0.1 * m - 0.1 * 0.2 * 2 * value
        np.testing.assert_allclose(w.data, value, rtol=1e-14)


def test_without_decay_it_is_sgd():
    steps = []
    for kind in (optim.SGD, DecayedSGD):
        w = tg.Tensor(np.array([0.5, -1.0]), requires_grad=True)
        optimizer = kind([w], lr=0.1, momentum=0.9)
        for g in ([1.0, 2.0], [3.0, -1.0]):
            w.grad = tg.Tensor(np.array(g))
            optimizer.step()
        steps.append(w.data.copy())
    np.testing.assert_array_equal(*steps)


def test_settings_of_decay_are_checked():
    w = tg.Tensor(np.array([0.5]), requires_grad=True)
    with pytest.raises(ValueError, match="decay is at least 0"):
        DecayedSGD([w], lr=0.1, decay=-1)
    with pytest.raises(ValueError, match="decay_form is one of"):
        DecayedSGD([w], lr=0.1, decay_form="l3")


def test_the_rate_is_multiplied_as_a_loop_would():
    w = tg.Tensor(np.array([0.5]), requires_grad=True)
    optimizer = optim.SGD([{"parameters": [w], "lr": 0.3}], lr=0.1)
    rate = 0.3
    for _ in range(20):
        MultiplyLR(0.9).on_epoch_end(type("State", (), {"optimizer": optimizer}))
        rate *= 0.9
    assert optimizer.lr == rate


def test_a_numerical_gradient_leaves_the_parameter_as_it_was():
    w = tg.Tensor(np.array([0.3, 0.7]), requires_grad=True)

    def loss():
        return np.sum(np.tanh(w) ** 3)

    assert central(loss, w, (1,), 1e-5) == pytest.approx(
        3 * np.tanh(0.7) ** 2 * (1 - np.tanh(0.7) ** 2)
    )
    assert abs(difference(loss, w, (0,), 1e-5)) < 1e-9
    np.testing.assert_array_equal(w.data, [0.3, 0.7])


SAID = np.array([0, 1, 2, 0, 5, 5, 0, 1])
TRUE = np.array([0, 1, 2, 3, 5, 4, 1, 2])


def test_some_slips_are_right_for_batches_and_wrong_for_single_images():
    right = anomaly.SLIPS["right"](SAID, TRUE, 1)
    assert right == 0.5
    found = {
        name: (slip(SAID, TRUE, 1) == right, slip(SAID, TRUE, 128) == right)
        for name, slip in anomaly.SLIPS.items()
    }
    assert [name for name, kind in found.items() if kind == (False, True)] == [
        "one-hot row",
        "divided by 128",
        "last batch alone",
    ]


def test_a_class_beside_a_one_hot_row_counts_zeros_and_ones_of_the_row():
    rows = np.eye(10)[TRUE]
    expected = np.mean(
        [np.mean(np.array([said]) == row) for said, row in zip(SAID, rows, strict=True)]
    )
    assert anomaly.SLIPS["one-hot row"](SAID, TRUE, 1) == pytest.approx(expected)
