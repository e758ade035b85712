"""Measurements that the contenders take of themselves: memory peaks, whole training runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import REFERENCE, quartiles, reason, rotated, summary


@dataclass(frozen=True)
class Trial:
    """One table of such measurements; the contenders take turns here too.

    Args:
        name: what is done, and its sizes.
        contenders: by name, a function that takes the number of the round, does the work, and
            returns what is measured and further facts, by name. It raises what it is skipped for.
        unit: of what is measured, "s" or "MiB".
        rounds: at most so many for each.
    """

    name: str
    contenders: Mapping[str, Callable[[int], tuple[float, dict[str, float]]]]
    unit: str
    rounds: int = 1_000_000

    def measure(self, repeats: int) -> dict[str, Any]:
        """What a table and the JSON show of it: as of a Case, and the medians of the facts."""
        samples: dict[str, list[float]] = {name: [] for name in self.contenders}
        facts: dict[str, list[dict[str, float]]] = {name: [] for name in self.contenders}
        skipped: dict[str, str] = {}
        for i in range(min(repeats, self.rounds)):
            for name in rotated(list(samples), i):
                try:
                    value, found = self.contenders[name](i)
                except Exception as error:
                    if name == REFERENCE:
                        raise
                    skipped[name] = reason(error)
                    del samples[name]
                else:
                    samples[name].append(value)
                    facts[name].append(found)
        return {
            "case": self.name,
            "unit": self.unit,
            "series": None,
            "contenders": [
                summary(name, samples) | {"facts": _medians(facts[name])} for name in samples
            ],
            "skipped": skipped,
        }


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: quartiles([facts[key] for facts in found])["median"] for key in found[0]}
