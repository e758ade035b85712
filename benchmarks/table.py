"""The results as tables for people, in a terminal and in Markdown."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import Any

from benchmarks.measure import OURS

# by name, how further facts are written
FACTS = {"steps": ",.0f", "accuracy": ".4f", "whole process": ".1f"}

# the matrix library in NumPy's wheels for Linux
USUAL = "OpenBLAS"


def quantity(value: float, unit: str) -> str:
    """A number with three or four digits and its unit."""
    if unit != "s":
        return f"{value:.1f} {unit}"
    for factor, name in ((1e6, "us"), (1e3, "ms")):
        if value * factor < 1000:
            return f"{value * factor:.{1 if value * factor >= 100 else 2}f} {name}"
    return f"{value:.2f} s"


def header(results: dict[str, Any]) -> str:
    """The machine and the versions, in two lines."""
    m = results["machine"]
    versions = ", ".join(
        f"{name} {version or '(not installed)'}" for name, version in m["versions"].items()
    )
    return f"{m['processor']}, {m['cores']} cores, {m['system']}, {m['python']}\n{versions}"


def library(found: dict[str, Any]) -> str:
    """The matrix library that NumPy had in a run, by the name that people give it."""
    name = str(found["blas"].partition(" ")[0])
    known = (k for k in ("OpenBLAS", "MKL", "BLIS", "Accelerate") if k.lower() in name.lower())
    return next(known, name)


def setting(found: dict[str, Any]) -> str:
    """What a run was told, and with which NumPy, where that is not the one of the wheels."""
    text = f"--threads {found['setting']}"
    if not found["numba"]:
        text += ", without Numba"
    if library(found) != USUAL:
        text += f", NumPy on {library(found)}"
    return text


def threads(found: dict[str, Any]) -> str:
    """How many threads a run had, and who says so."""
    blas, count = found["blas_threads"], found["threads"]
    says = f"says {blas[0]}" if blas else "cannot be asked without threadpoolctl"
    lines = f"{count} thread{'s' * (count > 1)} on {found['cores']} of the cores; BLAS "
    lines += f"{found['blas']} {says}"
    if found["torch_threads"]:
        lines += f", PyTorch says {found['torch_threads']}"
    if found["load"] is not None:
        lines += f"; {found['load']:.1f} processes ran or waited in the minute before"
    return lines


def run(found: dict[str, Any]) -> str:
    """All tables of one benchmark under one thread setting."""
    lines = [f"\n==== {found['benchmark']} ({setting(found)}) ====", threads(found)]
    lines += [case(c) for c in found["cases"]]
    if grown := growth(found["cases"]):
        lines += ["", "how the time grows", *_aligned(grown)]
    return "\n".join(lines)


def case(found: dict[str, Any]) -> str:
    """One case: a row for each contender, the skipped ones with their reason."""
    lines = ["", found["case"], *_aligned(rows(found))]
    lines += [f"  {name}: skipped, {reason}" for name, reason in found["skipped"].items()]
    return "\n".join(lines)


def markdown(found: list[tuple[str, ...]]) -> str:
    """Rows as a table of Markdown; the first is the heading."""
    first, *rest = found
    rule = "|---|" + "---:|" * (len(first) - 1)
    lines = [f"| {' | '.join(row)} |" for row in (first, *rest)]
    return "\n".join([lines[0], rule, *lines[1:]])


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Heading and contenders of a case."""
    unit, contenders = found["unit"], found["contenders"]
    ours = list(contenders[0]["ratios"])
    facts = list(contenders[0].get("facts", ()))
    table = [("", "median", "quartiles", *map(_title, ours), *facts)]
    for c in contenders:
        v, ratios = c["value"], [c["ratios"][name] for name in ours]
        table.append(
            (
                c["name"],
                quantity(v["median"], unit),
                f"{quantity(v['lower'], unit)} - {quantity(v['upper'], unit)}",
                *(f"{r['median']:.2f}x  ({r['lower']:.2f} - {r['upper']:.2f})" for r in ratios),
                *(f"{c['facts'][fact]:{FACTS[fact]}}" for fact in facts),
            )
        )
    return table


def _title(ours: str) -> str:
    """The heading of the column of ratios of one of our contenders."""
    return f"{ours.removeprefix(OURS).strip(', []') or OURS} takes"


def growth(cases: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """For each series, by contender: the power of the size that the time grows with."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for found in cases:
        if found["series"]:
            what, size = found["series"]
            for c in found["contenders"]:
                points[what, c["name"]].append((size, c["value"]["median"]))
    fitted = [("", "sizes", "slope", "between the last two", "first", "last")]
    for (what, name), line in points.items():
        logs = [(math.log(x), math.log(y)) for x, y in line]
        if len(logs) < 2:
            continue
        (x1, y1), (x2, y2) = logs[-2:]
        fitted.append(
            (
                f"{what}: {name}",
                f"{line[0][0]:,.0f} - {line[-1][0]:,.0f}",
                f"{statistics.linear_regression(*zip(*logs, strict=True)).slope:.2f}",
                f"{(y2 - y1) / (x2 - x1):.2f}",
                quantity(line[0][1], "s"),
                quantity(line[-1][1], "s"),
            )
        )
    return fitted if len(fitted) > 1 else []


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])])
        for row in table
    ]
