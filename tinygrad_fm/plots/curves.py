"""Learning curves: of one training, and of several in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm.plots.style import COLOURS, LINES, PlotError, heading, new_figure, style
from tinygrad_fm.train.metrics import moving_average

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = Mapping[str, Sequence[Any]]
_PALE = "#8EC1DE"  # the first colour, lighter: single batches of what the first colour averages


def learning_curves(
    history: Any, *, title: str = "", validation: str = "validation", window: int | None = None
) -> Figure:
    """Loss and accuracy over the epochs, training and validation together.

    Args:
        history: a train.History, or a mapping of columns with `train_loss` and what else there is
            of `epoch`, `train_accuracy`, `validation_loss`, `validation_accuracy`.
        title: above the picture.
        validation: how the validation set is called in the legend.
        window: show the moving average over so many batches too, where the history has the losses
            of single batches.

    Raises:
        PlotError: matplotlib is missing, or there is no epoch, or no loss or accuracy, to show.
        ValueError: a window below 1, or columns of different lengths.
    """
    columns = columns_of(history)
    epochs = _epochs(columns)
    panels = [
        (name, show, [(f"train_{name}", "training"), (f"validation_{name}", validation)])
        for name, show in (("loss", "{:.3f}".format), ("accuracy", "{:.2%}".format))
    ]
    panels = [p for p in panels if any(_has_values(columns, column) for column, _ in p[2])]
    if not panels:
        raise PlotError(f"there is no loss or accuracy among {', '.join(columns)}")
    with style():
        figure: Figure = new_figure(4.6 * len(panels), 3.5)
        for axes, (name, show, lines) in zip(_row(figure, len(panels)), panels, strict=True):
            if name == "loss" and window is not None:
                _draw_average(axes, getattr(history, "batch_losses", ()), epochs, window)
            for colour, (column, label) in zip(COLOURS, lines, strict=False):
                if _has_values(columns, column):
                    values = _numbers(columns[column])
                    marker = "o" if len(epochs) <= 30 else ""
                    label = f"{label}, last {show(values[-1])}"
                    axes.plot(epochs, values, color=colour, marker=marker, label=label)
            _finish(axes, name)
            axes.legend(loc="best")
        heading(figure, title)
    return figure


def overlay(
    runs: Mapping[str, Any],
    *,
    columns: Sequence[str] = ("train_loss", "validation_accuracy"),
    title: str = "",
) -> Figure:
    """Several trainings in one picture, a panel for each column and a line for each training.

    Args:
        runs: histories, or mappings of columns, by the names they have in the legend.
        columns: which columns of the histories to show; one that no run has is left out.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing, or there is nothing to show.
    """
    found = {name: columns_of(history) for name, history in runs.items()}
    shown = [column for column in columns if any(_has_values(c, column) for c in found.values())]
    if not shown:
        raise PlotError(f"no run has any of the columns {', '.join(columns)}")
    with style():
        # the legend has a line for each run, below the panels
        figure: Figure = new_figure(4.8 * len(shown), 3.5 + 0.2 * len(runs))
        for axes, column in zip(_row(figure, len(shown)), shown, strict=True):
            longest = 0
            for i, (name, values) in enumerate(found.items()):
                if not _has_values(values, column):
                    continue
                epochs = _epochs(values)
                longest = max(longest, len(epochs))
                axes.plot(
                    epochs,
                    _numbers(values[column]),
                    color=COLOURS[i % len(COLOURS)],
                    linestyle=LINES[i // len(COLOURS) % len(LINES)],
                    marker="o" if len(epochs) == 1 else "",
                    label=name,
                )
            _finish(axes, column.replace("_", " "))
        handles = {}
        for axes in figure.axes:
            lines, names = axes.get_legend_handles_labels()
            handles.update(dict(zip(names, lines, strict=True)))
        labels = [f"{name}: {_last(found[name], shown)}" for name in handles]
        figure.legend(handles.values(), labels, loc="outside lower left", fontsize=9)
        heading(figure, title)
    return figure


def columns_of(history: Any) -> Columns:
    """The columns of a history, which may be a mapping of them already.

    Raises:
        PlotError: it has no epoch. ValueError: columns of different lengths.
    """
    columns: Columns = getattr(history, "columns", history)
    lengths = {name: len(values) for name, values in columns.items()}
    if not any(lengths.values()):
        raise PlotError("there is no epoch to draw learning curves of")
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"the columns have the lengths {lengths}; expected one for all, with None where an "
            "epoch lacks a value"
        )
    return columns


def _draw_average(axes: Any, losses: Sequence[float], epochs: list[Any], window: int) -> None:
    if not len(losses):
        return
    # the losses fill the recorded epochs, each of which ends at its number
    begin = epochs[0] - 1
    at = begin + (epochs[-1] - begin) * np.arange(1, len(losses) + 1) / len(losses)
    label = f"mean of {window} batches"
    axes.plot(at, moving_average(losses, window), color=_PALE, linewidth=1, label=label)


def _finish(axes: Any, name: str) -> None:
    axes.set_title(name[0].upper() + name[1:])
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if "accuracy" in name:
        # no ticks such as 2.5 %, which would be rounded
        axes.yaxis.get_major_locator().set_params(nbins=8, steps=[1, 2, 5, 10])
        low, high = axes.get_ylim()
        axes.yaxis.set_major_formatter("{x:.0%}" if high - low > 0.06 else "{x:.1%}")
    elif "loss" in name:
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))


def _last(columns: Columns, shown: Sequence[str]) -> str:
    parts = []
    for column in shown:
        values = columns.get(column, ())
        if len(values) and values[-1] is not None:
            show = "{:.2%}" if "accuracy" in column else "{:.4g}"
            parts.append(f"{column.replace('_', ' ')} {show.format(values[-1])}")
    return ", ".join(parts)


def _epochs(columns: Columns) -> list[Any]:
    longest = max((len(values) for values in columns.values()), default=0)
    return list(columns.get("epoch", range(1, longest + 1)))


def _numbers(values: Sequence[Any]) -> list[float]:
    return [np.nan if v is None else v for v in values]


def _row(figure: Any, count: int) -> list[Any]:
    return list(np.atleast_1d(figure.subplots(1, count)))


def _has_values(columns: Columns, name: str) -> bool:
    return any(value is not None for value in columns.get(name, ()))
