"""Filling a Tensor part by part: right as NumPy is, and without a copy of the whole each time."""

import itertools
import tracemalloc
from collections import Counter

import numpy
import pytest

import tinygrad_fm as tg
import tinygrad_fm.numpy as np
from tinygrad_fm import Tensor, testing
from tinygrad_fm.rules.indexing import getitem


def leaf(*values):
    return Tensor(numpy.array(values), requires_grad=True)


# ---- the loops that people write ---------------------------------------------------------------


def cumulative_sum(x):
    z = np.zeros(len(x))
    total = 0.0
    for i in range(len(x)):
        total = total + x[i]
        z[i] = total * total
    return z


def recurrence(x):
    z = np.zeros(len(x))
    z[0] = x[0]
    for i in range(1, len(x)):
        z[i] = 0.5 * z[i - 1] * x[i] + x[0]
    return z


def fibonacci(x):
    z = np.empty(6)
    z[:2] = x[:2]
    for i in range(2, 6):
        z[i] = z[i - 1] * z[i - 2]
    return z


def matrix_product(a, b):
    c = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return c


def hidden_states(x, w):
    h = np.zeros((len(x) + 1, w.shape[0]))
    for t in range(len(x)):
        previous = h[t]
        h[t + 1] = np.tanh(w @ previous + x[t])
    return h


def hidden_columns(x, w):
    h = np.zeros((w.shape[0], len(x) + 1))
    for t in range(len(x)):
        previous = h[:, t].reshape(-1, 1)
        h[:, t + 1] = np.tanh((w @ previous)[:, 0] + x[t])
    return h


def im2col(image):
    columns = np.zeros((4, 9))
    for i in range(2):
        for j in range(2):
            columns[2 * i + j] = image[i : i + 3, j : j + 3].reshape(-1)
    return columns


def convolution(image, kernel):
    y = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            y[i, j] = np.sum(image[i : i + 2, j : j + 2] * kernel)
    return y


def by_masks(x):
    z = np.zeros(x.shape)
    z[x > 0] = x[x > 0] ** 2
    z[x <= 0] = 0.1 * x[x <= 0]
    return z


def added_to(x):
    z = np.ones(4)
    z += x[:4]
    for i in range(4):
        z[i] *= x[i]
    z[1:3] -= x[0]
    z[[0, 0, 3]] = x[:3]  # the later of two writes to one element counts
    return z


def used_then_filled_further(x):
    z = np.zeros(4)
    z[0] = x[0]
    first = np.tanh(z) * z
    z[1] = x[1] * z[0]
    second = np.sum(z * z)
    z[0] = x[2]
    return np.sum(first) + second * np.sum(np.exp(z))


def by_rows_and_columns(x):
    z = np.zeros((3, 3))
    z[0] = x[:3]
    z[:, 1] = x[:3] * z[0, 0]
    z[1:] *= x[1]
    z[..., 2] = np.sum(z, axis=1)
    z[2, :] = [x[0], 1.0, x[1] * x[2]]
    return z


def through_parts(x):
    z = np.zeros((3, 4))
    row = z[1]
    row[:] = x[0]
    row += x[1]
    end = row[2:]
    end *= x[2]
    z[0] = row * 2
    return z * z


VECTOR = (numpy.array([0.7, -0.4, 1.3, 0.2, -0.9]),)
MATRICES = (numpy.linspace(-1, 1, 6).reshape(2, 3), numpy.linspace(0.5, 2, 12).reshape(3, 4))
SERIES = (numpy.linspace(-1, 1, 8).reshape(4, 2), numpy.array([[0.3, -0.8], [0.5, 0.2]]))
IMAGE = numpy.cos(numpy.arange(16.0)).reshape(4, 4)
LOOPS = [
    (cumulative_sum, VECTOR),
    (recurrence, VECTOR),
    (fibonacci, VECTOR),
    (matrix_product, MATRICES),
    (hidden_states, SERIES),
    (hidden_columns, SERIES),
    (im2col, (IMAGE,)),
    (convolution, (IMAGE, numpy.array([[1.0, -0.5], [0.25, 2.0]]))),
    (by_masks, VECTOR),
    (added_to, VECTOR),
    (used_then_filled_further, VECTOR),
    (by_rows_and_columns, VECTOR),
    (through_parts, VECTOR),
]
each_loop = pytest.mark.parametrize(("f", "args"), LOOPS, ids=[f.__name__ for f, _ in LOOPS])


def weighted(y):
    return np.sum(y * numpy.cos(numpy.arange(1.0, 1.0 + numpy.size(y))).reshape(numpy.shape(y)))


