"""What the numbers of an array look like: range, spread, zeros, a small histogram, badges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 16
# A gradient this small beside its parameter changes nothing that float32 can hold, and one this
# large replaces it in one step of an ordinary learning rate.
VANISHING = 1e-7
EXPLODING = 1e2
DEAD = 0.1  # share of units that are zero for every example of the batch


@dataclass(frozen=True)
class Statistics:
    """Of the finite numbers in an array; `histogram` counts them in equal bins from min to max.

    Attributes:
        norm: the 2-norm.
        zeros: the share of zeros.
        dead: the share of units (places along all axes but the first) that are zero for every
            example; None for an array without a batch axis.
        nonfinite: how many numbers are NaN or infinite.
    """

    mean: float
    std: float
    min: float
    max: float
    norm: float
    zeros: float
    nonfinite: int
    dead: float | None
    histogram: tuple[int, ...]


def describe(array: Any) -> Statistics | None:
    """The statistics of an array of numbers; None where it has none, or is no such array."""
    array = np.asarray(array)
    if not array.size or array.dtype.kind not in "fiub":
        return None
    finite = array[np.isfinite(array)].astype(np.float64)
    counts, low, high, mean, std, norm = (
        [0] * BINS,
        math.nan,
        math.nan,
        math.nan,
        math.nan,
        math.nan,
    )
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        scale = max(abs(low), abs(high)) or 1.0  # so that squares do not overflow
        part = finite / scale
        mean, std = float(part.mean() * scale), float(part.std() * scale)
        norm = float(np.sqrt(np.dot(part.ravel(), part.ravel())) * scale)
        spread = part - part.min()
        width = float(spread.max()) or 1.0
        bins = np.minimum((spread * (BINS / width)).astype(int), BINS - 1)
        counts = np.bincount(bins.ravel(), minlength=BINS).tolist()
    return Statistics(
        mean=mean,
        std=std,
        min=low,
        max=high,
        norm=norm,
        zeros=float(np.mean(array == 0)),
        nonfinite=int(array.size - finite.size),
        dead=float(np.mean(np.all(array == 0, axis=0))) if array.ndim > 1 else None,
        histogram=tuple(counts),
    )


def badges(operation: str, value: Statistics | None, gradient: Statistics | None) -> list[str]:
    """What a person should look at: `37% dead`, `vanishing gradient`, `3 non-finite`, ..."""
    found = []
    if value is not None and value.nonfinite:
        found.append(f"{value.nonfinite:,} non-finite")
    if operation == "relu" and value is not None and (value.dead or 0) >= DEAD:
        found.append(f"{value.dead:.0%} dead")
    if gradient is None:
        return found
    if gradient.nonfinite:
        found.append(f"gradient: {gradient.nonfinite:,} non-finite")
    elif operation == "parameter" and gradient.norm == 0:
        found.append("no gradient")
    elif operation == "parameter" and value is not None and value.norm > 0:
        ratio = gradient.norm / value.norm
        if ratio < VANISHING:
            found.append("vanishing gradient")
        elif ratio > EXPLODING:
            found.append("exploding gradient")
    return found
