"""Pictures of several experiments: losses over iterations, numbers beside numbers, a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm.plots.style import COLOURS, INK, LINES, PlotError, heading, new_figure, style
from tinygrad_fm.train.metrics import moving_average

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 1000  # of a line: more cannot be told apart


def loss_curves(
    runs: Mapping[str, Sequence[float]],
    *,
    window: int = 100,
    log: bool = False,
    title: str = "",
) -> Figure:
    """The losses of single batches as moving averages over the iterations, one line for each run.

    Args:
        runs: losses (N,), such as `history.batch_losses`, by the names they have in the legend.
        window: how many batches an average is of, as far as there are so many before it.
        log: on a logarithmic scale.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing, or there is no loss.
        ValueError: a window below 1.
    """
    averages = {n: moving_average(losses, window) for n, losses in runs.items() if len(losses)}
    if not averages:
        raise PlotError("there are no losses to draw")
    with style():
        figure: Figure = new_figure(7.6, 3.4 + 0.1 * len(averages))
        axes = figure.add_subplot()
        for i, (name, values) in enumerate(averages.items()):
            shown = np.unique(np.linspace(0, len(values) - 1, POINTS).astype(int))
            colour, line = COLOURS[i % len(COLOURS)], LINES[i // len(COLOURS) % len(LINES)]
            label = f"{name}, last {values[-1]:.3f}"
            axes.plot(shown + 1, values[shown], color=colour, linestyle=line, label=label)
        axes.set_xlabel("iteration")
        axes.set_ylabel(f"loss, mean of {window} batches" if window > 1 else "loss")
        axes.grid(axis="y")
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        if len(averages) > 1:
            figure.legend(loc="outside right upper", fontsize=9)
        else:
            axes.legend(loc="upper right")
        heading(figure, title)
    return figure


def numbers(
    names: Sequence[str],
    reported: Sequence[float | None],
    measured: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    label: str = "test accuracy",
    title: str = "",
) -> Figure:
    """Reported numbers as rings beside measured ones with their spread, a row for each name.

    Args:
        names: of the N rows.
        reported: (N,), None where nothing is.
        measured: by their names in the legend, means (N,) and standard deviations (N,); NaN where
            there is none.
        label: what the numbers are.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing, or there is no row.
        ValueError: lengths that differ.
    """
    if not len(names):
        raise PlotError("there are no numbers to draw")
    rows = np.arange(len(names))
    lengths = {len(part) for pair in (*measured.values(), (reported,)) for part in pair}
    if lengths != {len(names)}:
        raise ValueError(f"numbers: {len(names)} names for parts of lengths {sorted(lengths)}")
    with style():
        figure: Figure = new_figure(7.6, 1.3 + 0.3 * len(names))
        axes = figure.add_subplot()
        for i, (name, (means, spreads)) in enumerate(measured.items()):
            at = rows + 0.13 * (i - (len(measured) - 1) / 2)
            axes.errorbar(
                means,
                at,
                xerr=np.nan_to_num(np.asarray(spreads, float)),
                color=COLOURS[i],
                fmt="o",
                capsize=3,
                label=name,
            )
        printed = [np.nan if value is None else value for value in reported]
        ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.5, "markersize": 10}
        axes.plot(printed, rows, "o", color=INK, label="reported", **ring)
        axes.set_yticks(rows, names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_xlabel(label)
        if "accuracy" in label:
            axes.xaxis.set_major_formatter("{x:.0%}")
        figure.legend(loc="outside lower left", ncols=len(measured) + 1, fontsize=9)
        heading(figure, title)
    return figure


def search_scatter(
    settings: Mapping[str, Sequence[float]],
    scores: Sequence[float],
    *,
    label: str = "accuracy",
    title: str = "",
) -> Figure:
    """Two settings of a search as places, and the score of each pair as a colour.

    Args:
        settings: exactly two, values (N,) by name; drawn on logarithmic scales.
        scores: (N,).
        label: what the scores are.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing.
        ValueError: not two settings, or lengths that differ.
    """
    if len(settings) != 2 or any(len(values) != len(scores) for values in settings.values()):
        sizes = {name: len(values) for name, values in settings.items()}
        raise ValueError(
            f"search_scatter: settings {sizes} for {len(scores)} scores; expected two of them, "
            "with a value for each score"
        )
    (across, x), (up, y) = settings.items()
    with style():
        figure: Figure = new_figure(6.4, 4.4)
        axes = figure.add_subplot()
        points = axes.scatter(x, y, c=scores, cmap="viridis", s=70, edgecolor=INK, linewidth=0.6)
        best = int(np.nanargmax(np.asarray(scores, float)))
        note: dict[str, Any] = {
            "textcoords": "offset points",
            "xytext": (9, 5),
            "size": 9,
            "weight": "bold",
        }
        axes.annotate(f"{scores[best]:.2%}", (x[best], y[best]), color=INK, **note)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.grid()
        bar = figure.colorbar(points, ax=axes, pad=0.02)
        bar.set_label(label)
        bar.outline.set_visible(False)
        heading(figure, title)
    return figure
