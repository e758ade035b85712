"""The checker is checked: wrong rules of every kind are caught, right ones pass, kinks are said."""

import numpy as np
import pytest

from tinygrad_fm import Tensor, primitive
from tinygrad_fm.functional import sigmoid
from tinygrad_fm.testing import TOLERANCES, check_grads

X = np.array([[0.3, -1.2], [0.8, 0.5]])
M = np.array([[1.0, 2.0, -1.0], [0.5, -0.7, 0.3], [0.9, 1.1, 0.2]])


def value(x):
    """What a rule must not do: read the numbers out of a Tensor."""
    return x.data if isinstance(x, Tensor) else x


WRONG = {
    "sign": (np.sin, [lambda g, _y, x: -g * np.cos(x)], [X]),
    "factor": (np.square, [lambda g, _y, x: g * x], [X]),
    "missing transpose": (
        np.matmul,
        [lambda g, _y, _a, b: g @ b, lambda g, _y, a, _b: np.swapaxes(a, 0, 1) @ g],
        [M, M + 1],
    ),
    "swapped arguments": (
        np.divide,
        [lambda g, _y, _a, b: g / b, lambda g, y, a, _b: -g * y / a],
        [X, X + 2],
    ),
    "wrong axis": (
        lambda x: np.sum(x, axis=0),
        [lambda g, _y, _x: np.broadcast_to(g[:, None], _x.shape)],
        [X],
    ),
    "derivative at the output": (np.exp, [lambda g, y, _x: g * np.exp(y)], [X]),
    "one element": (np.negative, [lambda g, _y, _x: -g * (1 + (g == np.max(g)) / 2)], [X]),
    "missing argument": (np.multiply, [lambda g, _y, _a, b: g * b, None], [X, X]),
    "no derivative": (np.tanh, [None], [X]),
    "nan": (np.sqrt, [lambda g, y, _x: g / (2 * y) * np.where(y > 0.6, 1, np.nan)], [X * X]),
    "off by a hair": (np.sin, [lambda g, _y, x: g * np.cos(x + 1e-7)], [X]),
}


