"""What the reports say, as printed and as corrected, goes through check_backward."""

from dataclasses import replace
from itertools import pairwise

import cheng
import dewangan
import kong
import korssjoen
import numpy as np
import pytest
from equation import REGISTRY
from layers_by_hand import LAYERS
from networks import ACTIVATIONS, HIDDEN, LOSSES, Network
from steps_by_hand import STEPS
from test_whole_networks import targets

from tinygrad_fm.testing import CannotRunError, check_backward

NO_LAYER = {
    cheng.newton_as_named: "a name: what it names is gradient descent, which is checked",
    dewangan.numerical_gradient: "a derivative without a backward pass",
    dewangan.numerical_gradient_as_said: "a size of differences",
    korssjoen.convex_in_weights: "an inequality",
    korssjoen.normal_after_batch_norm: "moments of a result",
    kong.numerical_gradient: "a derivative without a backward pass",
    kong.early_stopping: "a rule of when to stop",
    kong.early_stopping_late: "a rule of when to stop",
    kong.early_stopping_nan: "a rule of when to stop",
}


def covered(checks):
    return {equation for equations, *_ in checks for equation in equations}


def name_of(check):
    return str(check[0][-1])


def test_every_equation_is_checked_or_is_no_layer():
    checked = covered(LAYERS) | covered(STEPS)
    assert not checked & set(NO_LAYER)
    assert not set(REGISTRY) - checked - set(NO_LAYER), "add it to LAYERS, STEPS or NO_LAYER"
    wrong = {e for e in checked if not e.right}
    assert wrong <= {check[0][-1] for check in (*LAYERS, *STEPS)}  # a form of the last is run


@pytest.mark.parametrize("check", LAYERS, ids=name_of)
def test_a_layer_as_printed_is_right_or_its_mistake_is_found(check):
    (*_, equation), report_on, said = check
    try:
        report = report_on(equation.printed)
    except CannotRunError as error:
        report = error
    else:
        assert said or report.verdict == "right", str(report)
    assert said in str(report)


@pytest.mark.parametrize("check", [c for c in LAYERS if c[0][-1].corrected_form], ids=name_of)
def test_a_layer_as_corrected_is_right(check):
    (*_, equation), report_on, _ = check
    report = report_on(equation.corrected_form)
    assert report.is_right, str(report)
    assert report.convention in ("", "the sign")  # report 004's delta is minus the gradient


@pytest.mark.parametrize("check", STEPS, ids=name_of)
def test_a_rule_of_updating_is_recognised_or_its_mistake_is_found(check):
    (*_, equation), report_on, said, of_corrected = check
    assert said in str(report_on(equation.printed))
    if equation.corrected_form is not None:
        report = report_on(equation.corrected_form)
        assert report.verdict == "right", str(report)
        assert of_corrected in str(report)


# ---- whole networks ------------------------------------------------------------------------------


def check_network(kind, loss, hidden, last):
    rng = np.random.default_rng(0)
    widths = [4, *(5 for _ in hidden), 3]
    layers = [
        [rng.standard_normal((n, m)) / 2, rng.standard_normal(m) / 2] for n, m in pairwise(widths)
    ]
    x, t = rng.standard_normal((6, 4)), targets(loss, 6, 3, rng)
    return check_backward(
        lambda: kind(layers, [*hidden, last], loss, x, t),
        data=(x, t),
        loss=lambda net, x, t: replace(net, x=x, t=t).error(),
        backward=lambda net, x, t: replace(net, x=x, t=t).gradients(),
    )


WHOLE = [(loss, last) for loss in LOSSES for last in LOSSES[loss].outputs]


@pytest.mark.parametrize("hidden", [(), *((name,) for name in HIDDEN), HIDDEN], ids=str)
@pytest.mark.parametrize(("loss", "last"), WHOLE)
def test_a_network_of_the_recursion_is_right(loss, last, hidden):
    report = check_network(Network, loss, hidden, last)
    assert report.verdict == "right", str(report)


class ByHand(Network):
    """The recursion with one of its lines as a method, to be written as a report has it."""

    def delta(self, i, z, a, towards):
        return ACTIVATIONS[self.activations[i]].slope(a[i]) * towards

    def gradients(self):
        z, a = self.forward()
        found = []
        towards = LOSSES[self.loss].delta(z[-1], self.t)
        for i in reversed(range(len(self.layers))):
            delta = self.delta(i, z, a, towards)
            found.insert(0, [-z[i].T @ delta, -delta.sum(axis=0)])
            towards = delta @ self.layers[i][0].T
        return found


class AtOutput(ByHand):
    """Report 001's code: the slope is taken of what the layer gave."""

    def delta(self, i, z, a, towards):
        return ACTIVATIONS[self.activations[i]].slope(z[i + 1]) * towards


class MaskOfGradient(ByHand):
    """Report 000's (3.2.2)."""

    def delta(self, i, z, a, towards):
        if self.activations[i] != "relu":
            return towards
        return np.maximum(towards, 0)


@pytest.mark.parametrize(
    ("kind", "hidden", "said"),
    [
        (AtOutput, ("tanh",), "the derivative of tanh is taken at its output"),
        (AtOutput, ("sigmoid",), "the derivative of sigmoid is taken at its output"),
        (AtOutput, ("tanh", "sigmoid"), "the derivative of sigmoid is taken at its output"),
        (MaskOfGradient, ("relu",), "the mask of maximum is taken of the gradient"),
        (MaskOfGradient, ("relu", "relu"), "the mask of maximum is taken of the gradient"),
    ],
)
def test_a_mistake_of_a_report_is_found_in_a_whole_network(kind, hidden, said):
    loss = "softmax cross-entropy"
    assert check_network(ByHand, loss, hidden, "identity").verdict == "right"
    report = check_network(kind, loss, hidden, "identity")
    assert report.verdict == "wrong"
    assert said in str(report)
    assert "towards" in report.line.source or "slope" in report.line.source
