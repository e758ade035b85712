"""Scaling, one-hot rows and splits."""

import numpy as np
import pytest

from tinygrad_fm.data import DataError, flatten, one_hot, scale, split


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scale_divides_by_255(dtype):
    scaled = scale(np.arange(256, dtype=np.uint8).reshape(16, 16), dtype)
    assert scaled.dtype == dtype
    np.testing.assert_array_equal(scaled.ravel(), np.arange(256, dtype=dtype) / dtype(255))
    assert (scaled.min(), scaled.max()) == (0, 1)


def test_scale_refuses_what_is_no_image():
    with pytest.raises(DataError, match=r"got float64 of shape \(2,\); expected uint8"):
        scale(np.zeros(2))
    with pytest.raises(DataError, match=r"scale\(\) to int64; expected a floating dtype"):
        scale(np.zeros(2, np.uint8), np.int64)


def test_flatten_makes_one_row_of_each_example():
    images = np.arange(24).reshape(2, 3, 4)
    assert flatten(images).shape == (2, 12)
    assert np.shares_memory(flatten(images), images)
    assert flatten(images[:0]).shape == (0, 12)
    assert flatten(np.arange(3)).shape == (3, 1)
    with pytest.raises(DataError, match="single number"):
        flatten(3)


def test_one_hot_marks_the_label():
    np.testing.assert_array_equal(
        one_hot([2, 0]), np.array([[0, 0, 1], [1, 0, 0]], np.float32), strict=True
    )
    assert one_hot([[0, 1]], 4, np.float64).shape == (1, 2, 4)
    assert one_hot(np.zeros(0, int), 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 3], 3, r"the label 3 at index \(1\); expected 0 to 2, for classes=3"),
        ([[0, 1], [2, -1]], None, r"the label -1 at index \(1, 1\); expected 0 to 2"),
        ([-1], None, "classes is 0; expected a whole number, at least 1"),
        ([0.0], None, "got labels of float64; expected integers"),
        ([True], None, "got labels of bool; expected integers"),
        (np.zeros(0, int), None, "got no labels .*pass classes="),
    ],
)
def test_one_hot_refuses_labels_outside_the_classes(labels, classes, message):
    with pytest.raises(DataError, match=message):
        one_hot(labels, classes)


def test_a_split_keeps_every_example_once_and_in_step():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    (a, b), (c, d) = split(x, y, fraction=0.3, seed=0)
    assert (len(a), len(c)) == (7, 3)
    np.testing.assert_array_equal(np.sort(np.concatenate([b, d])), y)
    np.testing.assert_array_equal(np.concatenate([a, c])[:, 0], 2 * np.concatenate([b, d]))
    assert not np.shares_memory(a, x)


def test_a_split_has_as_many_parts_as_sizes():
    parts = split(np.arange(10), sizes=(5, 3, 2, 0), seed=0)
    assert [len(part) for (part,) in parts] == [5, 3, 2, 0]
    assert sorted(np.concatenate([part for (part,) in parts])) == list(range(10))


def test_the_same_seed_is_the_same_split():
    def first(seed):
        return list(split(np.arange(50), fraction=0.5, seed=seed)[0][0])

    assert first(1) == first(1) == first(np.random.default_rng(1)) != first(2)


def test_a_split_leaves_numpys_global_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the legacy state that is watched
    split(np.arange(50), fraction=0.5, seed=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_split_needs_a_seed():
    with pytest.raises(TypeError, match="seed"):
        split(np.arange(3), fraction=0.5)


@pytest.mark.parametrize(
    ("arrays", "how", "error", "message"),
    [
        ([], {"fraction": 0.5}, DataError, "expects arrays of shape"),
        ([3], {"fraction": 0.5}, DataError, "expects arrays of shape"),
        ([[1, 2], [1]], {"fraction": 0.5}, DataError, r"lengths \[2, 1\]; expected one length"),
        ([[1, 2]], {}, DataError, "fraction=None and sizes=None; give one of the two"),
        ([[1, 2]], {"fraction": 0.5, "sizes": (1, 1)}, DataError, "give one of the two"),
        ([[1, 2]], {"fraction": 1000}, DataError, r"fraction=1000; .*sizes=\(50_000, 10_000\)"),
        ([[1, 2]], {"fraction": float("nan")}, DataError, "fraction=nan"),
        ([[1, 2]], {"fraction": 0.01}, DataError, "makes parts of 2 and 0; expected at least one"),
        ([[1, 2]], {"sizes": (1, 2)}, DataError, r"sizes=\(1, 2\), in all 3; expected the 2"),
        ([[1, 2]], {"sizes": (3, -1)}, DataError, "sizes is -1"),
        ([[1, 2]], {"sizes": (0.5, 1.5)}, TypeError, "sizes is 0.5; expected a whole number"),
        ([[1, 2]], {"fraction": 0.5, "seed": -1}, DataError, "seed is -1"),
        ([[1, 2]], {"fraction": 0.5, "seed": None}, TypeError, "seed is None"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(arrays, how, error, message):
    with pytest.raises(error, match=message):
        split(*arrays, **({"seed": 0} | how))
