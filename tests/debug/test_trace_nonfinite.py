"""trace_nonfinite names the first operation, forward or backward, that made a NaN, and why."""

import warnings

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import functional, nn
from tinygrad_fm.debug import NonFiniteError, NonFiniteTrace, trace_nonfinite


def leaf(*numbers, dtype=float):
    return tg.Tensor(np.array(numbers, dtype=dtype), requires_grad=True)


def traced(function, x, **keywords):
    with trace_nonfinite() as trace:
        np.sum(function(x)).backward(**keywords)
    return trace


def no_row(x):
    return functional.softmax(np.where(np.zeros(2, bool), x, -np.inf))


# function, argument, operation, words of the reason, words of the advice
FORWARD = {
    "log of 0": (np.log, [0.0, 1], "log", "logarithm of 0 is minus", "np.maximum(x, eps)"),
    "log of a negative": (np.log, [-2.0, 1], "log", "negative number, -2", "why it is negative"),
    "log1p of -1": (np.log1p, [-1.0, 1], "log1p", "logarithm of 0", "eps - 1"),
    "sqrt of a negative": (np.sqrt, [-4.0, 1], "sqrt", "negative number, -4", "np.maximum(x, 0)"),
    "exp overflows": (np.exp, [800.0, 1], "exp", "exp only up to 709.8", "softmax"),
    "1 / 0": (lambda x: 1 / x, [0.0, 1], "divide", "division by 0: 1 / 0", "b + eps"),
    "0 / 0": (lambda x: x / x, [0.0, 1], "divide", "0 / 0 is NaN", "b + eps"),
    "reciprocal": (np.reciprocal, [0.0, 1], "reciprocal", "1 / 0", "b + eps"),
    "a negative base": (lambda x: x**0.3, [-1.0, 1], "power", "-1 ** 0.3", "np.abs(x) ** b"),
    "0 ** -2": (lambda x: x**-2.0, [0.0, 1], "power", "0 ** -2", "eps"),
    "arccos": (np.arccos, [1.5, 0], "arccos", "1.5 lies outside of [-1, 1]", "np.clip(x, -1, 1)"),
    "arctanh": (np.arctanh, [1.0, 0], "arctanh", "infinite at 1, an edge", "np.clip"),
    "arccosh": (np.arccosh, [0.5, 2], "arccosh", "0.5 lies below 1", "np.maximum(x, 1)"),
    "no row": (no_row, [1.0, 2], "softmax", "all values of a row are minus infinity", "-1e9"),
    "no elements": (lambda x: np.mean(x[x > 9]), [1.0, 2], "mean", "no elements", "empty"),
    "a product": (lambda x: x * 1e300, [1e300, 1], "multiply", "overflow: 1e+300 * 1e+300", ""),
    "a sum": (lambda x: np.sum(x), [1.7e308, 1e308], "sum", "float64 holds numbers up to", ""),
}


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize(
    ("function", "x", "operation", "why", "write"), FORWARD.values(), ids=FORWARD
)
def test_a_known_reason_of_the_forward_pass_is_told(function, x, operation, why, write):
    origin = traced(function, leaf(*x)).origin
    assert (origin.operation, origin.backward) == (operation, False)
    assert why in origin.why
    assert write in origin.write


def masked(function):
    return lambda x: np.where(x > 0, function(x), 0.0)


BACKWARD = {
    "sqrt at 0": (
        np.sqrt,
        [0.0, 1],
        "sqrt",
        "derivative of sqrt is infinite where its result is 0",
    ),
    "arcsin at 1": (np.arcsin, [1.0, 0], "arcsin", "derivative of arcsin is infinite at 1"),
    "masked log": (masked(np.log), [0.0, 1], "log", "0 times infinity is NaN"),
    "masked sqrt": (masked(np.sqrt), [0.0, 1], "sqrt", "0 times infinity is NaN"),
    "masked reciprocal": (masked(np.reciprocal), [0.0, 1], "reciprocal", "0 times infinity is NaN"),
    "masked division": (masked(lambda x: 1 / x), [0.0, 1], "divide", "0 times infinity is NaN"),
    "masked exp": (lambda x: np.where(x < 9, np.exp(x), 0), [1e3, 1], "exp", "0 times infinity"),
    "a large slope": (lambda x: x / 1e-300 * 1e200, [0.0, 0], "divide", "overflow: the gradient"),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(("function", "x", "operation", "why"), BACKWARD.values(), ids=BACKWARD)
def test_a_known_reason_of_the_backward_pass_is_told(function, x, operation, why, create_graph):
    origin = traced(function, leaf(*x), create_graph=create_graph).origin
    assert (origin.operation, origin.backward) == (operation, True)
    assert why in origin.why


def test_the_mask_is_named_with_its_line_and_the_way_out():
    origin = traced(masked(np.log), leaf(0.0, 1.0)).origin
    assert "because where at " in origin.why
    assert __file__ in origin.why
    assert "safe = np.where(mask, x, 1); np.where(mask, np.log(safe), other)" in origin.write


def test_the_advice_for_a_masked_logarithm_helps():
    x = leaf(0.0, 2.0)
    trace = traced(lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0.0), x)
    assert trace.origin is None
    np.testing.assert_array_equal(x.grad, [0.0, 0.5])


def test_a_backward_origin_tells_module_line_and_ranges():
    model = nn.Sequential(nn.Linear(3, 2, rng=0), Root())
    trace = traced(lambda x: model(x * 0), leaf([1.0, 2.0, 3.0], dtype=np.float32))
    text = str(trace)
    assert "in the backward pass, by the rule of sqrt for argument 0: inf at [0, 0], 2 of 2" in text
    assert "gradient that arrived: float32 (1, 2), 1" in text
    assert "in module Sequential > 1 (Root)" in text
    assert "return np.sqrt(x)  # here" in text
    assert "later: the rule of linear" in text  # inf * 0


