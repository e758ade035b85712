"""Pictures of a training: learning curves and confusion matrices, drawn by matplotlib.

matplotlib comes with `pip install "tinygrad_fm[plot]"` and is imported when a picture is drawn. The
pictures are plain `matplotlib.figure.Figure`s, made without pyplot: nothing pops up, nothing is
kept in the background, and the program's own settings of matplotlib stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart: blue, vermilion, green, orange
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00")
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


def learning_curves(history: Any, *, title: str = "", validation: str = "validation") -> Figure:
    """Loss and accuracy over the epochs, training and validation together.

    Args:
        history: a train.History, or a mapping of columns with `train_loss` and what else there is
            of `epoch`, `train_accuracy`, `validation_loss`, `validation_accuracy`.
        title: above the picture.
        validation: how the validation set is called in the legend.

    Raises:
        PlotError: matplotlib is missing, or there is no epoch to show.
    """
    columns: Mapping[str, Sequence[Any]] = getattr(history, "columns", history)
    if not len(columns.get("train_loss", ())):
        raise PlotError("there is no epoch to draw learning curves of")
    epochs = list(columns.get("epoch", range(1, len(columns["train_loss"]) + 1)))
    panels = [
        (name, show, [(f"train_{name}", "training"), (f"validation_{name}", validation)])
        for name, show in (("loss", "{:.3f}".format), ("accuracy", "{:.2%}".format))
    ]
    panels = [p for p in panels if any(_has_values(columns, column) for column, _ in p[2])]
    with _style():
        figure: Figure = _figure(4.6 * len(panels), 3.5)
        for axes, (name, show, lines) in zip(_row(figure, len(panels)), panels, strict=True):
            for colour, (column, label) in zip(COLOURS, lines, strict=False):
                if _has_values(columns, column):
                    values = [np.nan if v is None else v for v in columns[column]]
                    marker = "o" if len(epochs) <= 30 else ""
                    label = f"{label}, last {show(values[-1])}"
                    axes.plot(epochs, values, color=colour, marker=marker, label=label)
            axes.set_title(name.capitalize())
            axes.set_xlabel("epoch")
            axes.grid(axis="y")
            axes.legend(loc="best")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if name == "accuracy":
                axes.yaxis.set_major_formatter("{x:.0%}")
            else:
                axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        if title:
            figure.suptitle(title, x=0.015, ha="left", color=INK)
    return figure


def confusion_matrix(
    matrix: Any, class_names: Sequence[str] | None = None, *, title: str = ""
) -> Figure:
    """A heat map of counts, (C, C): rows are the true classes, columns the predicted ones.

    The colour is the share of the row, on a scale that shows small shares too.

    Args:
        matrix: as `train.confusion_matrix` gives it.
        class_names: C names; by default the class numbers.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing.
        ValueError: the matrix is not square, or the names are not one for each class.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"a confusion matrix has shape (C, C), not {counts.shape}")
    classes = len(counts)
    names = [str(i) for i in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ValueError(f"{len(names)} class names for {classes} classes")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _style():
        from matplotlib.colors import PowerNorm

        side = 2.2 + 0.52 * classes
        figure: Figure = _figure(side + 0.9, side)
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.35 else INK
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, size=9)
        axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        # thin white lines between the cells
        axes.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.2)
        axes.tick_params(which="minor", length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        if title:
            axes.set_title(title, pad=10)
        bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, format="{x:.0%}")
        bar.set_ticks([0, 0.01, 0.05, 0.2, 0.5, 1])
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)
    return figure


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
    with _style():
        figure.savefig(path, dpi=150, metadata=facts)
    return path


def available() -> bool:
    """Whether matplotlib is installed."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def _style() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise PlotError(MISSING) from error
    # whatever the user's own settings are; to set the backend would import pyplot
    standard = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
    settings: Any = {**standard, **_STYLE}
    return matplotlib.rc_context(settings)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    return figure


def _row(figure: Any, count: int) -> list[Any]:
    return list(np.atleast_1d(figure.subplots(1, count)))


def _has_values(columns: Mapping[str, Sequence[Any]], name: str) -> bool:
    return any(value is not None for value in columns.get(name, ()))