@each_loop
def test_a_loop_that_fills_an_array_is_differentiated_to_second_order(f, args):
    assert testing.check_grads(f, *args, order=2).checked > 4


@each_loop
def test_recording_the_backward_pass_gives_the_same_gradient(f, args):
    plain = tg.grad(lambda *a: weighted(f(*a)), tuple(range(len(args))))(*args)
    recorded = [Tensor(a, requires_grad=True) for a in args]
    with np.tracing():
        weighted(f(*recorded)).backward(create_graph=True)
    for gradient, argument in zip(plain, recorded, strict=True):
        numpy.testing.assert_allclose(gradient, argument.grad.data, rtol=1e-12)


def in_float32(f, args):
    with np.tracing():
        arguments = [Tensor(a.astype(numpy.float32), requires_grad=True) for a in args]
        y = f(*arguments)
    weighted(y).backward()
    return arguments


@each_loop
def test_a_gradient_of_float32_is_float32(f, args):
    for argument in in_float32(f, args):
        assert argument.grad.dtype == numpy.float32


# ---- any program of reads and writes is NumPy's ------------------------------------------------


class Program:
    """A random program of reads, writes and uses of parts, the same for arrays and Tensors."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, x):
        self.rng = numpy.random.default_rng(self.seed)
        whole = np.zeros((4, 5))
        parts, total = [whole], 0.0
        for _ in range(14):
            part = parts[self.rng.integers(len(parts))]
            index = self.index(part.shape)
            shape = numpy.zeros(part.shape)[index].shape
            step = self.rng.integers(8)
            if step <= 2:
                part[index] = self.value(x, shape)
            elif step == 3:
                index = self.rng.random(part.shape) < 0.4
                if self.rng.integers(2):
                    index = self.rng.integers(0, len(part), 2)
                part[index] = self.value(x, numpy.zeros(part.shape)[index].shape)
            elif step == 4:
                read = part[index]
                if read.ndim and read.size:
                    parts.append(read)
                del read
            elif step == 5:
                part[index] += self.value(x, shape)
            elif step == 6:
                weights = self.rng.normal(size=part.shape)
                total = total + (part * weights * np.tanh(part)).sum()
            elif len(parts) > 1:
                del parts[self.rng.integers(1, len(parts))]
            del part
        for part in parts:
            total = total + (part * part * self.rng.normal(size=part.shape)).sum()
        self.values = [numpy.array(p.data if isinstance(p, Tensor) else p) for p in parts]
        return total + 0.0 * x[0]

    def index(self, shape):
        index = []
        for n in shape:
            a, b = sorted(self.rng.integers(0, n + 1, 2).tolist())
            kinds = [int(self.rng.integers(n)), slice(a, b), slice(None), slice(None, None, 2)]
            index.append(kinds[self.rng.integers(4)])
        form = self.rng.integers(6)
        return tuple(index[:1] if form == 0 else [..., index[-1]] if form == 1 else index)

    def value(self, x, shape):
        element = x[int(self.rng.integers(6))] * float(self.rng.normal())
        weights = self.rng.normal(size=shape)
        return [element, np.tanh(element) * weights, weights, 1.5][self.rng.integers(4)]


def test_random_programs_give_numpys_values_and_their_gradients():
    seen = Counter()
    for seed in range(150):
        program, x = Program(seed), numpy.random.default_rng(seed).normal(size=6)
        program(x)
        expected = program.values
        try:
            gradient = tg.grad(program)(x)
        except tg.GraphError as error:
            seen["refused", "shares memory" in str(error)] += 1
            continue
        for found, value in zip(program.values, expected, strict=True):
            numpy.testing.assert_allclose(found, value, err_msg=f"seed {seed}")
        report = testing.numeric_grad(program)(x)
        numpy.testing.assert_allclose(
            gradient, report.gradient, rtol=1e-6, atol=1e-7, err_msg=f"seed {seed}"
        )
        seen["agreed"] += 1
    assert seen["agreed"] > 10 * seen["refused", True]
    assert not seen["refused", False]


# ---- what it costs -----------------------------------------------------------------------------


def buffers_of(x, fill):
    """How many arrays of the whole's size a loop went through."""
    z = tg.zeros(len(x))
    addresses = []
    for i in range(len(x)):
        fill(z, x, i)
        addresses.append(z.data.ctypes.data)
    return z, sum(a != b for a, b in itertools.pairwise(addresses))


