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


def lines_of(
    reports: Iterable[Report], home: Path, variants: Sequence[str] = VARIANTS
) -> list[Line]:
    """Every reported number that something was measured for, by runs that are as the recipe says.

    Of a variant as meant, one number is shown.
    """
    found = []
    for report in reports:
        for experiment in report.experiments:
            results = finished(report, experiment, home, variants)
            for (case, variant), runs in results.items():
                recipe = experiment.cases[case]
                name = "/".join([report.name, experiment.row, *([case] if case else [])])
                numbers: Sequence[Number] = recipe.reported
                if variant != VARIANTS[0]:
                    numbers = _main(numbers)
                for number in numbers:
                    values = [look_up(number.measure, run) for run in runs]
                    kept = [v for v in values if v is not None and len(v) == len(number.values)]
                    wanted = getattr(recipe.data, "name", "")
                    data = "" if runs[0]["data"] in ("", wanted) else runs[0]["data"]
                    if kept:
                        found.append(Line(name, variant, number, kept, data))
    return found


def _main(numbers: Sequence[Number]) -> Sequence[Number]:
    """The number that a variant as meant is held against: the test accuracy if there is one."""
    single = [number for number in numbers if len(number.values) == 1]
    own = [number for number in single if number.source != "re-run"] or single
    return ([number for number in own if number.measure == "test accuracy"][:1]) or own[-1:]


def finished(
    report: Report, experiment: Experiment, home: Path, variants: Sequence[str] = VARIANTS
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The results of an experiment, by case and variant, that are as their recipe says."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for job in jobs_of(report, experiment, variants=variants):
        path = job.folder(home) / "result.json"
        if path.exists():
            found.setdefault((job.case, job.variant), []).append(read_result(path))
    return found


def _word(difference: float, limit: float) -> str:
    if math.isnan(difference):
        return "NaN"
    if abs(difference) <= limit:
        return "within"
    return "above" if difference > 0 else "below"


# ---- the page for the repository -----------------------------------------------------------------

OPENING = """# The five reports, measured

Written by `tinygrad-fm report compare --out`; no figure is typed by hand. A row holds a number of a
report beside what the recipe gives here. *Spread* is the standard deviation over the seeds (of a
cross-validation, over its folds). *exact*: with the report's own seed, the very digits that it
prints. *within*: the printed number could be one more run: it is no farther from the mean than
2 s √(1 + 1/n), for n runs of standard deviation s. *above*, *below*: ours is larger, smaller. Of
several numbers, such as one for each epoch, the one that differs most is shown. Sources other than
the report's text are in brackets: its finished version, its program's own output (code), or an
independent repetition of its program in NumPy (re-run). *As meant* is the variant without the slips
of report and program; it is held against the same number.
"""


def to_markdown(reports: Iterable[Report], home: Path) -> str:
    """RESULTS.md: a table for each report, with seeds, time, versions and machine.

    Raises:
        ValueError: there is nothing to show.
    """
    parts, seconds = [OPENING], 0.0
    facts: dict[str, None] = {}
    for report in reports:
        lines = lines_of([report], home)
        if not lines:
            continue
        parts.append(f"## {report.name}: {report.title} (report {report.number})\n")
        rows = [HEADER, ("---",) * len(HEADER), *(line.cells() for line in lines)]
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
        parts += _probes(report, home)
        others = dict.fromkeys(line.data for line in lines if line.data)
        parts.extend(f"Measured on {name}.\n" for name in others)
        for experiment in report.experiments:
            results = finished(report, experiment, home)
            runs = [run for found in results.values() for run in found]
            if not runs:
                continue
            spent = sum(run["seconds"] for run in runs)
            seconds += spent
            seeds = ", ".join(map(str, dict.fromkeys(run["seed"] for run in runs)))
            parts.append(
                f"- {experiment.row}, {experiment.title}: seeds {seeds}; "
                f"{len(runs)} run{'' if len(runs) == 1 else 's'} of "
                f"{spent / len(runs):.1f} s. {experiment.note}".rstrip()
            )
            for run in runs:
                facts[_facts(run)] = None
        parts.append("")
    if not facts:
        raise ValueError(
            f"nothing in {home} was run as the recipes say; start with tinygrad-fm report run"
        )
    parts.append("## Measured with\n")
    parts += [f"- {fact}" for fact in facts]
    parts.append(f"- {seconds / 3600:.1f} hours of one core in all")
    return "\n".join(parts) + "\n"


def _probes(report: Report, home: Path) -> list[str]:
    """A table for each experiment for which the report has no numbers of the kind."""
    parts = []
    for experiment in report.experiments:
        if any(recipe.reported for recipe in experiment.cases.values()):
            continue
        runs = [run for found in finished(report, experiment, home).values() for run in found]
        names = [k for k, v in runs[0]["measures"].items() if isinstance(v, float)] if runs else []
        if names:
            head = [f"{report.name}/{experiment.row}", *(r["name"].split("/")[-1] for r in runs)]
            rows = [head, ["---"] * len(head)]
            rows += [[n, *(f"{run['measures'][n]:.4g}" for run in runs)] for n in names]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    return parts


def _facts(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in run["versions"].items())
    return f"{run['machine']}: {versions}"
