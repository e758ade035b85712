"""Pictures of whole weight matrices, as heat maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm.plots.style import PlotError, heading, new_figure, style
from tinygrad_fm.tensor import array_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def weights_maps(layers: Mapping[str, Any], *, title: str = "") -> Figure:
    """Each layer's weights as they are: inputs down, outputs across; blue negative, red positive.

    A map's scale reaches to the 99.5th percentile of its sizes, or a few large weights would leave
    the rest without colour.

    Args:
        layers: matrices (inputs, outputs) by the name of their layer.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing, or there is no matrix.
        ValueError: weights with another number of axes.
    """
    if not layers:
        raise PlotError("there are no weights to show")
    matrices = {name: np.asarray(array_of(given), np.float64) for name, given in layers.items()}
    for name, matrix in matrices.items():
        if matrix.ndim != 2:
            raise ValueError(
                f"weights_maps: {name} has shape {matrix.shape}; expected (inputs, outputs)"
            )
    with style():
        figure: Figure = new_figure(3.3 * len(matrices), 3.6 + 0.3 * bool(title))
        panels = np.atleast_1d(figure.subplots(1, len(matrices)))
        for axes, (name, matrix) in zip(panels, matrices.items(), strict=True):
            largest = float(np.quantile(np.abs(matrix), 0.995)) or 1.0
            image = axes.imshow(
                matrix,
                cmap="RdBu_r",
                vmin=-largest,
                vmax=largest,
                aspect="auto",
                interpolation="nearest",
            )
            axes.set_title(name)
            axes.set_xlabel("output")
            axes.set_ylabel("input")
            bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.8, pad=0.02)
            bar.outline.set_visible(False)
        heading(figure, title)
    return figure