@pytest.mark.parametrize(
    "fill",
    [
        lambda z, x, i: z.__setitem__(i, x[i] * x[i]),
        lambda z, x, i: z.__setitem__(i, z[i - 1] * 0.9 + x[i] if i else x[0]),
        lambda z, x, i: z.__setitem__(slice(i, i + 1), np.tanh(z[i - 1 : i + 3]).sum() + x[i]),
    ],
    ids=["map", "recurrence", "windows"],
)
def test_a_loop_writes_into_one_memory(fill):
    z, copies = buffers_of(leaf(*numpy.linspace(0, 1, 300)), fill)
    assert copies <= 1
    assert z.requires_grad


def test_the_backward_pass_of_a_loop_makes_few_arrays_of_the_wholes_size():
    import tracemalloc

    n, width = 40, 50_000
    x = Tensor(numpy.ones(n), requires_grad=True)
    z = tg.zeros((n, width))
    for i in range(n):
        z[i, i] = x[i] * 2
    loss = z.sum()
    tracemalloc.start()
    loss.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * z.nbytes
    numpy.testing.assert_array_equal(x.grad.data, numpy.full(n, 2.0))


def test_a_version_that_is_still_seen_is_kept():
    x = leaf(2.0, 3.0)
    z = tg.zeros(2)
    z[0] = x[0]
    kept = z * z  # its rule needs z as it is now
    shown = z.data
    z[0] = x[1]
    assert shown.tolist() == [2.0, 0.0]
    (kept.sum() + z.sum()).backward()
    numpy.testing.assert_array_equal(x.grad.data, [4.0, 1.0])


def test_a_detached_alias_keeps_what_it_held():
    x = leaf(2.0)
    z = tg.zeros(2)
    z[0] = x[0]
    before = z.detach()
    z[1] = x[0]
    assert before.data.tolist() == [2.0, 0.0]


def test_a_part_follows_when_the_whole_changes():
    x = leaf(2.0, 3.0)
    z = tg.zeros((2, 2))
    row, other = z[0], z[1]
    z[0] = x
    numpy.testing.assert_array_equal(row.data, [2.0, 3.0])
    numpy.testing.assert_array_equal(other.data, [0.0, 0.0])
    row.sum().backward()
    numpy.testing.assert_array_equal(x.grad.data, [1.0, 1.0])


def test_a_part_and_the_whole_follow_each_other_where_nothing_is_recorded():
    x = leaf(2.0, 3.0)
    z = tg.zeros((2, 4))
    z[0, :2] = x
    row = z[0]
    with tg.no_grad():
        row[3] = 7.0
        assert z.data[0, 3] == 7.0
        z[0, 2] = 5.0
    numpy.testing.assert_array_equal(row.data, [2.0, 3.0, 5.0, 7.0])


def test_what_a_node_kept_of_a_part_may_not_change_without_recording():
    x = leaf(2.0, 3.0)
    z = tg.zeros((2, 4))
    z[0, :2] = x
    row = z[0]
    loss = (row * row).sum()
    with tg.no_grad():
        z[0] = 1.0
    with pytest.raises(tg.GraphError, match="changed in place"):
        loss.backward()


def test_a_view_that_cannot_be_read_anew_is_refused():
    x = leaf(2.0, 3.0)
    z = tg.zeros((2, 2))
    turned = z.T
    with pytest.raises(tg.GraphError, match=r"shares memory.*copy"):
        z[0] = x
    assert turned.shape == (2, 2)


def test_a_list_of_tensors_can_be_assigned():
    x = leaf(2.0, 3.0)
    z = tg.zeros(3)
    z[1:] = [x[0] * x[1], 4.0]
    z.sum().backward()
    numpy.testing.assert_array_equal(x.grad.data, [3.0, 2.0])


def test_the_methods_that_write_are_recorded():
    x = leaf(2.0, 3.0)
    z = tg.zeros(3)
    z.fill(x[0])
    z.flat[1].backward()
    assert x.grad.data.tolist() == [1.0, 0.0]
    plain = tg.ones(2)
    plain.fill(7.0)
    plain[0] = 9.0
    plain.sort()
    assert plain.data.tolist() == [7.0, 9.0]
    assert [part.tolist() for part in plain.nonzero()] == [[0, 1]]


def test_the_gradient_of_a_version_can_be_retained():
    x = leaf(2.0, 3.0)
    z = tg.zeros(2)
    z[0] = x[0]
    z.retain_grad()
    z[1] = x[1]
    seen = []
    z.register_hook(lambda g: seen.append(g.data.copy()))
    (z * 3).sum().backward()
    numpy.testing.assert_array_equal(z.grad.data, [3.0, 3.0])
    numpy.testing.assert_array_equal(seen, [[3.0, 3.0]])
    numpy.testing.assert_array_equal(x.grad.data, [3.0, 3.0])


