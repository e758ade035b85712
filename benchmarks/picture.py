"""The ratios of all cases as a picture: a row for each case, a mark for each peer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.measure import REFERENCE

# by the beginning of a contender's name: colour (Okabe and Ito's) and marker, the same everywhere
PEERS = {
    "PyTorch": ("#D55E00", "o"),
    "torch.compile": ("#D55E00", "x"),
    "JAX": ("#CC79A7", "s"),
    "scikit-learn": ("#E69F00", "D"),
    "MyGrad": ("#56B4E9", "^"),
    "HIPS autograd": ("#009E73", "v"),
    "NumPy by hand": ("#000000", "+"),
    "NumPy, planned": ("#0072B2", "P"),
    "GEMMs alone": ("#999999", "|"),
}
FEWEST = 4  # a setting with less than this part of another's rows has no panel
WITHOUT_RATIOS = ("growth", "import")
INK, FAINT = "#333333", "#D9D9D9"


def draw(runs: list[dict[str, Any]], path: Path) -> str:
    """Write the picture and return the lines of Markdown that show it, or say why there is none."""
    rows = _rows(runs)
    if not rows:
        return "No case with a peer has been measured."
    counts = {
        setting: sum(setting in row for row in rows.values())
        for setting in map(table.setting, runs)
    }
    # one that has few rows would be an empty panel
    settings = [s for s, count in counts.items() if FEWEST * count >= max(counts.values())]
    rows = {case: row for case, row in rows.items() if any(s in row for s in settings)}
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError:
        return "There is no picture: it needs matplotlib."
    style = {"svg.hashsalt": "tinygrad_fm", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(style):
        figure = Figure(figsize=(6 + 4.5 * len(settings), 1.4 + 0.24 * len(rows)))
        axes = figure.subplots(1, len(settings), sharex=True, sharey=True, squeeze=False)[0]
        for axis, setting in zip(axes, settings, strict=True):
            _panel(axis, setting, rows)
        axes[0].set_yticks(range(len(rows)), [name for _, name in rows])
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        found = {peer for row in rows.values() for ratios in row.values() for peer in ratios}
        named = [name for name in PEERS if name in found]
        columns = min(len(named), 5 * len(axes))
        figure.legend(
            [Line2D([], [], color=c, marker=m, linestyle="") for c, m in map(PEERS.get, named)],
            named,
            loc="upper center",
            ncols=columns,
            frameon=False,
        )
        top = 0.2 + 0.25 * math.ceil(len(named) / columns)  # inches
        figure.tight_layout(rect=(0, 0, 1, 1 - top / figure.get_figheight()))
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    return (
        f"![our time over each peer's, by case]({path.name})\n\nTo the left of the line "
        "tinygrad_fm takes less than the peer. Full: a compiled step, or what Numba compiled; "
        "pale: where there is neither. Of PyTorch's forms the fastest is shown. What was measured "
        "in few cases only is in the tables."
    )


def _rows(runs: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """By benchmark and label, by setting, by peer: the ratio, and whether ours was compiled."""
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for run in runs:
        if run["benchmark"] in WITHOUT_RATIOS:
            continue
        for found in run["cases"]:
            ratios = _ratios(found)
            if ratios:
                rows.setdefault((run["benchmark"], _label(found)), {})[table.setting(run)] = ratios
    return rows


def _ratios(found: dict[str, Any]) -> dict[str, tuple[float, bool]]:
    peers: dict[str, tuple[float, bool]] = {}
    for c in sorted(found["contenders"], key=lambda c: c["value"]["median"]):  # the fastest first
        for name in PEERS:
            if c["name"].startswith(name) and name not in peers:
                ours = list(c["ratios"])[-1]
                peers[name] = (c["ratios"][ours]["median"], ours != REFERENCE)
    return peers


def _label(found: dict[str, Any]) -> str:
    """The case without what all cases of its kind share."""
    return found["case"].rpartition(": ")[0] + (", memory" if found["unit"] == "MiB" else "")


def _panel(axis: Any, setting: str, rows: dict[tuple[str, str], Any]) -> None:
    """One thread setting."""
    axis.set_title(setting, loc="left", fontsize=10, fontweight="bold")
    axis.set_xscale("log")
    axis.set_xlabel("our time (or memory) over the peer's: left of 1x we take less")
    axis.axvline(1, color=INK, linewidth=1)
    axis.grid(axis="both", color=FAINT, linewidth=0.5)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    before = None
    for y, ((benchmark, _), settings) in enumerate(rows.items()):
        if before not in (None, benchmark):
            axis.axhline(y - 0.5, color=INK, linewidth=0.5)
        before = benchmark
        for name, (ratio, compiled) in settings.get(setting, {}).items():
            colour, marker = PEERS[name]
            axis.plot(ratio, y, marker, color=colour, markersize=6, alpha=1 if compiled else 0.55)
    ticks = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    low, high = axis.get_xlim()
    shown = [t for t in ticks if low <= t <= high]
    axis.set_xticks(shown, [f"{t:g}x" for t in shown])
    axis.minorticks_off()
