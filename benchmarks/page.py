"""The page of results, its picture and its numbers, kept together and written by the runner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import goals, picture, registry, table

OPENING = """# Results

Written by `python -m benchmarks --results {name}.md`, never by hand; the numbers are in
`{name}.json`. What is measured, and how, is in [README.md](README.md). What counts is the ratio,
taken turn by turn: `1.20x` means that tinygrad_fm, or a step it has compiled, takes 1.2 times as
long as that row, or 1.2 times the memory.
"""
QUICK = """
**Taken with `--quick`: the sizes are tiny and the numbers mean nothing.**
"""


def check(path: Path, results: dict[str, Any]) -> None:
    """That results of this machine can stand beside those that the page has.

    Raises:
        ValueError: they were taken elsewhere, with other versions, or by `--quick`; or there is no
            such folder.
    """
    if not path.parent.is_dir():
        raise ValueError(f"--results {path}: there is no folder {path.parent}")
    file = path.with_suffix(".json")
    if not file.exists():
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    for key in ("machine", "quick"):
        if before[key] != results[key]:
            raise ValueError(
                f"{file} was taken with {key} {before[key]}, not {results[key]}: the two cannot "
                "stand in one table. Write another page, or delete that file and run everything."
            )


def merge(path: Path, results: dict[str, Any]) -> None:
    """Put the runs into the page's numbers, in place of earlier ones, and write the page anew."""
    file = path.with_suffix(".json")
    before = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.exists() else []
    runs = {(table.setting(r), r["benchmark"]): r for r in [*before, *results["runs"]]}
    order = list(registry.BENCHMARKS)
    known = sorted(
        (r for r in runs.values() if r["benchmark"] in order),
        key=lambda r: (
            table.library(r) != table.USUAL,
            r["threads"],
            not r["numba"],
            order.index(r["benchmark"]),
        ),
    )
    kept = {"machine": results["machine"], "quick": results["quick"], "runs": _brief(known)}
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    write(path)


def write(path: Path) -> None:
    """The page and its picture, from the numbers beside it."""
    results = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    path.write_text(_text(path, results), encoding="utf-8")


def _brief(value: Any) -> Any:
    """Without the samples, and with four digits, which is more than a shared machine can tell."""
    if isinstance(value, dict):
        return {key: _brief(v) for key, v in value.items() if key != "samples"}
    if isinstance(value, list):
        return [_brief(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _text(path: Path, results: dict[str, Any]) -> str:
    runs = results["runs"]
    parts = [OPENING.format(name=path.stem)]
    if results["quick"]:
        parts.append(QUICK)
    parts.append("\n## The machine\n\n" + table.header(results).replace("\n", "  \n"))
    heading = (
        "benchmark, threads, NumPy's BLAS, cores, BLAS says, PyTorch says, load, taken, version"
    )
    rows = [tuple(heading.split(", ")), *map(_how, runs)]
    variables = ", ".join(runs[0]["variables"])
    parts.append(f"\nThreads are set by {variables},")
    parts.append(
        "and each process is held to as many cores. Load: processes that ran or waited, on"
    )
    parts.append(
        "average over the minute before. Version: the commit, with + where it was changed."
    )
    parts.append("\n" + table.markdown(rows))
    if judged := goals.judge(runs):
        parts.append("\n## The aims\n\n" + table.markdown(judged))
    drawn = picture.draw(runs, path.with_suffix(".svg"))
    parts.append(f"\n## Ratios\n\n{drawn}")
    for setting in dict.fromkeys(map(table.setting, runs)):
        parts.append(f"\n## With {setting}")
        parts += [_benchmark(r) for r in runs if table.setting(r) == setting]
    return "\n".join(parts) + "\n"


def _how(run: dict[str, Any]) -> tuple[str, ...]:
    """How one benchmark was run."""
    blas, load = run["blas_threads"], run["load"]
    return (
        run["benchmark"],
        str(run["threads"]) + ("" if run["numba"] else ", without Numba"),
        run["blas"],
        str(run["cores"]),
        str(blas[0]) if blas else "",
        str(run["torch_threads"] or ""),
        "" if load is None else f"{load:.1f}",
        run["taken"].partition("+")[0].replace("T", " "),
        run["commit"] or "",
    )


def _benchmark(run: dict[str, Any]) -> str:
    parts = [f"\n### {run['benchmark']}"]
    for found in run["cases"]:
        parts.append(f"\n{found['case']}\n\n{table.markdown(table.rows(found))}")
        if found["skipped"]:
            reasons = (f"{name} ({why})" for name, why in found["skipped"].items())
            parts.append(f"\nSkipped: {'; '.join(reasons)}")
    if grown := table.growth(run["cases"]):
        parts.append(f"\nHow the time grows\n\n{table.markdown(grown)}")
    return "\n".join(parts)
