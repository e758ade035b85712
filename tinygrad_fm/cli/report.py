"""`tinygrad-fm report`: the five reports' experiments, listed, run, compared, and on a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tinygrad_fm import data
from tinygrad_fm.cli.text import CommandError, UsageError, bold, counted, table
from tinygrad_fm.reports import all_reports, find
from tinygrad_fm.reports.compare import HEADER, Line, compare_all
from tinygrad_fm.reports.jobs import Job, estimate, jobs_of
from tinygrad_fm.reports.markdown import to_markdown
from tinygrad_fm.reports.measures import look_up
from tinygrad_fm.reports.recipe import VARIANTS
from tinygrad_fm.reports.runner import in_order, run_jobs
from tinygrad_fm.train.files import replacing

LISTED = 12  # of more numbers, such as a confusion matrix, only the one that differs most is shown


def show_list(arguments: argparse.Namespace) -> int:
    """What there is to run, how long it takes, and what is done."""
    home = Path(arguments.folder)
    rows = [("experiment", "", "runs", "done", "each", "all")]
    total = 0.0
    for report in all_reports():
        for experiment in report.experiments:
            jobs = list(jobs_of(report, experiment, variants=VARIANTS))
            seconds = [estimate(job.recipe) for job in jobs]
            done = sum((job.folder(home) / "result.json").exists() for job in jobs)
            total += sum(seconds)
            rows.append(
                (
                    f"{report.name}/{experiment.row}",
                    experiment.title,
                    f"{len(jobs)}",
                    f"{done}",
                    f"{_time(min(seconds))}"
                    + ("" if max(seconds) < 2 * min(seconds) else f" to {_time(max(seconds))}"),
                    _time(sum(seconds)),
                )
            )
    print(table(rows))
    print(f"\nAbout {_time(total)} on one core, all seeds, as printed and as meant. To run it all:")
    print("tinygrad-fm report run all --both --jobs 2   (again, to go on where it was stopped)")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run experiments; print each one's reported and measured numbers."""
    home = Path(arguments.folder)
    jobs = _wanted(arguments)
    waiting = {job.title: estimate(job.recipe) for job in jobs}
    spent = expected = 0.0
    try:
        for number, (job, result) in enumerate(
            run_jobs(jobs, home, arguments.jobs, None if len(jobs) == 1 else False), 1
        ):
            spent, expected = spent + result["seconds"], expected + waiting.pop(job.title)
            print(bold(job.title) + f"   {_time(result['seconds'])}", flush=True)
            if result["diverged"]:
                print(f"  {result['diverged']}")
            print(_numbers(job, result), flush=True)
            if waiting:
                left = sum(waiting.values()) * (spent / expected if expected else 1)
                print(
                    f"  {number} of {len(jobs)} done, about {_time(left / arguments.jobs)} left",
                    flush=True,
                )
    except data.DataError as error:
        raise CommandError(error) from error
    except RuntimeError as error:
        raise CommandError(error) from error
    print(f"in {home}; to hold it all against the reports: tinygrad-fm report compare")
    return 0


def _wanted(arguments: argparse.Namespace) -> list[Job]:
    for name in ("jobs", "epochs", "images"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} is at least 1, not {value}")
    variants = VARIANTS if arguments.both else VARIANTS[arguments.as_meant :][:1]
    changes = {"epochs": arguments.epochs, "images": arguments.images, "data": arguments.data}
    jobs: list[Job] = []
    for wanted in arguments.experiments:
        try:
            found = find(wanted)
        except ValueError as error:
            raise UsageError(str(error)) from error
        for report, experiment, case in found:
            jobs += jobs_of(
                report,
                experiment,
                case=case,
                variants=variants,
                seeds=arguments.seed,
                **changes,
            )
    if not jobs:
        raise UsageError("what was asked for is as it is meant; leave out --as-meant")
    return in_order(jobs)


def _numbers(job: Job, result: dict[str, Any]) -> str:
    """What a report gives and what this run gave, in lines; or what was measured at all."""
    rows: list[tuple[str, ...]] = [("  measure", "reported", "here", "difference", "")]
    for number in job.recipe.reported:
        values = look_up(number.measure, result)
        if values is None or len(values) != len(number.values):
            continue
        if len(values) > LISTED:
            line = Line(job.name, job.variant, number, [values])
            cells = dict(zip(HEADER, line.cells(), strict=True))
            rows.append((f"  {cells['measure']}", *(cells[name] for name in HEADER[2:4]), "", ""))
            continue
        same = number.same(values)
        for i, (mine, theirs) in enumerate(zip(values, number.values, strict=True)):
            rows.append(
                (
                    "" if i else f"  {number.measure} ({number.source})",
                    number.show(theirs, i),
                    number.show(mine, i),
                    number.show(mine - theirs, i, sign="+"),
                    "the same digits" if same[i] else "",
                )
            )
    if first := result["measures"].get("first accuracies"):
        both = " and ".join(f"{value:.4f}" for value in first)
        rows.append(("  training and validation accuracy after one update", "", both, "", ""))
    if len(rows) > 1:
        return table(rows)
    plain = {k: v for k, v in result["measures"].items() if isinstance(v, float)}
    return table([(f"  {name}", f"{value:.4g}") for name, value in plain.items()])


def compare(arguments: argparse.Namespace) -> int:
    """A table of all that was run; with --out, as RESULTS.md."""
    home = Path(arguments.folder)
    try:
        found = compare_all(all_reports(), home)
    except ValueError as error:
        raise CommandError(error) from error
    print(table([HEADER, *(line.cells() for compared in found for line in compared.lines)]))
    if arguments.out is not None:
        try:
            with replacing(arguments.out) as temporary:
                temporary.write_text(to_markdown(all_reports(), home), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {arguments.out}: {error}") from error
        print(f"written to {arguments.out}")
    return 0


def page(arguments: argparse.Namespace) -> int:
    """One HTML file with tables and figures."""
    from tinygrad_fm import plots
    from tinygrad_fm.reports.page import to_html

    if not plots.available():
        raise CommandError(plots.MISSING)
    try:
        text, figures = to_html(all_reports(), Path(arguments.folder))
        with replacing(arguments.out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except ValueError as error:
        raise CommandError(error) from error
    except OSError as error:
        raise CommandError(f"cannot write {arguments.out}: {error}") from error
    print(f"written to {arguments.out}: {counted(figures, 'figure')}")
    return 0


def _time(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