def test_reading_element_by_element_adds_up():
    x = Tensor(numpy.ones(400), requires_grad=True)
    total = sum(x[i] * x[i] for i in range(0, 400, 2)) + x[[0, 0, 1]].sum() + x[1:3].sum()
    total.backward()
    expected = numpy.tile([2.0, 0.0], 200)
    expected[[0, 1, 2]] += [2.0, 2.0, 1.0]
    numpy.testing.assert_array_equal(x.grad.data, expected)


def test_parts_of_a_part_follow_it_when_the_whole_is_gone():
    w = leaf(1.0, 2.0, 3.0)
    with np.tracing():
        turned = np.swapaxes(np.zeros((4, 3)), 0, 1)  # nobody else keeps the whole
    part = turned[1:3]
    part[...] = w[1]
    turned[2:3] = w[2]
    assert part.data.tolist() == [[2.0] * 4, [3.0] * 4]
    np.sum(part).backward()
    assert w.grad.data.tolist() == [0.0, 4.0, 4.0]


def test_a_part_is_written_to_when_the_whole_is_gone():
    w = leaf(1.0, 2.0, 3.0)
    with np.tracing():
        whole = np.zeros((4, 3))
    first, row = whole[0], whole[0:1]
    inner = row[0:1]
    del whole, first
    row[0] = w
    assert inner.data.tolist() == [[1.0, 2.0, 3.0]]
    inner[0, 1:2] *= 2.0
    np.sum(row).backward()
    assert w.grad.data.tolist() == [1.0, 2.0, 1.0]


# ---- rows by arrays of integers ----------------------------------------------------------------

INDICES = {
    "one array": [numpy.array([1, 3, 1]), numpy.array([-1, 0])],
    "an array of two axes": [numpy.array([[0, 2], [2, -4]]), numpy.array([[1]])],
    "pairs": [(numpy.array([0, 0, -4]), numpy.array([1, 1, 1])), (2, numpy.array([2, 2]))],
    "broadcast pairs": [(numpy.array([[0], [3]]), numpy.array([1, 1, -2]))] * 2,
    "small integers": [numpy.array([3, 3], numpy.int8), numpy.array([3, 0], numpy.uint8)],
    "a slice before": [(slice(None), numpy.array([0, 0, 2]))] * 2,
    "a mask": [numpy.array([True, False, True, True])] * 2,
    "none": [numpy.array([], int)] * 2,
}
indexed = pytest.mark.parametrize("indices", INDICES.values(), ids=INDICES)


def dense(shape, index, g):
    """Adding element by element."""
    total = numpy.zeros(shape)
    numpy.add.at(total, index, g)
    return total


@indexed
def test_rows_that_are_read_many_times_receive_every_gradient(indices):
    x = Tensor(numpy.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    weights = [
        numpy.random.default_rng(i).normal(size=x.data[v].shape) for i, v in enumerate(indices)
    ]
    sum((x[v] * g).sum() for v, g in zip(indices, weights, strict=True)).backward()
    expected = sum(dense(x.shape, v, g) for v, g in zip(indices, weights, strict=True))
    numpy.testing.assert_allclose(x.grad.data, expected, rtol=1e-14)


@indexed
def test_a_recorded_pass_gives_the_same_bits(indices):
    x = Tensor(numpy.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)

    def gradient(**options):
        x.grad = None
        np.sum(sum((np.sin(x[v]) ** 2).sum() for v in [*indices, *indices])).backward(**options)
        return x.grad.data

    numpy.testing.assert_array_equal(gradient(), gradient(create_graph=True))


@indexed
def test_of_an_element_that_is_written_twice_the_last_value_gets_the_gradient(indices):
    shape = numpy.zeros((4, 3))[indices[0]].shape
    values = numpy.random.default_rng(1).normal(size=shape)

    def written(v):
        z = np.ones((4, 3)) * 1.0
        z[indices[0]] = v
        return np.sum(np.sin(z) * numpy.arange(12.0).reshape(4, 3))

    if values.size:
        testing.check_grads(written, values)


def test_reading_a_few_rows_makes_no_array_of_the_whole():
    total = numpy.zeros((100_000, 4))
    g = numpy.ones((3, 4))
    tracemalloc.start()
    getitem.in_place.adds(total, g, None, numpy.array([5, 5, 99_999]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < total.nbytes / 100
    numpy.testing.assert_array_equal(total[[5, 99_999], 0], [2.0, 1.0])


def test_rows_of_a_long_array_by_small_integers():
    x = Tensor(numpy.ones(300), requires_grad=True)
    x[numpy.array([7, 7, 200], numpy.uint8)].sum().backward()
    assert x.grad.data[[7, 200]].tolist() == [2.0, 1.0]
