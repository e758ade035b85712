"""The command `python -m benchmarks`: a process for each thread setting, then tables and JSON."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, registry, table

ROOT = Path(__file__).parents[1]


def main() -> int:
    options = _arguments()
    if options.list:
        print("\n".join(registry.BENCHMARKS))
        return 0
    results: dict[str, Any] = {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "repeats": options.repeats,
        "machine": machine.facts(),
        "runs": [],
    }
    print(table.header(results))
    for i, setting in enumerate(options.threads):
        names = [n for n in options.only if i == 0 or n not in registry.WITHOUT_THREADS]
        if not names:
            continue
        found = _measure_in_new_process(setting, names, options)
        if found is None:
            return 1
        results["runs"].append(found)
        print(table.run(found), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def _measure_in_new_process(
    setting: str, names: list[str], options: argparse.Namespace
) -> dict[str, Any] | None:
    """The results under one thread setting; None if the process failed (and said why)."""
    count = machine.cores() if setting == "all" else int(setting)
    environment = os.environ | {name: str(count) for name in machine.THREAD_VARIABLES}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        order = {
            "threads": count,
            "only": names,
            "repeats": options.repeats,
            "quick": options.quick,
            "file": str(file),
        }
        command = [sys.executable, "-m", "benchmarks.process", json.dumps(order)]
        if subprocess.run(command, env=environment, cwd=ROOT).returncode:
            return None
        return {"setting": setting, **json.loads(file.read_text(encoding="utf-8"))}


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
        help="numbers of threads, separated by commas; each gets its own process",
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    options = parser.parse_args()
    if options.repeats is None:
        options.repeats = 3 if options.quick else 40
    if options.repeats < 1:
        parser.error(f"--repeats is at least 1, not {options.repeats}")
    return options


def _settings(text: str) -> list[str]:
    settings = text.split(",")
    for setting in settings:
        if setting != "all" and not (setting.isdecimal() and int(setting) > 0):
            raise argparse.ArgumentTypeError(f"{setting!r} is neither a number nor 'all'")
    return settings


if __name__ == "__main__":
    sys.exit(main())
