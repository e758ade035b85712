"""Reported numbers beside measured ones, and whether they differ by more than run from run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.reports.jobs import jobs_of
from tinygrad_fm.reports.measures import look_up
from tinygrad_fm.reports.recipe import VARIANTS, Experiment, Number, Report
from tinygrad_fm.reports.results import read_result

HEADER = ("experiment", "measure", "reported", "measured", "spread", "difference", "verdict")


@dataclass(frozen=True)
class Line:
    """A number of a report, and what it was here.

    Attributes:
        name: of the case; variant: as printed or as meant.
        number: the reported one, or several.
        runs: the measured ones, of each seed or fold, the report's own seed first.
        data: what it was measured on, where that is not the recipe's own data set.
    """

    name: str
    variant: str
    number: Number
    runs: list[list[float]]
    data: str = ""

    @property
    def exact(self) -> bool:
        """The report's own seed gives the very digits that are printed."""
        return all(self.number.same(self.runs[0]))

    @property
    def means(self) -> list[float]:
        """Over the runs."""
        return list(np.mean(self.runs, axis=0).tolist())

    @property
    def spreads(self) -> list[float] | None:
        """Standard deviations over the runs; None of a single one."""
        if len(self.runs) < 2:
            return None
        with np.errstate(invalid="ignore"):  # of NaN and infinities
            return list(np.std(self.runs, axis=0, ddof=1).tolist())

    @property
    def verdict(self) -> str:
        """Whether the printed number could be one more run.

        "exact": the digits are the same with the report's own seed. "within": the difference from
        the mean is at most 2 s sqrt(1 + 1/n), for n runs of standard deviation s, or half a unit
        of the last printed digit; else "above" where ours is larger, or "below". Measured on
        another data set than the report's, it is none of these.
        """
        if self.data:
            return "other data"
        if self.exact:
            return "exact"
        spreads = self.spreads
        if spreads is None:
            return "one run"
        number, words = self.number, []
        for mean, spread, value, digits in zip(
            self.means, spreads, number.values, number.decimals, strict=True
        ):
            half = 0.5 * 10.0**-digits
            limit = max(2 * spread * math.sqrt(1 + 1 / len(self.runs)), half)
            words.append(_word(mean - value, limit))
        if len(set(words)) == 1:
            return words[0]
        return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))

    def cells(self) -> tuple[str, ...]:
        """As text, for a table; of several numbers the largest difference is shown."""
        number, source = self.number, self.number.source
        name = self.name + ("" if self.variant == VARIANTS[0] else ", as meant")
        reported = number.values
        ours = self.runs[0] if self.exact else self.means
        differences = [mine - theirs for mine, theirs in zip(ours, reported, strict=True)]
        at = max(range(len(ours)), key=lambda i: abs(differences[i]))
        spreads = self.spreads
        several = f" ({at + 1} of {len(ours)})" if len(ours) > 1 else ""
        return (
            name,
            number.measure + several,
            number.show(reported[at], at) + ("" if source == "report" else f" ({source})"),
            number.show(ours[at], at),
            "-" if spreads is None else number.show(spreads[at], at),
            number.show(differences[at], at, sign="+"),
            self.verdict,
        )


@dataclass(frozen=True)
class Compared:
    """An experiment with what was run of it.

    Attributes:
        results: by case and variant, those of all seeds and folds, as their recipe says.
        lines: every reported number that something was measured for; of a variant as meant, one.
    """

    report: Report
    experiment: Experiment
    results: dict[tuple[str, str], list[dict[str, Any]]]
    lines: list[Line]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """All results."""
        return [run for runs in self.results.values() for run in runs]

    @property
    def facts(self) -> str:
        """How many runs, with which seeds, for how long, on which other data."""
        runs = self.runs
        seeds = ", ".join(dict.fromkeys(str(run["seed"]) for run in runs))
        mean = sum(run["seconds"] for run in runs) / len(runs)
        others = dict.fromkeys(line.data for line in self.lines if line.data)
        return (
            f"{len(runs)} run{'' if len(runs) == 1 else 's'} of {mean:.1f} s, seeds {seeds}"
            + "".join(f"; measured on {name}" for name in others)
        )


def compare(report: Report, experiment: Experiment, home: Path) -> Compared:
    """Read what was run of an experiment and hold it against its report."""
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for job in jobs_of(report, experiment, variants=VARIANTS):
        path = job.folder(home) / "result.json"
        if path.exists():
            results.setdefault((job.case, job.variant), []).append(read_result(path))
    lines = []
    for (case, variant), runs in results.items():
        recipe = experiment.cases[case]
        name = "/".join([report.name, experiment.row, *([case] if case else [])])
        wanted = getattr(recipe.data, "name", "")
        data = "" if runs[0]["data"] in ("", wanted) else runs[0]["data"]
        for number in recipe.reported if variant == VARIANTS[0] else _main(recipe.reported):
            values = [look_up(number.measure, run) for run in runs]
            kept = [v for v in values if v is not None and len(v) == len(number.values)]
            if kept:
                lines.append(Line(name, variant, number, kept, data))
    return Compared(report, experiment, results, lines)


def compare_all(reports: Iterable[Report], home: Path) -> list[Compared]:
    """Every experiment of which something was run as its recipe says.

    Raises:
        ValueError: there is none.
    """
    every = [
        compare(report, experiment, home) for report in reports for experiment in report.experiments
    ]
    found = [compared for compared in every if compared.results]
    if not found:
        raise ValueError(
            f"nothing in {home} was run as the recipes say; start with tinygrad-fm report run"
        )
    return found


def _main(numbers: Sequence[Number]) -> Sequence[Number]:
    """The number that a variant as meant is held against: the test accuracy if there is one."""
    single = [number for number in numbers if len(number.values) == 1]
    own = [number for number in single if number.source != "re-run"] or single
    return ([number for number in own if number.measure == "test accuracy"][:1]) or own[-1:]


def _word(difference: float, limit: float) -> str:
    if math.isnan(difference):
        return "NaN"
    if abs(difference) <= limit:
        return "within"
    return "above" if difference > 0 else "below"
