"""Search for settings: every combination, random ones, and the score of a cross-validation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_fm import data


def grid(**choices: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the choices, the last of which changes fastest.

    for settings in train.grid(hidden=[64, 128], lr=[1e-3, 1e-2]):
        model = make(**settings)
    """
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]


def random_search(
    count: int, rng: Any, **ranges: Callable[[Any, int], Any]
) -> list[dict[str, Any]]:
    """`count` settings at random: all values of the first are drawn, then all of the second, ...

        train.random_search(20, np.random.default_rng(0), lr=lambda rng, n: rng.uniform(0, 0.1, n))

    Args:
        count: at least 1.
        rng: a Generator or a RandomState.
        ranges: functions of (rng, count) that draw so many values; by name.

    Raises:
        ValueError: a count below 1, or a function that gives another number of values.
    """
    if count < 1:
        raise ValueError(f"random_search: count is at least 1, not {count!r}")
    drawn = {name: np.asarray(draw(rng, count)).tolist() for name, draw in ranges.items()}
    for name, values in drawn.items():
        if np.ndim(values) != 1 or len(values) != count:
            raise ValueError(
                f"random_search: {name} gave values of shape {np.shape(values)}; expected "
                f"({count},), one for each setting"
            )
    return [dict(zip(drawn, values, strict=True)) for values in zip(*drawn.values(), strict=True)]


def cross_validate(
    score: Callable[..., float],
    *arrays: Any,
    k: int = 5,
    seed: int | np.random.Generator | None,
) -> NDArray[np.float64]:
    """The scores of the k folds of a cross-validation, (k,); their mean is what to compare.

        def score(x, y, x_held_out, y_held_out):
            ...
            return accuracy

        train.cross_validate(score, x, y, k=5, seed=0).mean()

    Args:
        score: trains on the first part of the arrays and measures on the rest.
        arrays: of one length, (N, ...).
        k: how many folds.
        seed: of the permutation; None keeps the order, so that folds are consecutive pieces.

    Raises:
        DataError: as for `data.k_folds`, or arrays of different lengths.
    """
    lengths: Sequence[int] = [len(array) for array in arrays]
    if len(set(lengths)) != 1:
        raise data.DataError(f"cross_validate: arrays of the lengths {lengths}; expected one")
    return np.array(
        [
            score(*(array[rows] for array in arrays), *(array[held] for array in arrays))
            for rows, held in data.k_folds(lengths[0], k, seed=seed)
        ]
    )
