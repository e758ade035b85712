"""Pictures of right and wrong answers: confusion matrix, scores of classes, a grid of mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm.plots.style import (
    COLOURS,
    INK,
    PlotError,
    bare,
    heading,
    new_figure,
    style,
)
from tinygrad_fm.train.report import ClassificationReport, checked_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    names = checked_names(class_names, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with style():
        from matplotlib.colors import PowerNorm

        side = 2.2 + 0.52 * classes
        figure: Figure = new_figure(side + 0.9, side)
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


def class_scores(report: ClassificationReport, *, title: str = "") -> Figure:
    """Bars of precision, recall and F1 of each class, and lines at their means.

    Args:
        report: as `train.classification_report` gives it.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing.
    """
    scores = {"precision": report.precision, "recall": report.recall, "F1": report.f1}
    rows = np.arange(len(report.class_names))
    with style():
        figure: Figure = new_figure(7.6, 1.4 + 0.42 * len(rows))
        axes = figure.add_subplot()
        for i, (name, values) in enumerate(scores.items()):
            mean = float(np.nanmean(values))
            label = f"{name}, mean {mean:.2%}"
            axes.barh(rows + 0.26 * (i - 1), values, 0.24, color=COLOURS[i], label=label)
            axes.axvline(mean, color=COLOURS[i], linewidth=0.8, linestyle=":")
        axes.set_yticks(rows, report.class_names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        lowest = float(np.nanmin([np.nanmin(values) for values in scores.values()]))
        axes.set_xlim(max(0.0, np.floor(lowest * 10 - 0.5) / 10), 1)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.grid(axis="x")
        figure.legend(loc="outside lower left", ncols=3, fontsize=9)
        heading(figure, title)
    return figure


def mistakes(
    images: Any,
    predictions: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    limit: int = 24,
    columns: int = 8,
    title: str = "",
) -> Figure:
    """The first images that were taken for another class, each with its index and both classes.

    Args:
        images: all of them, (N, H, W) or (N, 1, H, W), in any range, or colour images (N, 3, H, W),
            bytes or numbers from 0 to 1.
        predictions: class numbers, (N,).
        labels: the true class numbers, (N,).
        class_names: C names; by default the class numbers.
        limit: how many mistakes to show at most, 1 or more.
        columns: images in a row, 1 or more.
        title: above the picture; by default it counts the mistakes.

    Raises:
        PlotError: matplotlib is missing, or there is no mistake to show.
        ValueError: shapes that do not fit, a class without a name, a limit or columns below 1.
        TypeError: classes that are not integers.
    """
    if limit < 1 or columns < 1:
        raise ValueError(f"mistakes: limit and columns are at least 1, not {limit} and {columns}")
    pictures, predicted, true = np.asarray(images), np.asarray(predictions), np.asarray(labels)
    if pictures.ndim == 4 and pictures.shape[1] == 1:
        pictures = pictures[:, 0]
    axes_of_one = 2
    if pictures.ndim == 4 and pictures.shape[1] == 3:
        pictures, axes_of_one = np.moveaxis(pictures, 1, -1), 3
    fits = predicted.shape == true.shape == pictures.shape[:1]
    if pictures.ndim != 1 + axes_of_one or not fits:
        raise ValueError(
            f"mistakes: images {np.shape(images)}, predictions {predicted.shape}, labels "
            f"{true.shape}; expected (N, H, W), (N,) and (N,)"
        )
    for name, classes in (("predictions", predicted), ("labels", true)):
        if classes.dtype.kind not in "iu":
            raise TypeError(f"mistakes: {name} are class numbers, not {classes.dtype}")
    wrong = np.flatnonzero(predicted != true)
    if not wrong.size:
        raise PlotError(f"there is no mistake to show among {len(true):,} images")
    if class_names is None:
        class_names = [str(i) for i in range(int(max(predicted.max(), true.max())) + 1)]
    shown = wrong[:limit]
    used = np.concatenate([predicted[shown], true[shown]])
    if not 0 <= used.min() <= used.max() < len(class_names):
        bad = used.min() if used.min() < 0 else used.max()
        raise ValueError(f"mistakes: class {bad} has no name; there are {len(class_names)}")
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    with style():
        figure: Figure = new_figure(max(1.32 * columns, 3.6), 1.62 * rows + 0.6)
        grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axes, index in zip(grid, shown, strict=False):
            axes.imshow(pictures[index], cmap="gray", interpolation="nearest")
            axes.set_title(f"{index:,}", size=7, weight="normal", loc="right", pad=2)
            below = {"ha": "center", "va": "top", "transform": axes.transAxes, "size": 8}
            said = class_names[predicted[index]]
            axes.text(0.5, -0.04, f"{said}?", color=COLOURS[1], weight="bold", **below)
            axes.text(0.5, -0.17, f"is {class_names[true[index]]}", color=INK, **below)
        for axes in grid:
            bare(axes)
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
        some = f"The first {len(shown)} of {len(wrong):,}" if len(shown) < len(wrong) else "All"
        heading(figure, title or f"{some} mistakes")
    return figure
