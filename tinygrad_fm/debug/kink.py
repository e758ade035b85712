"""One row of the kink table: where, what the derivative is there, and how it is spelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

INF, NAN = np.inf, np.nan


@dataclass(frozen=True)
class Kink:
    """One row of the table.

    Attributes:
        where: the function and the point.
        rule: what the derivative is there, in words.
        spellings: expressions in `x` (and `y`) that all obey the row; in them stand `np`, `nn`,
            `functional` and `Tensor`'s methods.
        arguments: an example: values of `x` and `y`.
        gradients: those of the sum of the results.
        peer: PyTorch's spelling, if it has the same convention; empty where it has none, or ours
            departs from it.
    """

    where: str
    rule: str
    spellings: tuple[str, ...]
    arguments: tuple[Any, ...]
    gradients: tuple[Any, ...]
    peer: str = ""


def kink(
    where: str, rule: str, *spellings: str, at: Any, gives: Any, y: Any = None, peer: str = ""
) -> Kink:
    """A row with one argument, or with `y` two; `gives` is then a pair."""
    if y is None:
        return Kink(where, rule, spellings, (at,), (gives,), peer)
    return Kink(where, rule, spellings, (at, y), tuple(gives), peer)
