"""Softmax of many short rows, whose maxima are found column by column."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import functional
from tinygrad_fm.testing import check_grads


@pytest.mark.parametrize(
    "shape", [(15, 10), (16, 10), (40, 1), (40, 2), (40, 64), (40, 65), (0, 3)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_it_is_the_one_of_each_row(shape, dtype):
    x = (100 * np.random.default_rng(0).random(shape)).astype(dtype)
    expected = np.exp(1.0 * x.astype(np.float64) - np.max(x, axis=1, keepdims=True, initial=0))
    expected /= expected.sum(axis=1, keepdims=True)
    for axis in (-1, 1):
        np.testing.assert_allclose(functional.softmax(x, axis), expected, rtol=1e-5, atol=1e-30)
    other = functional.softmax(np.ascontiguousarray(x.T), 0)
    np.testing.assert_allclose(other, expected.T, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_stays_in_its_row(bad):
    x = np.random.default_rng(0).standard_normal((30, 4))
    expected = functional.softmax(x)
    x[3, 1], x[5] = bad, bad
    with np.errstate(invalid="ignore"):
        rows = np.concatenate([functional.softmax(row[None]) for row in x])
        np.testing.assert_array_equal(functional.softmax(x), rows)
    kept = [i for i in range(30) if i not in (3, 5)]
    np.testing.assert_array_equal(rows[kept], expected[kept])
    assert np.isnan(rows[5]).all()


def test_its_derivatives_and_its_program():
    x = np.random.default_rng(0).standard_normal((20, 5))
    check_grads(functional.log_softmax, x)
    step = tg.compile(lambda x: functional.log_softmax(x) * 1.0)
    for _ in range(4):
        np.testing.assert_array_equal(step(x).data, functional.log_softmax(x))
