"""The command `python -m benchmarks`: a process for each benchmark and thread setting; tables."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, page, registry, table

ROOT = Path(__file__).parents[1]


def main() -> int:
    options = _arguments()
    if options.list:
        print("\n".join(registry.BENCHMARKS))
        return 0
    results: dict[str, Any] = {
        "quick": options.quick,
        "repeats": options.repeats,
        "machine": machine.facts(),
        "runs": [],
    }
    if options.results:
        try:
            page.check(options.results, results)
        except ValueError as error:  # before hours are spent
            print(error, file=sys.stderr)
            return 2
    print(table.header(results))
    failed = []
    for setting in options.threads:
        for names in _groups(setting, options):
            found = _measure_in_new_process(setting, names, options)
            if found is None:
                failed.append(f"{', '.join(names)} (--threads {setting})")
                continue
            print("\n".join(map(table.run, found)), flush=True)
            results["runs"] += found
            if options.json:
                options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
            if options.results:
                page.merge(options.results, results)
    if failed:
        print(f"failed, for the reasons above: {'; '.join(failed)}", file=sys.stderr)
    return bool(failed)


def _groups(setting: str, options: argparse.Namespace) -> list[list[str]]:
    """What shares a process: each benchmark has one of its own, unless it is to be quick.

    Those with Numba and those without it are never in the same one.
    """
    first = setting == options.threads[0]
    names = [n for n in options.only if first or n not in registry.WITHOUT_THREADS]
    if not options.quick:
        return [[name] for name in names]
    apart = registry.WITHOUT_NUMBA.__contains__
    return [list(group) for _, group in itertools.groupby(names, apart)]


def _measure_in_new_process(
    setting: str, names: list[str], options: argparse.Namespace
) -> list[dict[str, Any]] | None:
    """The results of these benchmarks; None if the process failed (and said why)."""
    count = machine.cores() if setting == "all" else int(setting)
    environment = os.environ | {variable: str(count) for variable in machine.THREAD_VARIABLES}
    without_numba = options.without_numba or names[0] in registry.WITHOUT_NUMBA
    environment[machine.FAST_VARIABLE] = "0" if without_numba else "1"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        order = {
            "threads": count,
            "benchmarks": names,
            "repeats": options.repeats,
            "quick": options.quick,
            "file": str(file),
        }
        command = [sys.executable, "-m", "benchmarks.process", json.dumps(order)]
        if subprocess.run(command, env=environment, cwd=ROOT).returncode:
            return None
        common = {
            "setting": setting,
            "numba": machine.version("numba") is not None and not options.without_numba,
            "taken": datetime.now(UTC).isoformat(timespec="minutes"),
            "commit": machine.commit(),
        }
        return [common | run for run in json.loads(file.read_text(encoding="utf-8"))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=registry.BENCHMARKS,
        default=list(registry.BENCHMARKS),
        metavar="NAME",
        help=f"some of: {', '.join(registry.BENCHMARKS)} (default: all)",
    )
    parser.add_argument(
        "--threads",
        type=_settings,
        default=["1", "all"],
        metavar="1,all",
        help="numbers of threads, separated by commas; each gets its own processes",
    )
    parser.add_argument(
        "--without-numba", action="store_true", help="tinygrad_fm leaves its extra `fast` alone"
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to this file")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="PAGE.md",
        help="write this page, its picture and its numbers (PAGE.svg, PAGE.json); what was not "
        "run now stays there as it was",
    )
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    options = parser.parse_args()
    if options.repeats is None:
        options.repeats = 3 if options.quick else 40
    if options.repeats < 1:
        parser.error(f"--repeats is at least 1, not {options.repeats}")
    if options.results and options.results.suffix != ".md":
        parser.error(f"--results is a page, as results.md, not {options.results}")
    return options


def _settings(text: str) -> list[str]:
    settings = text.split(",")
    for setting in settings:
        if setting != "all" and not (setting.isdecimal() and int(setting) > 0):
            raise argparse.ArgumentTypeError(f"{setting!r} is neither a number nor 'all'")
    return settings


if __name__ == "__main__":
    sys.exit(main())
