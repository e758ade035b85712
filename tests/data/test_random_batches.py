"""Batches drawn anew at each step: the digits of `choice`, from old and new generators."""

import numpy as np
import pytest

from tinygrad_fm.data import RandomBatches, one_hot, scale

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 3, 2), dtype=np.uint8)
LABELS = np.arange(50)


def batches(rng, **options):
    return RandomBatches(IMAGES, LABELS, **({"batch_size": 8, "steps": 5, "rng": rng} | options))


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_batch_is_a_choice_of_the_generator(make):
    expected = make(419)
    for x, y in batches(make(419)):
        rows = expected.choice(np.arange(50), 8, replace=False)
        np.testing.assert_array_equal(y, LABELS[rows], strict=True)
        np.testing.assert_array_equal(x, scale(IMAGES[rows]).reshape(8, 6), strict=True)


def test_the_module_np_random_draws_at_the_moment_of_asking():
    before = np.random.get_state()  # noqa: NPY002 - the legacy state is what is tested
    try:
        np.random.seed(419)  # noqa: NPY002
        drawn = [(list(y), np.random.rand()) for _, y in batches(np.random)]  # noqa: NPY002
    finally:
        np.random.set_state(before)  # noqa: NPY002
    legacy = np.random.RandomState(419)
    for y, between in drawn:
        assert y == list(legacy.choice(np.arange(50), 8, replace=False))
        assert between == legacy.rand()


def test_iterating_again_draws_on():
    twice = batches(np.random.RandomState(1))
    once = batches(np.random.RandomState(1), steps=10)
    assert (len(twice), len(once)) == (5, 10)
    found = [list(y) for _ in range(2) for _, y in twice]
    assert found == [list(y) for _, y in once]
    assert repr(once) == "<RandomBatches: 10 of 8 from uint8 (50, 3, 2)>"


def test_no_example_comes_twice_in_a_batch():
    for _, y in batches(np.random.RandomState(2), batch_size=50):
        assert sorted(y) == list(range(50))


def test_raw_bytes_in_float64_as_in_report_000():
    x, y = next(iter(batches(np.random.RandomState(0), scale=1, dtype=np.float64, flatten=False)))
    np.testing.assert_array_equal(x, IMAGES[y].astype(np.float64), strict=True)
    targets = one_hot(LABELS)
    (_, y) = next(
        iter(
            RandomBatches(
                IMAGES,
                targets,
                batch_size=2,
                steps=1,
                rng=np.random.RandomState(0),
                dtype=np.float64,
            )
        )
    )
    assert (y.dtype, y.shape) == (np.float64, (2, 50))
