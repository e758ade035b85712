"""Rules for any shape: broadcasting, indexing, moving, contracting, reducing, by Hypothesis.

Left out on purpose: dtypes other than float64 and points on kinks, which the matrix and the kink
table have.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fm as tg
from tinygrad_fm.testing import check_grads

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def numbers(shape, seed=0, low=0.3):
    """Floats of either sign, away from 0 and from one another."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    spread = low + rng.permutation(size) * 0.07 + rng.uniform(0, 0.05, size)
    return np.reshape(spread * rng.choice([-1.0, 1.0], size), shape)


def gradient_of(function, *arrays):
    """The result, a weight for each of its elements, and the gradients of the weighted sum."""
    y, pull = tg.vjp(function, *arrays)
    weights = numbers(np.shape(y), seed=9)
    return np.asarray(y), weights, pull(weights)


# ---- broadcasting ------------------------------------------------------------------------------

BINARY = [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.hypot, np.arctan2]
BINARY += [
    np.logaddexp,
    np.remainder,
    lambda a, b: np.abs(a) ** b,
    lambda a, b: np.where(a > 0, a, b),
]


@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), st.sampled_from(BINARY)
)
def test_broadcasting_is_undone(shapes, function):
    left, right = (numbers(s, seed) for seed, s in enumerate(shapes.input_shapes))
    report = check_grads(function, left, right, order=1, modes=("rev",), elements=6)
    assert not report.kinks


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
def test_broadcasting_of_three_is_undone(shapes):
    a, b, c = (numbers(s, seed) for seed, s in enumerate(shapes.input_shapes))
    _, w, (ga, gb, gc) = gradient_of(lambda a, b, c: np.clip(a * b + c, -1e9, 1e9), a, b, c)
    full = shapes.result_shape
    for g, x, dense in [(ga, a, w * b), (gb, b, w * a), (gc, c, w)]:
        assert g.shape == x.shape
        np.testing.assert_allclose(
            g, unbroadcast(np.broadcast_to(dense, full), x.shape), atol=1e-12
        )


def unbroadcast(dense, shape):
    """Sum a dense gradient into the elements of `shape` that were repeated, one by one."""
    places = np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), dense.shape)
    return scattered(places, dense, shape)


def scattered(places, values, shape):
    """Zeros of `shape` with each value added at its flat place."""
    size = int(np.prod(shape))
    return np.bincount(places.ravel(), values.ravel(), minlength=size)[:size].reshape(shape)


# ---- moving elements: what a function does to numbered places says what its gradient is ---------


@st.composite
def movements(draw, shape):
    """A function that moves, repeats or drops elements of an array of `shape`."""
    ndim = len(shape)
    axis = st.integers(-ndim, ndim - 1) if ndim else st.none()
    kinds = [
        "reshape",
        "transpose",
        "broadcast",
        "expand",
        "tile",
        "ravel",
        "flip",
        "roll",
        "repeat",
    ]
    if ndim:
        kinds += ["swapaxes", "moveaxis", "stack", "concatenate", "index", "take", "split"]
    if ndim and 0 not in shape:
        kinds += ["pad", "integers"]
    kind = draw(st.sampled_from(kinds))
    if kind == "reshape":
        new, order = draw(st.permutations(shape)), draw(st.sampled_from("CF"))
        return lambda x: np.reshape(x, (1, *new), order=order)
    if kind == "transpose":
        axes = draw(st.permutations(range(ndim)))
        return lambda x: np.transpose(x, axes)
    if kind == "broadcast":
        return lambda x: np.broadcast_to(x, (2, *shape))
    if kind == "expand":
        at = draw(st.integers(-ndim - 1, ndim))
        return lambda x: np.expand_dims(x, at)
    if kind == "tile":
        reps = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
        return lambda x: np.tile(x, reps)
    if kind == "ravel":
        order = draw(st.sampled_from("CF"))
        return lambda x: np.ravel(x, order)
    if kind == "flip":
        axes = draw(st.none() | (hnp.valid_tuple_axes(ndim) if ndim else st.none()))
        return lambda x: np.flip(x, axes)
    if kind == "roll":
        shift, along = draw(st.integers(-4, 4)), draw(st.none() | axis)
        return lambda x: np.roll(x, shift, axis=along)
    if kind == "repeat":
        times, along = draw(st.integers(0, 2)), draw(st.none() | axis)
        return lambda x: np.repeat(x, times, axis=along)
    if kind in ("swapaxes", "moveaxis"):
        a, b = draw(axis), draw(axis)
        return lambda x: getattr(np, kind)(x, a, b)
    if kind in ("stack", "concatenate"):
        along = draw(axis)
        return lambda x: getattr(np, kind)([x, x], axis=along)
    if kind == "index":
        index = draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=5))
        return lambda x: x[index]
    if kind == "integers":
        index = draw(hnp.integer_array_indices(shape, result_shape=SHAPES))
        return lambda x: x[index]
    if kind == "take":
        along = draw(axis)
        places = draw(st.lists(st.integers(0, max(shape[along] - 1, 0)), max_size=4))
        places = np.array(places if shape[along] else [], dtype=int)
        return lambda x: np.take(x, places, axis=along)
    if kind == "split":
        along = draw(axis)
        return lambda x: np.split(x, [1], axis=along)[1]
    mode = draw(st.sampled_from(["edge", "reflect", "symmetric", "wrap"]))
    width = draw(st.integers(0, 2))
    return lambda x: np.pad(x, width, mode=mode)


