"""Stratified splits and the folds of a cross-validation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_fm.data import DataError, k_folds, stratified_split

LABELS = np.repeat([0, 1, 2], [50, 30, 20])


@given(
    counts=st.lists(st.integers(4, 40), min_size=1, max_size=5),
    fraction=st.floats(0.3, 0.7),
    seed=st.integers(0, 99),
)
def test_a_stratified_split_keeps_the_shares(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    indices = np.arange(len(labels))
    (first, y1), (second, y2) = stratified_split(indices, labels, fraction=fraction, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), indices)
    np.testing.assert_array_equal(labels[second], y2)
    np.testing.assert_array_equal(labels[first], y1)
    assert len(second) == round(len(labels) * fraction)
    exact = np.array(counts) * fraction
    assert (np.abs(np.bincount(y2) - exact) < 1).all()


def test_a_stratified_split_is_random_and_repeats_with_its_seed():
    def second(seed):
        return list(stratified_split(np.arange(100), LABELS, fraction=0.2, seed=seed)[1][0])

    assert second(1) == second(1) == second(np.random.default_rng(1)) != second(2)
    assert second(1) != sorted(second(1))


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("seed", [None, 0])
@given(count=st.integers(24, 60), k=st.integers(2, 8))
def test_each_example_is_in_one_validation_fold(count, k, seed, stratified):
    labels = np.arange(count) % 3
    folds = list(k_folds(labels, k, seed=seed, stratified=stratified))
    assert len(folds) == k
    every = np.arange(count)
    np.testing.assert_array_equal(np.sort(np.concatenate([v for _, v in folds])), every)
    for train, validation in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), every)
    assert np.ptp([len(v) for _, v in folds]) <= 1
    if stratified:
        assert np.ptp([np.bincount(labels[v], minlength=3) for _, v in folds], axis=0).max() <= 1


def test_folds_without_a_seed_are_consecutive():
    folds = list(k_folds(7, 3, seed=None))
    assert [list(v) for _, v in folds] == [[0, 1, 2], [3, 4], [5, 6]]
    assert list(folds[1][0]) == [0, 1, 2, 5, 6]


def test_folds_repeat_with_their_seed():
    def folds(seed):
        return [list(v) for _, v in k_folds(30, 3, seed=seed)]

    assert folds(1) == folds(1) != folds(2)
    assert [list(v) for _, v in k_folds(list(range(30)), 3, seed=1)] == folds(1)


SPLIT, FOLDS = stratified_split, k_folds


@pytest.mark.parametrize(
    ("function", "arguments", "how", "error", "message"),
    [
        (SPLIT, [], {}, DataError, "expects arrays of shape"),
        (SPLIT, [3], {}, DataError, "expects arrays of shape"),
        (SPLIT, [[1, 2], [1]], {}, DataError, r"lengths \[2, 1\]; expected one length"),
        (SPLIT, [LABELS], {"fraction": 20}, DataError, "fraction=20; expected a number between"),
        (SPLIT, [LABELS / 1], {}, DataError, "labels of float64 .*expected integers"),
        (SPLIT, [np.eye(3, dtype=int)], {}, DataError, r"shape \(3, 3\); .*argmax"),
        (SPLIT, [LABELS[:0]], {}, DataError, "at least one"),
        (SPLIT, [[0, 0, 0, 0, 1]], {}, DataError, "0 of the 1 examples of class 1"),
        (SPLIT, [LABELS], {"seed": None}, TypeError, "seed is None"),
        (FOLDS, [10, 1], {}, DataError, "k is 1; expected a whole number, at least 2"),
        (FOLDS, [10, 2.5], {}, TypeError, "k is 2.5"),
        (FOLDS, [3, 4], {}, DataError, "k=4 for 3 examples; expected at most 3"),
        (FOLDS, [0, 2], {}, DataError, "number of examples is 0"),
        (FOLDS, [2.5, 2], {}, TypeError, "number of examples is "),
        (FOLDS, [10, 2], {"stratified": True}, DataError, r"shape \(\); expected integers \(N,\)"),
        (
            FOLDS,
            [[0, 0, 0, 1], 2],
            {"stratified": True},
            DataError,
            "class 1 has 1 examples; .*k=2",
        ),
        (FOLDS, [10, 2], {"seed": -1}, DataError, "seed is -1"),
    ],
)
def test_what_cannot_be_split_is_refused(function, arguments, how, error, message):
    given = {"seed": 0} | ({"fraction": 0.2} if function is SPLIT else {}) | how
    with pytest.raises(error, match=message):
        function(*arguments, **given)


def test_folds_need_a_seed():
    with pytest.raises(TypeError, match="seed"):
        k_folds(10, 2)