@pytest.mark.parametrize(("function", "rules", "args"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_a_wrong_rule_is_caught(function, rules, args, mode):
    wrong = primitive(lambda *a: function(*a), *rules, name="wrong")
    with pytest.raises(
        AssertionError, match=r"check_grads\(wrong\): wrong derivative in .* order 1"
    ):
        check_grads(wrong, *args, modes=(mode,))


def test_a_forgotten_unbroadcast_is_caught():
    added = primitive(lambda a, b: a + b, lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g)
    check_grads(added, X, X)
    with pytest.raises(
        ValueError, match=r"gradient of shape \(2, 2\) for an argument of shape \(2,"
    ):
        check_grads(added, X, X[0])


def test_a_rule_that_is_right_only_once_is_caught():
    cut = primitive(lambda x: x * x, lambda g, _y, x: g * 2 * value(x), name="cut")
    check_grads(cut, X, order=1)
    with pytest.raises(AssertionError, match="reverse mode, order 2"):
        check_grads(cut, X)


def test_a_rule_that_reads_its_gradient_is_caught():
    cut = primitive(lambda x: 3 * x, lambda g, _y, _x: 3 * value(g) + 0 * _x.size, name="cut")
    check_grads(cut, X, order=1, modes=("rev",))
    with pytest.raises(AssertionError, match="forward mode, order 1"):
        check_grads(cut, X, order=1)


# ---- what a failure says -----------------------------------------------------------------------


def failure(function, *args, **options):
    with pytest.raises(AssertionError) as caught:
        check_grads(function, *args, **options)
    return str(caught.value)


def test_a_failure_names_the_element_and_both_numbers():
    wrong = primitive(
        lambda w: w * w, lambda g, _y, w: g * 2 * w * np.array([[1, 1], [1, 0.5]]), name="wrong"
    )
    text = failure(lambda p: np.sum(wrong(p["w"])), {"b": np.ones(2), "w": X}, modes=("rev",))
    assert "argument 0['w'], element (1, 1)" in text
    assert "relative error 0.5, allowed 1e-09; 1 of 6 numbers are wrong" in text
    got, expected = (float(text.split(word)[1].split()[0].strip(",")) for word in ("gives", "is"))
    assert got == pytest.approx(expected / 2)


def test_the_snippet_of_a_failure_fails_again():
    k = np.array([1.0, 3.0])
    wrong = primitive(lambda x: x * x, lambda g, _y, x: g * 3 * x, name="wrong")

    def local(x, scale):
        return wrong(x) * k * scale["s"]

    for function in (local, lambda x, scale: wrong(x) * k * scale["s"]):
        text = failure(function, X, {"s": 2.0, "unused": [1, (2,)]}, seed=3, rtol=1e-5)
        snippet = text.split("To see it again:")[1]
        with pytest.raises(AssertionError, match="argument 0, element"):
            exec(compile(snippet, "snippet", "exec"), {"__name__": "snippet"})


def test_the_snippet_imports_what_can_be_imported():
    text = failure(lambda x: np.tanh(x) * (x > 0), np.array([0.5, 3.0]), rtol=1e-30, atol=0.0)
    assert "f = lambda x: np.tanh(x) * (x > 0)\n" in text
    text = failure(np.tanh, Tensor(X[0], requires_grad=True), rtol=1e-30, atol=0.0)
    assert "\ntanh = np.tanh\n" in text
    assert " tg.Tensor(np.array([0.3, -1.2]), requires_grad=True)" in text
    text = failure(sigmoid, X[0].astype("f4"), rtol=1e-30, atol=0.0)
    assert "\nfrom tinygrad_fm.functional.activation import sigmoid\n" in text
    assert ", dtype=np.float32)" in text


# ---- what passes, and what is said about it ----------------------------------------------------


def test_an_analytic_function_is_held_against_a_complex_step():
    report = check_grads(lambda x: np.sum(np.exp(x) * np.sin(x)), X, order=1)
    assert report.method == "complex step"
    assert report.checked == report.exact == 5
    assert report.worst < 1e-15
    assert "complex step" in str(report)


@pytest.mark.parametrize("function", [np.abs, np.arctan2, np.std, lambda x: np.maximum(x, 0.1)])
def test_others_are_held_against_central_differences(function):
    args = (X, X + 2) if function is np.arctan2 else (X,)
    report = check_grads(function, *args, order=1)
    assert report.checked
    assert report.worst < 1e-8


def test_kinks_are_said_and_not_compared():
    report = check_grads(np.abs, np.array([[1.0, 0.0], [-2.0, 0.0]]))
    assert [(k.argument, k.element, k.order) for k in report.kinks] == [
        ("argument 0", (0, 1), 1),
        ("argument 0", (1, 1), 1),
    ]
    assert (report.kinks[0].left, report.kinks[0].right) == pytest.approx((-1, 1))
    assert "element (0, 1): no derivative of order 1, the slope jumps from -1 to 1" in str(report)


def test_a_kink_elsewhere_does_not_hide_a_wrong_rule():
    wrong = primitive(np.abs, lambda g, _y, x: g * np.where(x > 1, 2, np.sign(x)), name="wrong")
    assert "element (1,)" in failure(wrong, np.array([0.0, 2.0]), modes=("rev",))
    assert "element (1,)" in failure(wrong, np.array([0.0, 2.0]), modes=("fwd",))
    text = failure(lambda x: np.sum(wrong(x)), np.array([0.0, 2.0]), modes=("fwd",))
    assert "forward mode" in text


def test_kinks_of_a_higher_order_are_told_from_those_of_the_first():
    report = check_grads(lambda x: x * np.abs(x), np.array([0.0, 1.0]))
    assert [(k.element, k.order) for k in report.kinks] == [((0,), 2)]


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, -1e-5])
def test_a_point_near_a_kink_is_not_on_it(distance):
    report = check_grads(np.abs, np.array([distance]))
    assert not report.kinks
    assert report.checked


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5, 6])
def test_flat_points_are_no_kinks(power):
    report = check_grads(lambda x: x * abs(x) ** (power - 1) if power > 2 else x**power, 0.0)
    assert all(kink.order > 1 for kink in report.kinks)
    assert not check_grads(lambda x: x**power, 0.0).kinks


