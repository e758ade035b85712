"""Rules for any shape, continued: sorting, running products, norms, diagonals, cutting, solving.

Left out on purpose: dtypes other than float64, and ties, which the matrix and the kink table have.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_properties import gradient_of, numbers, scattered

import tinygrad_fm as tg
from tinygrad_fm.testing import check_grads

MATRICES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4)

# ---- what a function does to numbered places says what its gradient is ---------------------------

MOVES = {
    "diagonal": lambda x, k: np.diagonal(x, k),
    "diagonal of the last axes": lambda x, k: np.diagonal(x, k, -2, -1),
    "diagflat": lambda x, k: np.diagflat(x.ravel()[:4], k)[:1],
    "rot90": lambda x, k: np.rot90(x, k, axes=(-1, 0)),
    "delete": lambda x, k: np.delete(x, k % x.shape[1], axis=1),
    "resize": lambda x, k: np.resize(x, (3, k % 5)),
    "take, wrapped": lambda x, k: np.take(x, [k, 0, k + 7], axis=-1, mode="wrap"),
    "windows": lambda x, k: np.lib.stride_tricks.sliding_window_view(x, 1 + k % x.shape[0], 0),
    "vstack": lambda x, k: np.vstack([x, np.flip(x, k % x.ndim)]),
    "hstack": lambda x, k: np.hstack([x[:, :k], x]),
    "dstack": lambda x, k: np.dstack([x, x]),
    "array_split": lambda x, k: np.array_split(x, 2 + abs(k), axis=-1)[1],
    "append": lambda x, k: np.append(x, x[..., :k], axis=-1),
    "insert": lambda x, k: np.insert(x, k % x.shape[0], x[0], axis=0),
    "compress": lambda x, k: np.compress([i != k for i in range(x.shape[0])], x, axis=0),
    "fftshift": lambda x, k: np.fft.fftshift(x, axes=k % x.ndim),
    "rollaxis": lambda x, k: np.rollaxis(x, k % x.ndim),
    "atleast_3d": lambda x, k: np.atleast_3d(x[k % x.shape[0]]),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@given(shape=MATRICES, k=st.integers(-3, 3))
def test_gradients_go_back_where_the_elements_came_from(move, shape, k):
    places = np.arange(1, int(np.prod(shape)) + 1).reshape(shape)  # 0 is no place
    moved = np.asarray(move(places, k))
    y, w, (g,) = gradient_of(lambda x: move(x, k), numbers(shape))
    assert y.shape == moved.shape
    total = scattered(moved, w, (places.size + 1,))
    np.testing.assert_allclose(g, total[1:].reshape(shape), atol=1e-12)


@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), st.data())
def test_sorting_along_any_axis(shape, data):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    x = numbers(shape)
    assert not check_grads(lambda x: np.sort(x, axis=axis), x, order=1, elements=8).kinks
    assert not check_grads(lambda x: np.cumprod(x, axis=axis), x, order=1, elements=8).kinks
    q = data.draw(st.floats(0, 1))
    check_grads(lambda x: np.quantile(x, q, axis=axis), x, order=1, elements=8)


@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3), st.data())
def test_norms_along_any_axes(shape, data):
    most = min(len(shape), 2)
    axes = data.draw(hnp.valid_tuple_axes(len(shape), min_size=1, max_size=most))
    keepdims = data.draw(st.booleans())
    orders = [1, np.inf, -np.inf] + (["fro", "nuc", 2] if len(axes) == 2 else [None, 2, 3, 0.5])
    order = data.draw(st.sampled_from(orders))
    check_grads(
        lambda x: np.linalg.norm(x, order, axis=axes, keepdims=keepdims),
        numbers(shape),
        order=1,
        modes=("rev",),
        elements=6,
    )


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=2), st.integers(1, 3))
def test_solving_broadcasts_as_numpy_does(shapes, n):
    (left, right), columns = shapes.input_shapes, 2
    a = 0.2 * numbers((*left, n, n)) + 2 * np.eye(n)
    b = numbers((*right, n, columns), seed=1)
    check_grads(np.linalg.solve, a, b, order=1, elements=6)
    y, _, (ga, gb) = gradient_of(np.linalg.solve, a, b)
    assert (ga.shape, gb.shape) == (a.shape, b.shape)
    np.testing.assert_allclose(np.matmul(a, y), np.broadcast_to(b, y.shape), atol=1e-12)


@given(st.integers(1, 4), st.integers(0, 5))
def test_the_gradient_of_a_logarithmic_determinant_is_the_inverse_transposed(n, seed):
    a = np.random.default_rng(seed).normal(size=(n, n)) + 3 * np.eye(n)
    g = tg.grad(lambda a: np.linalg.slogdet(a)[1])(a)
    np.testing.assert_allclose(g, np.linalg.inv(a).T, rtol=1e-9, atol=1e-12)
    through_det = tg.grad(lambda a: np.log(np.abs(np.linalg.det(a))))(a)
    np.testing.assert_allclose(g, through_det, rtol=1e-9, atol=1e-12)