@given(st.data(), SHAPES)
def test_gradients_go_back_where_the_elements_came_from(data, shape):
    steps = []
    moved = np.arange(int(np.prod(shape))).reshape(shape)
    for _ in range(data.draw(st.integers(1, 3), label="steps")):
        if moved.ndim > 4 or moved.size > 200:
            break
        steps.append(data.draw(movements(moved.shape), label="movement"))
        moved = steps[-1](moved)

    def chain(x):
        for step in steps:
            x = step(x)
        return x

    y, w, (g,) = gradient_of(chain, numbers(shape))
    assert y.shape == moved.shape
    assert g.shape == shape
    np.testing.assert_allclose(g, scattered(moved, w, shape), atol=1e-12)


# ---- indexing ----------------------------------------------------------------------------------


@st.composite
def indexed(draw):
    """A shape and an index of it: basic, integer arrays with repeats, a mask, or a mixture."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    kind = draw(st.sampled_from(["basic", "integers", "mask", "row mask", "mixed"]))
    if kind == "basic":
        return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=5))
    if kind == "integers":
        return shape, draw(hnp.integer_array_indices(shape, result_shape=SHAPES))
    if kind == "mask":
        return shape, draw(hnp.arrays(bool, shape))
    if kind == "row mask":
        return shape, (draw(hnp.arrays(bool, shape[:1])), Ellipsis)
    rows = draw(st.lists(st.integers(-shape[0], shape[0] - 1), max_size=4))
    rest = draw(hnp.basic_indices(shape[1:], allow_ellipsis=False)) if shape[1:] else ()
    return shape, (np.array(rows, dtype=int), *(rest if isinstance(rest, tuple) else (rest,)))


@given(indexed())
def test_reading_at_an_index(case):
    shape, index = case
    places = np.arange(int(np.prod(shape))).reshape(shape)
    _, w, (g,) = gradient_of(lambda x: x[index], numbers(shape))
    np.testing.assert_allclose(g, scattered(np.asarray(places[index]), w, shape), atol=1e-12)


@given(indexed(), st.booleans())
def test_assigning_at_an_index(case, scalar):
    shape, index = case
    target = np.zeros(shape)[index].shape
    value = numbers(() if scalar else target, seed=1)

    def assigned(x, v):
        x = x.copy()
        x[index] = v
        return x

    y, w, (gx, gv) = gradient_of(assigned, numbers(shape), value)
    written = np.full(shape, -1)  # the place in the value that each element now holds
    written[index] = np.arange(int(np.prod(target))).reshape(target)
    np.testing.assert_array_equal(gx, np.where(written < 0, w, 0))
    dense = scattered(written[written >= 0], w[written >= 0], target)
    np.testing.assert_allclose(gv, dense.sum() if scalar else dense, atol=1e-12)
    assert y.shape == shape


# ---- products and reductions -------------------------------------------------------------------


@given(
    hnp.mutually_broadcastable_shapes(
        signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3
    )
)
def test_matmul_of_any_shapes(shapes):
    a, b = (numbers(s, seed) for seed, s in enumerate(shapes.input_shapes))
    check_grads(np.matmul, a, b, order=1, elements=9)


@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=0, max_side=3))
def test_dot_and_its_relatives(shapes):
    a, b = (numbers(s, seed) for seed, s in enumerate(shapes.input_shapes))
    check_grads(np.dot, a, b, order=1, elements=9)
    check_grads(lambda a, b: np.tensordot(a, b, axes=1), a, b, order=1, elements=9)
    check_grads(np.outer, a, b, order=1, elements=9)


@st.composite
def einsums(draw):
    """Subscripts of one to three operands, with repeats, and the operands' shapes."""
    lengths = dict(
        zip("ijkl", draw(st.lists(st.integers(1, 3), min_size=4, max_size=4)), strict=True)
    )
    terms = draw(st.lists(st.text("ijkl", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    output = "".join(draw(st.permutations(used))[: draw(st.integers(0, len(used)))])
    return ",".join(terms) + "->" + output, [tuple(lengths[c] for c in term) for term in terms]


@given(einsums())
def test_einsum_of_any_subscripts(case):
    subscripts, shapes = case
    operands = [numbers(shape, seed) for seed, shape in enumerate(shapes)]
    check_grads(lambda *a: np.einsum(subscripts, *a), *operands, order=1, elements=6)


REDUCTIONS = [np.sum, np.mean, np.max, np.min, np.prod, np.var, np.std]


@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=4, max_side=3), st.sampled_from(REDUCTIONS))
def test_reductions_along_any_axes(data, shape, function):
    axis = data.draw(
        st.none() | hnp.valid_tuple_axes(len(shape)) | st.integers(-len(shape), len(shape) - 1)
    )
    keepdims = data.draw(st.booleans())
    x = numbers(shape)
    report = check_grads(
        lambda x: function(x, axis=axis, keepdims=keepdims), x, order=1, modes=("rev",), elements=8
    )
    assert function is np.std or not report.kinks  # the std of one element is 0: a kink


@given(hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_cumsum_along_any_axis(shape, data):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    check_grads(lambda x: np.cumsum(x, axis=axis), numbers(shape), order=1, elements=8)


@pytest.mark.parametrize("function", [np.sum, np.mean, np.prod, np.var])
def test_reductions_of_nothing(function):
    x = np.zeros((0, 3))
    y, pull = tg.vjp(lambda x: function(x, axis=1), x)
    assert pull(y)[0].shape == (0, 3)