def test_a_jump_is_a_kink():
    assert check_grads(np.floor, np.array([1.0, 1.5]), order=1).kinks[0].element == (0,)


def test_steps_stay_inside_a_narrow_domain():
    report = check_grads(np.log, np.array([1e-5, 1e-3, 1.0, 1e6]))
    assert not report.kinks
    check_grads(lambda x: np.sqrt(np.abs(x)), np.array([1e-4, 3.0]))
    check_grads(lambda x: np.sin(50 * x), X)


def test_infinite_results_are_left_out():
    report = check_grads(np.sqrt, np.array([0.0, 2.0]))
    assert report.checked
    assert len(report.kinks) == 1
    report = check_grads(lambda x: np.log(x), np.array([0.0, 2.0]), order=1)
    assert report.infinite == 1
    with pytest.raises(ValueError, match="no result is finite"):
        check_grads(np.log, np.zeros(2))


def test_float32_has_a_tolerance_of_its_own():
    x = X.astype(np.float32)
    report = check_grads(lambda x: np.exp(x) * np.tanh(x), x)
    assert 1e-9 < report.worst < TOLERANCES["float32"][0]
    wrong = primitive(np.sin, lambda g, _y, x: g * np.cos(x) * np.float32(1.01), name="wrong")
    assert "allowed 1e-03" in failure(wrong, x)


def test_a_function_that_computes_in_float32_is_checked_as_such():
    check_grads(lambda x: np.sin(x.astype(np.float32)) * 2, X, order=1)
    check_grads(
        lambda x: np.sum(np.sin(x.astype(np.float32)).astype(np.float64)), X, order=1, rtol=1e-2
    )


def test_arguments_may_be_nested_and_mixed():
    def f(scale, parameters, rows, *, flag=None):
        hidden = np.tanh(parameters["layers"][0] * scale)
        return {"y": hidden[rows], "n": 3, "mean": (np.mean(hidden), parameters["layers"][1] ** 2)}

    parameters = {"layers": [X, np.array([1.5])], "name": "net"}
    report = check_grads(f, 0.7, parameters, np.array([0, 0, 1]))
    assert not report.kinks
    report = check_grads(f, 0.7, {"layers": [Tensor(X), Tensor([1.5])]}, [0, 1])
    assert report.checked


def test_many_elements_are_sampled():
    x = np.random.default_rng(0).normal(size=(40, 50))
    report = check_grads(lambda x: np.tanh(x) @ np.ones(50), x, elements=5)
    assert report.checked == (5 + 1) + 40 + (4 + 1) + 2000
    wrong = primitive(
        np.tanh, lambda g, y, _x: g * (1 - y * y) * (1 + (y == y.max())), name="wrong"
    )
    assert "along a random direction" in failure(wrong, x, elements=5, modes=("rev",))


def test_third_order():
    check_grads(lambda x: np.sum(np.sin(x) * x), X, order=3)


def test_a_function_of_tensors_only():
    check_grads(lambda x: x.detach().data.shape[0] * np.sin(x), X)


def test_empty_arguments_and_results():
    check_grads(np.sin, np.zeros((0, 3)))
    check_grads(lambda x: x[:0], X)


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(TypeError, match=r"needs an argument of floats .* not int"):
        check_grads(np.sin, 3)
    with pytest.raises(TypeError, match="no result is a float"):
        check_grads(np.argmax, X)
    with pytest.raises(ValueError, match="'backward'"):
        check_grads(np.sin, X, modes=("backward",))
    with pytest.raises(ValueError, match="order is 1 or more"):
        check_grads(np.sin, X, order=0)
