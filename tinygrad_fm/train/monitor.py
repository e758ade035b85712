"""Which of two epochs is better, by a column of the history."""

from __future__ import annotations

import math

from tinygrad_fm.train.history import Record


class Monitor:
    """A column of the history, of which the smallest value is best, or of an accuracy the largest.

    Args:
        owner: who asks, for messages.
        name: the column, such as "validation_loss" or "validation_accuracy".
        mode: "min" or "max"; by default "max" for names with "accuracy" in them, else "min".

    Raises:
        ValueError: another mode.
    """

    def __init__(self, owner: str, name: str, mode: str | None = None):
        if mode not in (None, "min", "max"):
            raise ValueError(f"{owner}: mode is 'min', 'max' or None, not {mode!r}")
        self.owner, self.name = owner, name
        self.largest = mode == "max" if mode else "accuracy" in name

    def value(self, record: Record) -> float:
        """The column's number in a record.

        Raises:
            ValueError: the record has none.
        """
        found = record.get(self.name)
        if found is None:
            there = ", ".join(k for k, v in record.items() if isinstance(v, (int, float)))
            validation = "; pass validation= to fit" if self.name.startswith("validation") else ""
            raise ValueError(
                f"{self.owner} monitors {self.name!r}, which the record of epoch "
                f"{record.get('epoch')} lacks{validation}; there are {there}"
            )
        return float(found)

    def better(self, value: float, best: float | None, by: float = 0.0) -> bool:
        """Whether a value is better than the best so far (None) by more than `by`; NaN never is."""
        if math.isnan(value):
            return False
        if best is None:
            return True
        return value > best + by if self.largest else value < best - by
