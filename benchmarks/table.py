"""The results as a table for people."""

from __future__ import annotations

from typing import Any


def seconds(value: float) -> str:
    """A time with three or four digits and its unit."""
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if value * factor < 1000:
            return f"{value * factor:.{1 if value * factor >= 100 else 2}f} {unit}"
    return f"{value:.2f} s"


def header(results: dict[str, Any]) -> str:
    """The machine and the versions, in two lines."""
    m = results["machine"]
    versions = ", ".join(
        f"{name} {version or '(not installed)'}" for name, version in m["versions"].items()
    )
    return f"{m['processor']}, {m['cores']} cores, {m['system']}, {m['python']}\n{versions}"


def run(found: dict[str, Any]) -> str:
    """All tables of one thread setting."""
    blas = found["blas_threads"]
    says = f"says {blas[0]}" if blas else "cannot be asked without threadpoolctl"
    count = found["threads"]
    lines = [f"\n==== {count} thread{'s' * (count > 1)} (--threads {found['setting']}) ===="]
    if found["load"] is not None:
        lines.append(f"processes that ran or waited in the minute before: {found['load']:.1f}")
    lines.append(
        f"set by {', '.join(found['variables'])}; BLAS {found['blas']} {says}"
        + (f", PyTorch says {found['torch_threads']}" if found["torch_threads"] else "")
    )
    return "\n".join(lines + [case(c) for c in found["cases"]])


def case(found: dict[str, Any]) -> str:
    """One case: a row for each contender, the skipped ones with their reason."""
    rows = [("", "median", "quartiles", "tinygrad_fm takes")]
    for c in found["contenders"]:
        s, r = c["seconds"], c["ratio"]
        rows.append(
            (
                c["name"],
                seconds(s["median"]),
                f"{seconds(s['lower'])} - {seconds(s['upper'])}",
                f"{r['median']:.2f}x  ({r['lower']:.2f} - {r['upper']:.2f})",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}"
        for a, b, c, d in rows
    ]
    lines += [f"  {name}: skipped, {reason}" for name, reason in found["skipped"].items()]
    return "\n".join(["", found["case"], *lines])