class Root(nn.Module):
    def forward(self, x):
        return np.sqrt(x)  # here


def test_an_infinity_that_turns_into_nan_later_is_told_twice():
    trace = traced(lambda x: np.exp(x) / np.sum(np.exp(x)), leaf(0.0, 1e3))
    assert trace.origin.operation == "exp"
    assert "later: divide at " in str(trace)
    assert "infinity / infinity is NaN" in str(trace)


def test_what_was_masked_out_forward_is_not_the_origin_but_is_mentioned():
    with trace_nonfinite() as trace:
        masked(np.log)(leaf(0.0, 1.0))
    assert trace.origin is None
    assert trace.first.operation == "log"
    assert "masked out again was first made by log" in str(trace)


def test_the_first_of_several_iterations_is_the_origin():
    w = leaf(0.0, 1.0)
    with trace_nonfinite() as trace:
        for _ in range(3):
            w.grad = None
            np.sum(np.sqrt(w)).backward()
            w.data = w.data - 0.1 * w.grad.data
    assert (trace.origin.operation, trace.origin.backward) == ("sqrt", True)


def test_a_bad_gradient_given_to_backward_is_told_apart():
    with trace_nonfinite() as trace:
        (leaf(1.0, 2.0) * 3).backward(np.array([np.nan, 1.0]))
    assert (trace.origin.operation, trace.origin.argument) == ("multiply", -1)
    assert "first met in the backward pass" in str(trace)


def test_a_hook_is_blamed_for_what_it_made():
    x = leaf(1.0, 2.0)
    with trace_nonfinite() as trace:
        y = x * 2
        y.register_hook(lambda g: g * np.inf)
        y.sum().backward()
    assert "a hook made it" in trace.origin.why


def test_a_transform_is_watched_too():
    with trace_nonfinite() as trace:
        tg.grad(lambda x: np.sum(masked(np.log)(x)))(np.array([0.0, 1.0]))
    assert (trace.origin.operation, trace.origin.backward) == ("log", True)


def test_results_of_a_split_are_followed_backward():
    def halves(x):
        a, b = np.split(x * 1, 2)
        return np.sqrt(a) + b

    trace = traced(halves, leaf(0.0, 1.0))
    assert trace.origin.operation == "sqrt"
    assert sum(n.change == "poisoned" for n in trace.graph().nodes) == 5


def test_finite_numbers_have_no_origin():
    trace = traced(np.sin, leaf(1.0, 2.0))
    assert trace.origin is None
    assert str(trace) == "no NaN or infinity in the results of 2 operations"
    trace.check()


def test_check_raises_what_is_printed():
    trace = traced(np.log, leaf(0.0, 1.0))
    with pytest.raises(NonFiniteError, match="minus infinity") as caught:
        trace.check()
    assert str(caught.value) == str(trace)
    assert caught.value.operation == "log"


# ---- the graph -----------------------------------------------------------------------------------


def marked(graph):
    return {node.operation or node.kind for node in graph.nodes if node.change == "poisoned"}


def test_the_way_of_a_forward_nan_is_marked_in_the_graph():
    def f(x):
        return np.log(x - 1) * 2 + np.sin(x)

    graph = traced(f, leaf(0.0, 3.0)).graph()
    assert marked(graph) == {"log", "multiply", "add", "sum"}
    first = next(node for node in graph.nodes if node.badges)
    assert first.operation == "log"
    assert first.badges[0].startswith("first bad result: nan at [0]")


def test_the_way_of_a_backward_nan_is_marked_in_the_graph():
    graph = traced(lambda x: masked(np.log)(x * 3), leaf(0.0, 3.0)).graph()
    assert marked(graph) == {"log", "multiply", "input"}
    first = next(node for node in graph.nodes if node.badges)
    assert (first.operation, first.badges[0][:18]) == ("log", "first bad gradient")


def test_the_marks_are_in_every_format():
    graph = traced(np.log, leaf(0.0, 3.0)).graph()
    assert "! log" in graph.to_text()
    assert "! log" in graph.to_dot()
    assert "class n1,n2 poisoned_" in graph.to_mermaid()


def test_a_folded_module_shows_that_the_way_leads_through_it():
    model = nn.Sequential(nn.Linear(3, 2, rng=0), Root())
    graph = traced(lambda x: model(x * 0), leaf([1.0, 2.0, 3.0], dtype=np.float32)).graph()
    assert [n.change for n in graph.fold(0).nodes if n.kind == "module"] == ["poisoned"]
    assert "! Sequential" in graph.to_text(0)


def test_there_is_no_graph_of_nothing():
    with pytest.raises(ValueError, match="nothing that is recorded"):
        NonFiniteTrace().graph()


# ---- being watched changes nothing ---------------------------------------------------------------


def test_numpy_is_silent_meanwhile_and_not_afterwards():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        traced(np.log, leaf(0.0, 1.0))
        with pytest.raises(RuntimeWarning):
            np.log(np.zeros(1))


def test_what_the_user_set_to_raise_still_raises():
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError), trace_nonfinite():
        np.log(leaf(0.0, 1.0))


def test_gradients_are_the_same_under_the_watch():
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 2, rng=1))
    x = np.ones((2, 3), np.float32)
    np.sum(model(x)).backward()
    plain = [p.grad.data.copy() for p in model.parameters()]
    model.zero_grad()
    with trace_nonfinite():
        np.sum(model(x)).backward()
    for p, expected in zip(model.parameters(), plain, strict=True):
        np.testing.assert_array_equal(p.grad, expected)
