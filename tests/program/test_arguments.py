"""What comes in: names, orders of memory, kinds of arrays, and plain values."""

import enum

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import fast
from tinygrad_fm.program import compiled


def results(step, *batches):
    compiled = tg.compile(step)
    found = [compiled(*batch) for batch in batches]
    assert compiled.program
    return found


@pytest.mark.parametrize("name", ["constant", "tensor", "np", "memory", "class", "t1", "<lambda>"])
def test_a_step_may_have_any_name(name):
    table, w = np.arange(3.0), tg.Tensor(np.ones(3), requires_grad=True)

    def step(x):
        return np.exp(x * w + table) * 2

    step.__name__ = name
    for found in results(step, *[(np.ones(3),)] * 3):
        np.testing.assert_array_equal(found.data, np.exp(1 + table) * 2)


def test_an_argument_may_have_any_name():
    def step(float, bool=None, arrays=None):
        return (float.astype(np.float32) + arrays).astype(int)

    for found in results(step, *[(np.ones(3), True, np.ones(3))] * 3):
        np.testing.assert_array_equal(found.data, [2, 2, 2])


def test_an_argument_in_another_order_of_memory_is_written_to_as_well():
    def step(x):
        x[0] = 9.0

    given = [np.asfortranarray(np.ones((3, 2))) for _ in range(4)]
    results(step, *[(array,) for array in given])
    for array in given:
        np.testing.assert_array_equal(array[0], [9.0, 9.0])


def test_orders_of_memory_give_the_bits_that_they_give_in_the_step():
    x = np.random.default_rng(0).standard_normal((40, 30, 20)).astype(np.float32)
    step = lambda x: np.sum(x, axis=(0, 2)) + np.mean(x)
    for array in (x, x.T, x[::2], x[:, ::-1], np.asfortranarray(x)):
        expected = step(tg.Tensor(array)).data
        for found in results(step, *[(array,)] * 3):
            np.testing.assert_array_equal(found.data, expected)


def test_subclasses_of_arrays_are_arrays():
    class Own(np.ndarray):
        def __mul__(self, other):
            return self @ other

    step = tg.compile(lambda x: x * x)
    for _ in range(3):
        found = step(np.array([[1.0, 2.0], [3.0, 4.0]]).view(Own)).data
        np.testing.assert_array_equal(found, [[1.0, 4.0], [9.0, 16.0]])
        assert type(found) is np.ndarray


@pytest.mark.parametrize(
    "wrong", [np.ma.masked_array([1.0, 2.0], [True, False]), np.array(["a"]), np.array([None])]
)
def test_arrays_that_are_no_tensors_are_refused(wrong):
    with pytest.raises(TypeError, match=r"mask|numbers"):
        tg.compile(lambda x: x)(wrong)


def test_plain_arguments_are_told_apart_by_sign_and_nan_is_one():
    step = tg.compile(lambda x, s: np.copysign(x, s))
    for s in (0.0, 0.0, 0.0, -0.0, -0.0, -0.0, 0.0):
        np.testing.assert_array_equal(step(np.ones(1), s).data, [np.copysign(1.0, s)])
    for _ in range(3):
        step(np.ones(1), float("nan"))
    assert len(step._entries) == 3


def test_literals_keep_their_types():
    class Level(enum.IntEnum):
        HIGH = 3

    step = lambda x: (np.where(x > 0, x, np.float64(np.inf)), x * Level.HIGH)
    x = np.array([1.0, -1.0], np.float32)
    for found, levels in results(step, *[(x,)] * 3):
        assert (found.dtype, levels.dtype) == (np.float64, (x * Level.HIGH).dtype)
        np.testing.assert_array_equal(found.data, [1.0, np.inf])


def test_arguments_as_before_are_known_at_a_glance_without_numba(monkeypatch):
    monkeypatch.setattr(fast, "_left", float("inf"))
    step = tg.compile(lambda x: np.exp(-x) * 2)  # a chain that a loop would be worth it for
    x = np.ones(1000)
    for _ in range(4):
        step(x)
    monkeypatch.setattr(compiled, "Call", None)  # the long way
    np.testing.assert_array_equal(step(x).data, np.exp(-x) * 2)
