"""Transforms: functions from functions, over every kind of argument, answering in kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinygrad_fm as tg
from tinygrad_fm import Tensor

MATRIX = np.array([[2.0, 1.0], [1.0, 3.0]])
small = st.floats(-2, 2)


def quadratic(x):
    return x @ MATRIX @ x / 2


def test_grad_answers_in_kind():
    assert type(tg.grad(lambda x: x**3)(2.0)) is float
    assert type(tg.grad(quadratic)(np.ones(2))) is np.ndarray
    assert isinstance(tg.grad(quadratic)(Tensor([1.0, 1.0])), Tensor)


def test_grad_of_grad_of_grad():
    f = lambda x: x**4
    assert tg.grad(tg.grad(tg.grad(f)))(2.0) == 48.0


def test_an_inner_gradient_by_another_variable():
    outer = lambda y: tg.grad(lambda x: x * x * y**3)(2.0)
    assert tg.grad(outer)(3.0) == 4 * 27


def test_argnum_may_be_a_tuple_or_negative():
    f = lambda a, b, c: np.sum(a * b * c)
    a, b, c = np.ones(2), np.full(2, 3.0), np.full(2, 5.0)
    ga, gc = tg.grad(f, (0, 2))(a, b, c)
    np.testing.assert_array_equal(ga, b * c)
    np.testing.assert_array_equal(gc, a * b)
    np.testing.assert_array_equal(tg.grad(f, -1)(a, b, c), a * b)
    with pytest.raises(ValueError, match="argnum 3 names no argument"):
        tg.grad(f, 3)(a, b, c)


def test_containers_keep_their_form():
    parameters = {"w": np.ones((2, 2)), "b": [3.0, (np.zeros(2), np.ones(1))]}
    f = lambda p: np.sum(p["w"]) * p["b"][0] + np.sum(p["b"][1][0])
    found = tg.grad(f)(parameters)
    np.testing.assert_array_equal(found["w"], np.full((2, 2), 3.0))
    assert found["b"][0] == 4.0
    assert type(found["b"][1]) is tuple
    np.testing.assert_array_equal(found["b"][1][1], np.zeros(1))


def test_a_disconnected_argument_has_gradient_zero_without_a_warning():
    ga, gb = tg.grad(lambda a, b: a * 2, (0, 1))(1.0, np.ones(3))
    assert ga == 2
    np.testing.assert_array_equal(gb, np.zeros(3))
    assert tg.grad(lambda a: 3.0)(1.0) == 0.0
    np.testing.assert_array_equal(tg.jacobian(lambda a: np.ones(2))(np.ones(3)), np.zeros((2, 3)))


def test_value_and_grad_serves_an_optimizer_of_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    f = lambda x: np.sum((x - 3) ** 2)
    found = optimize.minimize(tg.value_and_grad(f), np.zeros(2), jac=True)
    np.testing.assert_allclose(found.x, [3, 3])


def test_gradients_are_writable_and_of_ones_own():
    x = np.ones(3)
    g = tg.grad(np.sum)(x)
    g[0] = 7
    assert x[0] == 1


def test_vjp_may_pull_several_times_and_several_results():
    y, pull = tg.vjp(lambda a, b: {"product": a * b, "sum": [a.sum()]}, np.ones(2), np.full(2, 3.0))
    assert y["sum"] == [2.0]
    for factor in (1.0, 2.0):
        ga, gb = pull({"product": np.full(2, factor), "sum": [factor]})
        np.testing.assert_array_equal(ga, np.full(2, 4.0) * factor)
        np.testing.assert_array_equal(gb, np.ones(2) * factor)
    with pytest.raises(ValueError, match=r"gradient of shape \(2,\), not \(3,\)"):
        pull({"product": np.ones(3), "sum": [1.0]})


@given(arrays(float, 3, elements=small), arrays(float, 3, elements=small))
def test_forward_mode_is_the_jacobian_times_the_tangent(x, t):
    f = lambda x: np.tanh(x[:2] * x[1:]) + x[0]
    y, dy = tg.jvp(f, (x,), (t,))
    np.testing.assert_allclose(y, f(x))
    np.testing.assert_allclose(dy, tg.jacobian(f)(x) @ t, atol=1e-12)


@given(arrays(float, 3, elements=small), arrays(float, 3, elements=small))
def test_hvp_is_the_hessian_times_the_vector(x, v):
    f = lambda x: np.sum(np.sin(x) * np.roll(x, 1) ** 2)
    np.testing.assert_allclose(tg.hvp(f, x, v), tg.hessian(f)(x) @ v, atol=1e-12)


def test_hessian_of_a_quadratic_is_its_matrix():
    np.testing.assert_allclose(tg.hessian(quadratic)(np.array([1.0, -1.0])), MATRIX)


def test_jacobian_shapes_and_several_arguments():
    f = lambda a, b: np.outer(a, b)
    ja, jb = tg.jacobian(f, (0, 1))(np.ones(2), np.arange(3.0))
    assert ja.shape == (2, 3, 2)
    assert jb.shape == (2, 3, 3)
    np.testing.assert_array_equal(ja[0, :, 0], np.arange(3.0))


def test_jvp_refuses_what_does_not_fit():
    with pytest.raises(TypeError, match="takes tuples"):
        tg.jvp(np.sin, np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"tangent has shape \(3,\)"):
        tg.jvp(np.sin, (np.ones(2),), (np.ones(3),))
    with pytest.raises(ValueError, match="1 arguments and 2 tangents"):
        tg.jvp(np.sin, (1.0,), (1.0, 1.0))


def test_what_cannot_be_differentiated_is_refused():
    with pytest.raises(TypeError, match=r"float argument, not by 3.*1\.0 instead of 1"):
        tg.grad(lambda x: x**2)(3)
    with pytest.raises(ValueError, match=r"one number as its result, not shape \(2,\)"):
        tg.grad(lambda x: x * 2)(np.ones(2))


def test_float32_stays_float32():
    g = tg.grad(lambda x: np.sum(np.tanh(x) * np.array([1.0, 2.0])))(np.ones(2, np.float32))
    assert g.dtype == np.float32


def test_gradients_of_tensors_are_part_of_their_graph():
    x = Tensor([1.0, 2.0], requires_grad=True)
    g = tg.grad(lambda v: np.sum(v**3))(x)
    g.sum().backward()
    np.testing.assert_array_equal(x.grad, [6.0, 12.0])


def test_a_transform_inside_no_grad_still_differentiates():
    with tg.no_grad():
        assert tg.grad(lambda x: x * x)(3.0) == 6.0


def test_containers_are_matched_by_key_not_by_order():
    f = lambda p: p["a"] * 2 + p["b"] * 3
    assert tg.jvp(f, ({"a": 1.0, "b": 1.0},), ({"b": 1.0, "a": 0.0},))[1] == 3.0
    with pytest.raises(ValueError, match=r"keys \['a', 'b'\] are expected"):
        tg.jvp(f, ({"a": 1.0, "b": 1.0},), ({"a": 1.0},))


def test_hessian_over_containers_has_a_block_for_each_pair():
    f = lambda p: np.sum(p["w"] ** 2) * p["b"]
    found = tg.hessian(f)({"w": np.ones(2), "b": 3.0})
    np.testing.assert_array_equal(found["w"]["w"], 6 * np.eye(2))
    np.testing.assert_array_equal(found["w"]["b"], [2.0, 2.0])
    assert found["b"]["b"] == 0


def test_jvp_of_a_result_of_integers_is_zero():
    _, (dy, di) = tg.jvp(lambda x: (x * 2, np.argmax(x)), (np.ones(2),), (np.ones(2),))
    np.testing.assert_array_equal(dy, [2.0, 2.0])
    assert di == 0


def test_pull_does_not_see_later_changes_of_the_arguments():
    x = np.array([1.0, 2.0])
    _, pull = tg.vjp(lambda v: v * v, x)
    x[:] = 0
    np.testing.assert_array_equal(pull(np.ones(2))[0], [2.0, 4.0])


def test_an_argument_named_twice_is_refused():
    with pytest.raises(ValueError, match="names an argument twice"):
        tg.grad(lambda a, b: a * b, (0, -2))(2.0, 3.0)
