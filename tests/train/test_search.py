"""Search for settings: what is tried, in which order, and how it is scored."""

import numpy as np
import pytest

from tinygrad_fm import data, train


def test_a_grid_is_every_combination_with_the_last_choice_changing_fastest():
    found = train.grid(a=[1, 2], b="xy")
    assert found == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    assert train.grid() == [{}]


def test_a_random_search_draws_all_values_of_one_setting_before_the_next():
    found = train.random_search(
        3,
        np.random.RandomState(425),
        reg=lambda rng, n: rng.uniform(0, 1, n),
        lr=lambda rng, n: rng.uniform(5, 6, n),
    )
    again = np.random.RandomState(425)
    np.testing.assert_array_equal([s["reg"] for s in found], again.uniform(0, 1, 3))
    np.testing.assert_array_equal([s["lr"] for s in found], again.uniform(5, 6, 3))


def test_a_random_search_refuses_what_it_cannot_pair():
    with pytest.raises(ValueError, match="count is at least 1, not 0"):
        train.random_search(0, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"lr gave values of shape \(2,\); expected \(3,\)"):
        train.random_search(3, np.random.default_rng(0), lr=lambda rng, n: rng.uniform(size=2))


@pytest.mark.parametrize("seed", [None, 3])
def test_each_example_is_held_out_once(seed):
    x, y = np.arange(10), np.arange(10) * 2
    held_out = []

    def score(x, y, x_held, y_held):
        assert set(x) | set(x_held) == set(range(10))
        np.testing.assert_array_equal(y_held, 2 * x_held)
        held_out.extend(x_held)
        return float(len(x))

    scores = train.cross_validate(score, x, y, k=3, seed=seed)
    assert scores.tolist() == [6, 7, 7]
    assert sorted(held_out) == list(range(10))
    assert (held_out == list(range(10))) == (seed is None)


def test_arrays_of_two_lengths_are_refused():
    with pytest.raises(data.DataError, match=r"lengths \[3, 2\]"):
        train.cross_validate(lambda *a: 0.0, np.ones(3), np.ones(2), k=2, seed=0)
