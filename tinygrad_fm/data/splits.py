"""Splits that keep the shares of the classes, and the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .prepare import generator, of_one_length, whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Indices = NDArray[np.intp]


def stratified_split(
    *arrays: ArrayLike, fraction: float, seed: int | np.random.Generator
) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    """Split at random into two parts in which every class has the same share as in the whole.

    The last array holds the labels, integers (N,); the others, (N, ...), are split alike.
    `fraction` is the second part's share, as in `split`. The second part has round(N * fraction)
    examples, and of each class its share rounded down or up.

        (images, labels), (validation_images, validation_labels) = stratified_split(
            images, labels, fraction=0.1, seed=0
        )

    Returns one tuple for each part, with one new array for each array given, in random order.
    For indices, give `np.arange(len(labels)), labels`.

    Raises DataError where lengths differ, the labels are no integers (N,), the fraction is not
    between 0 and 1, or a class would be missing from a part.
    """
    examples = of_one_length(arrays, "stratified_split")
    if not 0 < fraction < 1:
        raise DataError(
            f"stratified_split() got fraction={fraction}; expected a number between 0 and 1, the "
            "share of the second part"
        )
    labels = _checked_labels(examples[-1], "stratified_split()")
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    second = _shares(counts, fraction)
    empty = np.flatnonzero((second == 0) | (second == counts))
    if empty.size:
        which = empty[0]
        raise DataError(
            f"stratified_split() with fraction={fraction} would put {second[which]} of the "
            f"{counts[which]} examples of class {classes[which]} into the second part; expected at "
            "least one of each class in each part"
        )
    order = generator(seed, "stratified_split() seed").permutation(len(labels))
    into_second = _rank_in_class(codes[order]) < second[codes[order]]
    parts = (order[~into_second], order[into_second])
    first_part, second_part = (tuple(array[part] for array in examples) for part in parts)
    return first_part, second_part


def k_folds(
    examples: int | ArrayLike,
    k: int,
    *,
    seed: int | np.random.Generator | None,
    stratified: bool = False,
) -> Iterator[tuple[Indices, Indices]]:
    """The k pairs (training indices, validation indices) of a cross-validation.

    `examples` is their number N, or their labels (N,). Each example is in one validation fold and
    in the training indices of all others; the folds' sizes differ by one at most. With `stratified`
    (needs the labels) so do their numbers of each class. `seed` is required, a number or a
    generator; None keeps the order, so that the folds are consecutive pieces (and with
    `stratified`, the examples of each class are dealt out in turn).

        for train, validation in k_folds(len(images), 5, seed=0):
            model = fit(images[train], labels[train])

    Raises DataError where k is below 2 or above N, the labels are no integers (N,), or a class has
    fewer than k examples to stratify; TypeError where k, N or the seed is of the wrong kind.
    """
    k = whole_number(k, "k_folds() k", at_least=2)
    given = np.asarray(examples)
    labels = _checked_labels(given, "k_folds()") if stratified or given.ndim else None
    if labels is None:
        count = whole_number(given[()], "k_folds() number of examples", at_least=1)
    else:
        count = len(labels)
    if k > count:
        raise DataError(f"k_folds() got k={k} for {count} examples; expected at most {count}")
    order = np.arange(count)
    if seed is not None:
        order = generator(seed, "k_folds() seed").permutation(count)
    fold_at = np.repeat(np.arange(k), [len(part) for part in np.array_split(order, k)])
    if stratified:
        assert labels is not None
        classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if counts.min() < k:
            rare = counts.argmin()
            raise DataError(
                f"k_folds() cannot stratify: class {classes[rare]} has {counts[rare]} examples; "
                f"expected at least k={k}"
            )
        # All examples, class after class, are dealt out as cards are.
        fold_at[np.argsort(codes[order], kind="stable")] = np.arange(count) % k
    return ((order[fold_at != fold], order[fold_at == fold]) for fold in range(k))


def _shares(counts: NDArray[np.intp], fraction: float) -> NDArray[np.intp]:
    """Whole numbers near counts * fraction that add up: the largest remainders are rounded up."""
    exact = counts * fraction
    shares = np.floor(exact).astype(np.intp)
    lacking = round(counts.sum() * fraction) - shares.sum()
    shares[np.argsort(shares - exact, kind="stable")[:lacking]] += 1
    return shares


def _rank_in_class(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each position, how many earlier ones are of its class."""
    by_class = np.argsort(codes, kind="stable")
    starts = np.cumsum(np.bincount(codes)) - np.bincount(codes)
    ranks = np.empty(len(codes), np.intp)
    ranks[by_class] = np.arange(len(codes)) - starts[codes[by_class]]
    return ranks


def _checked_labels(labels: NDArray[Any], who: str) -> NDArray[Any]:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
        raise DataError(
            f"{who} got labels of {labels.dtype} and shape {labels.shape}; expected integers (N,), "
            "at least one (for one-hot rows, labels.argmax(axis=1))"
        )
    return labels
