"""Five student reports as recipes: data beside the reports' text, run and compared by one command.

tinygrad-fm report list
tinygrad-fm report run zheng/Z1
tinygrad-fm report compare
"""

from __future__ import annotations

from tinygrad_fm.reports.recipe import Data, Experiment, Number, Probe, Recipe, Report

__all__ = ["Data", "Experiment", "Number", "Probe", "Recipe", "Report", "all_reports", "find"]

NAMES = ("zheng", "cheng", "dewangan", "korssjoen", "kong")


def all_reports() -> tuple[Report, ...]:
    """The five reports, 000 to 004."""
    from importlib import import_module

    return tuple(import_module(f"tinygrad_fm.reports.{name}").REPORT for name in NAMES)


def find(wanted: str) -> list[tuple[Report, Experiment, str | None]]:
    """The experiments of "zheng", "zheng/Z2", "zheng/Z2/relu, tanh", or "all", with the case.

    Raises:
        ValueError: there is none of that name; the message lists what there is.
    """
    import difflib

    reports = {report.name: report for report in all_reports()}
    name, _, rest = wanted.partition("/")
    row, _, case = rest.partition("/")
    if name == "all" and not rest:
        return [(r, e, None) for r in reports.values() for e in r.experiments]

    def one_of(what: str, word: str, known: list[str]) -> str:
        match = next((k for k in known if k.lower() == word.lower()), None)
        if match is None:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{word!r} is no {what}; there are {', '.join(known)}{hint}")
        return match

    report = reports[one_of("report", name, list(reports))]
    rows = {e.row: e for e in report.experiments}
    if not row:
        return [(report, experiment, None) for experiment in rows.values()]
    experiment = rows[one_of(f"experiment of {report.name}", row, list(rows))]
    if not case:
        return [(report, experiment, None)]
    return [(report, experiment, one_of(f"case of {experiment.row}", case, list(experiment.cases)))]
