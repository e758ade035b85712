"""`tinygrad-fm check`: is the backward pass in a file right, and if not, where is it wrong?"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

from tinygrad_fm.cli.text import bold
from tinygrad_fm.testing.backward import BackwardReport, CannotRunError
from tinygrad_fm.testing.backward.discover import NOTHING, subjects
from tinygrad_fm.testing.backward.report import to_junit
from tinygrad_fm.testing.backward.sources import load

WRONG, COULD_NOT = 1, 2

TEST = """as a test:

    from tinygrad_fm.testing import check_file

    def test_backward():
        assert all(report.is_right for report in check_file("{}"))"""

Found = tuple[str, str, BackwardReport | str]


def run(arguments: argparse.Namespace) -> int:
    """Check, and print what was found; returns 0 right, 1 wrong, 2 could not run."""
    where, _, name = arguments.target.partition("::")
    path = Path(where)
    if not path.exists():
        print(f"tinygrad-fm check: there is no {where}", file=sys.stderr)
        return COULD_NOT
    files = sorted([*path.rglob("*.py"), *path.rglob("*.ipynb")]) if path.is_dir() else [path]
    found: list[Found] = []
    for file in files:
        found += _check(file, name, alone=len(files) == 1, text=arguments.format == "text")
    if not found:
        others = _names(files) if name else []
        said = f"{where} has no {name} to check; it has {', '.join(others)}" if others else ""
        print(f"tinygrad-fm check: {said or NOTHING.format(arguments.target)}", file=sys.stderr)
        return COULD_NOT
    if arguments.format == "json":
        print(json.dumps([_as_dict(*entry) for entry in found], indent=2))
    elif arguments.format == "junit":
        print(to_junit(found), end="")
    elif arguments.format == "markdown":
        for written_in, title, report in found:
            said = f"### {title}: could not be checked\n\n{report}\n"
            print(f"<!-- {written_in} -->")
            print(said if isinstance(report, str) else report.to_markdown())
    reports = [report for _, _, report in found]
    if any(isinstance(r, BackwardReport) and not r.is_right for r in reports):
        if arguments.format == "text":
            wrong = next(f for f, _, r in found if isinstance(r, BackwardReport) and not r.is_right)
            print(TEST.format(wrong if path.is_dir() else arguments.target))
        return WRONG
    return COULD_NOT if any(isinstance(r, str) for r in reports) else 0


def _names(files: list[Path]) -> list[str]:
    """What there is to check in files that can be read."""
    found: list[str] = []
    for file in files:
        with suppress(CannotRunError), redirect_stdout(StringIO()):
            found += [title for title, _ in subjects(load(file))]
    return found


def _check(file: Path, name: str, *, alone: bool, text: bool) -> list[Found]:
    """Everything in one file; printed at once where that is asked for."""
    try:
        with redirect_stdout(StringIO()):  # what the person's code prints is none of the report
            source = load(file)
    except CannotRunError as error:
        if text:
            print(f"{bold(str(file))}: {error}")
        return [(str(file), file.stem, str(error))]
    subjects_here = list(subjects(source, name))
    if not subjects_here:
        return []
    if text:
        print(bold(str(file)))
        for note in source.notes:
            print(f"  ({note})")
    found: list[Found] = []
    for title, check in subjects_here:
        try:
            with redirect_stdout(StringIO()):
                report: BackwardReport | str = check()
        except CannotRunError as error:
            report = str(error)
        except Exception as error:  # of code that nobody thought of: the others are still checked
            report = f"the check itself fails on it, with {type(error).__name__}: {error}"
        if text:
            said = f"{title}: could not be checked: {report}"
            print(said if isinstance(report, str) else report, flush=True)
        found.append((str(file), title, report))
    return found


def _as_dict(file: str, name: str, report: BackwardReport | str) -> dict[str, object]:
    if isinstance(report, str):
        return {"file": file, "name": name, "verdict": "could not run", "reason": report}
    return {"file": file, **report.to_dict(), "name": name}
