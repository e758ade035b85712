"""How all pictures look, how they are made without pyplot, and how they are saved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart: blue, vermilion, green,
# orange, sky blue, purple, black; yellow is left out, which is faint on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000")
LINES = ("-", "--", ":", "-.")  # where there are more lines than colours
INK, FAINT = "#333333", "#D9D9D9"
FORMATS = (".png", ".svg")
MISSING = 'pictures need matplotlib; get it with: pip install "tinygrad_fm[plot]"'

_STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.hashsalt": "tinygrad_fm",  # the same picture gives the same file
    "svg.fonttype": "none",  # text stays text, which can be searched and selected
}


class PlotError(RuntimeError):
    """A picture cannot be drawn: matplotlib is missing, or there is nothing to draw."""


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a picture; the ending of the name says whether as PNG (at 150 dpi) or as SVG.

    Raises:
        ValueError: another ending. OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"a picture is saved as {' or '.join(FORMATS)}, not as {path.name!r}")
    # the date and version would make the same picture another file
    facts = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with style():
        figure.savefig(path, dpi=150, metadata=facts)
    return path


def available() -> bool:
    """Whether matplotlib is installed."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def style() -> Any:
    """A context in which matplotlib's settings are ours, whatever the program's own are.

    Raises:
        PlotError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise PlotError(MISSING) from error
    # to set the backend would import pyplot
    standard = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
    settings: Any = {**standard, **_STYLE}
    return matplotlib.rc_context(settings)


def new_figure(width: float, height: float) -> Any:
    """An empty Figure of a size in inches, whose parts make room for each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    return figure


def heading(figure: Any, title: str) -> None:
    """A title above the whole picture, at its left."""
    if title:
        figure.suptitle(title, x=0.015, ha="left", color=INK, fontweight="bold", fontsize=12)


def bare(axes: Any) -> None:
    """No ticks and no frame, for images."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def mosaic(tiles: Any, columns: int, gap: int = 1) -> Any:
    """Images (N, H, W) or (N, H, W, 3) as one, row by row; NaN between them and where none is."""
    tiles = np.asarray(tiles, np.float64)
    count, height, width, *rest = tiles.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *rest)
    whole = np.full(shape, np.nan)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        whole[top : top + height, left : left + width] = tile
    return whole
