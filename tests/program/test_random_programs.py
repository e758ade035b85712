"""Random steps, with views and changes in place, give the same bits compiled as they stand."""

import numpy as np
from hypothesis import given, reject
from hypothesis import strategies as st
from in_python import loops_in_python

import tinygrad_fm as tg

UNARY = [np.tanh, np.sin, np.square, np.abs, np.negative, lambda a: np.maximum(a, 0), np.copy]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, lambda a, b: np.where(a > b, a, b)]
MOVES = [
    lambda a: a.T,
    lambda a: a[1:],
    lambda a: a[:, :1],
    lambda a: a[::-1],
    lambda a: a.reshape(-1, 1),
    lambda a: a[np.array([0, -1, 0])],
    lambda a: np.sum(a, axis=0, keepdims=True),
    lambda a: np.mean(a, axis=1, keepdims=True),
    lambda a: np.max(a, axis=0, keepdims=True),
    lambda a: a.detach(),
    lambda a: a.astype(np.float32).astype(np.float64),
]


def add_in_place(a, b):
    a += b


def write_first_row(a, b):
    a[0] = np.sum(b)


def write_all(a, b):
    a[...] = b


WRITES = [add_in_place, write_first_row, write_all]


def perform(pool, operation, i, j):
    """One operation on arrays of the pool; what it makes joins the pool."""
    kind, function = operation
    a, b = pool[i % len(pool)], pool[j % len(pool)]
    try:
        if kind == "write":
            function(a, b)
        elif kind == "quiet write":
            with tg.no_grad():
                function(a, b)
        elif kind == "product":
            pool.append(np.tanh(a @ b.T if a.shape[1] == b.shape[1] else a @ a.T))
        elif kind == "binary":
            pool.append(function(a, b))
        else:
            pool.append(function(a))
    except (tg.GraphError, ValueError, TypeError) as error:
        if isinstance(error, tg.TraceError):
            raise
        return  # shapes that do not fit, a leaf, an alias: the same in every run


OPERATIONS = [
    *(("unary", f) for f in UNARY),
    *(("binary", f) for f in BINARY),
    *(("move", f) for f in MOVES),
    *(("write", f) for f in WRITES),
    *(("quiet write", f) for f in WRITES),
    ("product", None),
]
NUMBERS = st.integers(0, 30)
STEPS = st.lists(st.tuples(st.sampled_from(OPERATIONS), NUMBERS, NUMBERS), max_size=14)


@given(STEPS)
def test_a_random_step_is_the_same_bit_for_bit(operations):
    compare(operations)


@given(STEPS)
def test_a_random_step_with_chains_in_loops_is_the_same_bit_for_bit(operations):
    with loops_in_python():
        compare(operations)


def compare(operations):
    """Run the step as it stands and compiled, five times each."""
    found = []
    for compiled in (False, True):
        w = tg.Tensor(np.linspace(-1, 1, 12).reshape(3, 4), requires_grad=True)
        total = tg.Tensor(np.full((3, 4), 0.5))  # lives outside, and may be written to

        def step(x, w=w, total=total):
            w.grad = None
            pool = [x, w * 1.0, total, x * w]
            for operation in operations:
                perform(pool, *operation)
            loss = sum(np.sum(a * (k + 1.0)) for k, a in enumerate(pool))
            loss.backward()
            return loss, [a for a in pool if a.size]

        run = tg.compile(step) if compiled else step
        rng = np.random.default_rng(0)
        seen = []
        for _ in range(5):
            x = rng.standard_normal((3, 4))
            with np.errstate(all="ignore"):
                try:
                    loss, pool = run(x if compiled else tg.Tensor(x))
                except tg.GraphError:  # it changed what its derivative needs
                    assert not compiled
                    reject()
            arrays = [loss, *pool, w.grad, total]
            seen += [np.array(a.data) for a in arrays]
        found.append(seen)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
