"""RESULTS.md: the comparison as a page for the repository."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from tinygrad_fm.reports.best import BEYOND
from tinygrad_fm.reports.compare import HEADER, Compared, Line, compare_all
from tinygrad_fm.reports.recipe import VARIANTS, Report

OPENING = """# The five reports, measured

Written by `tinygrad-fm report compare --out`; no figure is typed by hand. A row holds a number of a
report beside what the recipe gives here. *Spread* is the standard deviation over the seeds (of a
cross-validation, over its folds). *exact*: with the report's own seed, the very digits that it
prints. *within*: the printed number could be one more run: it is no farther from the mean than
2 s √(1 + 1/n), for n runs of standard deviation s. *above*, *below*: ours is larger, smaller. Of
several numbers, such as one for each epoch, the one that differs most is shown. Sources other than
the report's text are in brackets: its finished version, its program's own output (code), or an
independent repetition of its program in NumPy (re-run). *As meant* is the variant without the slips
of report and program: its effect is the difference from the variant as printed.
"""
COUNTED = "exact", "within", "above", "below"
EFFECTS = "experiment", "measure", "as printed", "as meant", "spread", "effect"


def to_markdown(reports: Iterable[Report], home: Path) -> str:
    """A table for each report, with seeds, times, versions and machines.

    Raises:
        ValueError: nothing was run as the recipes say.
    """
    found = compare_all(reports, home)
    parts = [OPENING, _counts(found)]
    for report, group in itertools.groupby(found, key=lambda compared: compared.report):
        experiments = list(group)
        parts.append(f"## {report.name}: {report.title} (report {report.number})\n")
        lines = [line for compared in experiments for line in compared.lines]
        printed = [line for line in lines if line.variant == VARIANTS[0]]
        if printed:
            parts.append(_table([HEADER, *(line.cells() for line in printed)]))
        effects = _effects(lines)
        if effects:
            parts.append("Without the slips:\n")
            parts.append(_table([EFFECTS, *effects]))
        parts += [_measured(compared) for compared in experiments if not compared.lines]
        for compared in experiments:
            experiment = compared.experiment
            said = f"- {experiment.row}, {experiment.title}: {compared.facts}. {experiment.note}"
            parts.append(said.rstrip())
        parts.append("")
    runs = [run for compared in found for run in compared.runs]
    parts.append("## Measured with\n")
    facts = (
        f"- {run['machine']}: " + ", ".join(f"{k} {v}" for k, v in run["versions"].items())
        for run in runs
    )
    parts += dict.fromkeys(facts)
    parts.append(f"- {sum(run['seconds'] for run in runs) / 3600:.1f} hours of one core in all")
    return "\n".join(parts) + "\n"


def _counts(found: Sequence[Compared]) -> str:
    """For each report, how many of its numbers were met how."""
    rows: list[Sequence[str]] = [("report", "numbers", *COUNTED, "else")]
    for report, group in itertools.groupby(found, key=lambda compared: compared.report):
        lines = [
            line
            for compared in group
            for line in compared.lines
            if line.variant == VARIANTS[0] and compared.experiment.row != BEYOND
        ]
        verdicts = [line.verdict for line in lines]
        counts = [verdicts.count(word) for word in COUNTED]
        rest = len(lines) - sum(counts)
        title = f"{report.name}: {report.title}"
        rows.append((title, *map(str, (len(lines), *counts, rest))))
    return _table(rows)


def _effects(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """The variants as meant, each beside the one as printed."""
    printed = {(x.name, x.number.measure): x for x in lines if x.variant == VARIANTS[0]}
    rows: list[tuple[str, ...]] = []
    for line in lines:
        other = printed.get((line.name, line.number.measure))
        if line.variant == VARIANTS[0] or other is None:
            continue
        number, spreads = line.number, line.spreads
        meant, before = line.means[0], other.means[0]
        rows.append(
            (
                line.name,
                number.measure,
                number.show(before),
                number.show(meant),
                "-" if spreads is None else number.show(spreads[0]),
                number.show(meant - before, sign="+"),
            )
        )
    return rows


def _measured(compared: Compared) -> str:
    """What was measured in an experiment for which the report has no numbers of the kind."""
    runs = compared.runs
    names = [name for name, value in runs[0]["measures"].items() if isinstance(value, float)]
    title = f"{compared.report.name}/{compared.experiment.row}"
    rows = [[title, *(run["name"].split("/")[-1] for run in runs)]]
    rows += [[name, *(f"{run['measures'][name]:.4g}" for run in runs)] for name in names]
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
