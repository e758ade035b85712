"""What cannot be recorded is refused, or differentiated numerically on request; never zero."""

import array
import math

import numpy
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, testing

X = numpy.array([0.3, 0.7])


def filled(x):
    z = numpy.zeros(2)
    for i in range(2):
        z[i] = x[i] ** 2
    return z.sum()


def added_into(x):
    z = numpy.ones(2)
    z += x
    return z.sum()


def put(x):
    z = numpy.ones(2)
    z.put(0, x[0])
    return z.sum()


def copied(x):
    z = numpy.ones(2)
    numpy.copyto(z, x)
    return z.sum()


def filled_at_once(x):
    z = numpy.ones(2)
    z.fill(x[0])
    return z.sum()


REFUSED = {
    "math": lambda x: math.exp(x[0]),
    "math.fsum": lambda x: math.fsum(x),
    "an element": filled,
    "a slice": lambda x: numpy.zeros(2).__setitem__(slice(None), x),
    "out": added_into,
    "put": put,
    "copyto": copied,
    "fill": filled_at_once,
    "fromiter": lambda x: numpy.fromiter((v for v in x), float).sum(),
    "comprehension": lambda x: numpy.array([v * 2 for v in x]).sum(),
    "array.array": lambda x: sum(array.array("d", x)),
    "int": lambda x: float(int(x[0] * 10)),
    "range": lambda x: float(len(range(x[0]))),
    "index": lambda x: [1.0, 2.0][x[0]],
    "floor": lambda x: float(math.floor(x[0])),
    "round": lambda x: round(x[0], 1),
    "complex": lambda x: complex(x[0]).real,
    "float64": lambda x: numpy.float64(x[0]),
    "text": lambda x: float(f"{x[0]}"),
    "random": lambda x: numpy.random.default_rng(0).normal(x[0]),
    "vectorize": lambda x: numpy.vectorize(math.exp)(x).sum(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_recorded_is_an_error(name):
    with pytest.raises((TypeError, ValueError)) as caught:
        tg.grad(REFUSED[name])(X)
    if name in ("math", "an element", "a slice", "fromiter", "comprehension"):
        first = caught.value.__cause__ or caught.value
        assert "tinygrad_fm.numpy" in str(first)
        assert "grad_or_numeric" in str(first)


LOST = {
    "item": lambda x: math.exp(x[0].item()),
    "data": lambda x: numpy.exp(x.data).sum(),
    "tolist": lambda x: sum(math.exp(v) for v in x.tolist()),
    "format": lambda x: float(f"{x[0]:.17g}"),
}


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize("transform", [tg.grad, tg.jacobian], ids=["grad", "jacobian"])
def test_a_gradient_that_is_zero_because_a_value_left_the_graph_is_warned_of(name, transform):
    with pytest.warns(
        tg.LostGradientWarning, match=r"is zero: .*left the graph \(by .*\)"
    ) as caught:
        transform(LOST[name])(X)
    assert caught[0].filename == __file__


def test_a_constant_is_zero_without_a_warning():
    assert tg.grad(lambda x: 3.0)(1.0) == 0.0
    assert tg.grad(lambda x: x * len(f"{x.item()}") * 0)(1.0) == 0.0
    Tensor([1.0], requires_grad=True).item()
    assert tg.grad(lambda x: 3.0)(1.0) == 0.0


def test_branches_on_values_are_recorded():
    numpy.testing.assert_array_equal(
        tg.grad(lambda x: x[0] * 2 if x[0] > 0 else x[1])(X), [2.0, 0.0]
    )
    numpy.testing.assert_array_equal(tg.grad(lambda x: max(x))(X), [0.0, 1.0])


def test_on_request_the_gradient_is_numerical_and_says_so():
    with pytest.warns(testing.NumericGradientWarning, match="filled.*numerical.*float") as caught:
        found = testing.grad_or_numeric(filled)(X)
    assert caught[0].filename == __file__
    assert found.numeric
    assert found.method == "central differences"
    line = filled.__code__.co_firstlineno + 3
    assert f"because filled cannot be recorded: TypeError in line {line} of" in str(found)
    assert __file__ in found.reason
    numpy.testing.assert_allclose(found.gradient, 2 * X, rtol=1e-9)
    assert found.value == pytest.approx(filled(X))
    assert numpy.abs(found.gradient - 2 * X).max() <= found.error


@pytest.mark.parametrize("name", LOST)
def test_a_value_that_left_the_graph_is_numerical_on_request(name):
    f = lambda x: LOST[name](x if isinstance(x, Tensor) else Tensor(x))
    expected = {"item": [math.exp(0.3), 0.0], "format": [1.0, 0.0]}.get(name, numpy.exp(X))
    with pytest.warns(testing.NumericGradientWarning, match="not connected"):
        found = testing.grad_or_numeric(f)(X)
    numpy.testing.assert_allclose(found.gradient, expected, rtol=1e-7, atol=1e-9)


def test_where_it_can_be_recorded_the_gradient_is_autograds():
    found = testing.grad_or_numeric(lambda x, w: numpy.sum(x**2) * w, (0, 1))(X, 2.0)
    assert (found.numeric, found.method, found.reason) == (False, "autograd", "")
    numpy.testing.assert_array_equal(found.gradient[0], 4 * X)
    assert found.gradient[1] == pytest.approx(numpy.sum(X**2))


def test_the_answer_has_the_form_and_kind_of_the_argument():
    f = lambda p, scale: math.exp(p["a"][1] * p["b"]) * scale
    arguments = {"a": X.astype(numpy.float32), "b": 0.5}
    with pytest.warns(testing.NumericGradientWarning):
        found = testing.grad_or_numeric(f)(arguments, scale=2.0).gradient
    slope = 2 * math.exp(float(arguments["a"][1]) * 0.5)
    numpy.testing.assert_allclose(found["a"], [0.0, slope * 0.5], rtol=1e-5)
    assert found["a"].dtype == numpy.float32
    assert found["b"] == pytest.approx(slope * float(arguments["a"][1]))
    assert isinstance(found["b"], float)
    assert isinstance(testing.numeric_grad(lambda x: numpy.sum(x))(Tensor(X)).gradient, Tensor)


def test_a_kink_is_said():
    found = testing.numeric_grad(lambda x: numpy.sum(numpy.abs(x)))(numpy.array([1.0, 0.0]))
    assert found.kinks == ("argument 0, element (1,)",)
    assert "no derivative at argument 0, element (1,)" in str(found)
    assert found.reason == "it was asked for"


def test_a_numerical_gradient_inside_another_is_refused():
    def outer(x):
        return testing.grad_or_numeric(lambda x: math.exp(x))(x).gradient

    with pytest.raises(tg.GraphError, match="cannot be differentiated further"):
        tg.grad(outer)(1.0)


def test_what_is_wrong_on_plain_arrays_too_is_raised():
    with pytest.raises(ZeroDivisionError):
        testing.grad_or_numeric(lambda x: 1 / 0)(1.0)
    with pytest.raises(ValueError, match="one float"):
        testing.numeric_grad(lambda x: x)(X)
    with pytest.raises(TypeError, match=r"1\.0 instead of 1"):
        testing.numeric_grad(lambda x: x)(1)


def test_rounding_to_float32_is_no_kink_where_the_slope_is_0():
    found = testing.numeric_grad(lambda x: numpy.float32(math.exp(x[0])))(numpy.array([1.0, 2.0]))
    assert found.kinks == ()
    assert abs(found.gradient[0] - math.e) <= found.error
    assert found.gradient[1] == 0
