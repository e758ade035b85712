"""Pictures of what a network holds: weights as tiles and in colour, biases, hidden activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm.plots.style import (
    COLOURS,
    PlotError,
    bare,
    heading,
    mosaic,
    new_figure,
    style,
)
from tinygrad_fm.tensor import array_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def weights_tiles(
    weight: Any,
    image_shape: tuple[int, int] | None = None,
    *,
    limit: int = 64,
    columns: int | None = None,
    title: str = "",
) -> Figure:
    """A layer's weights as small images, one for each unit; blue is negative, red positive.

    Args:
        weight: (pixels, units) of a Linear layer, or (kernels, channels, KH, KW) of a convolution,
            of which each channel gives a row of tiles where there are several.
        image_shape: (H, W) of a Linear layer's images; by default they are square.
        limit: how many tiles to show at most.
        columns: tiles in a row.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing.
        ValueError: the weights are not of such images.
    """
    if limit < 1:
        raise ValueError(f"weights_tiles: limit is at least 1, not {limit!r}")
    tiles = _tiles(weight, image_shape)
    total, tiles = len(tiles), tiles[:limit]
    unit = "kernels" if np.ndim(weight) == 4 else "units"
    larger = -(-20 // max(tiles.shape[1:]))  # or the gaps would be wide beside small kernels
    tiles = tiles.repeat(larger, axis=1).repeat(larger, axis=2)
    columns = columns or _columns(len(tiles), tiles.shape[1] / tiles.shape[2])
    whole = mosaic(tiles, columns)
    largest = float(np.nanmax(np.abs(whole))) or 1.0
    with style():
        figure: Figure = _sized(whole, min(7.0, 0.9 * columns + 0.6), right=0.9)
        axes = figure.add_subplot()
        image = axes.imshow(
            whole, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest"
        )
        bare(axes)
        bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, aspect=28)
        bar.set_label("weight")
        bar.outline.set_visible(False)
        count = f"{len(tiles)} of {total}" if len(tiles) < total else str(total)
        heading(figure, title or f"Weights of the first layer: {count} {unit}")
    return figure


def pca_rgb(weight: Any, image_shape: tuple[int, int] | None = None) -> NDArray[np.float64]:
    """The weights of a first layer as one colour image, (H, W, 3), 0 to 1 (report 001, figure 7).

    Each pixel is a point with a coordinate for each unit. The three directions of the largest
    variance (eigenvectors of the units' covariance) become red, green and blue: the pixel's scores
    along them, clipped to -1 to 1, times 0.5 plus 0.5. The sign of a direction is free; here its
    largest coordinate is positive.

    Args:
        weight: (pixels, units) of a Linear layer with at least three units.
        image_shape: (H, W); by default the images are square.

    Raises:
        ValueError: the weights are not of such images, or there are fewer than three units.
    """
    matrix = np.asarray(array_of(weight), np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 3:
        raise ValueError(
            f"pca_rgb: the weights have shape {matrix.shape}; expected (pixels, units), at least "
            "three units"
        )
    height, width = _image_shape(matrix.shape[0], image_shape)
    centred = matrix - matrix.mean(axis=0)
    covariance = centred.T @ centred / max(len(matrix) - 1, 1)
    _, vectors = np.linalg.eigh(covariance)  # by ascending eigenvalue
    top = vectors[:, :-4:-1]
    top = top * np.sign(np.take_along_axis(top, np.abs(top).argmax(axis=0)[None], axis=0))
    scores = np.clip(centred @ top, -1, 1) * 0.5 + 0.5
    return np.asarray(scores.reshape(height, width, 3))


def weights_rgb(
    stages: Mapping[str, Any], image_shape: tuple[int, int] | None = None, *, title: str = ""
) -> Figure:
    """First-layer weights by `pca_rgb`, side by side: at the start, after an epoch, at the end, ...

    Args:
        stages: weights (pixels, units) by the title of their image.
        image_shape: (H, W); by default the images are square.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing, or there is no stage. ValueError: as for `pca_rgb`.
    """
    if not stages:
        raise PlotError("there are no weights to show")
    images = {name: pca_rgb(weight, image_shape) for name, weight in stages.items()}
    with style():
        figure: Figure = new_figure(2.9 * len(images), 3.0 + 0.3 * bool(title))
        panels = np.atleast_1d(figure.subplots(1, len(images)))
        for axes, (name, image) in zip(panels, images.items(), strict=True):
            axes.imshow(image, interpolation="nearest")
            axes.set_title(name)
            bare(axes)
        heading(figure, title)
    return figure


def biases(layers: Mapping[str, Any], *, title: str = "") -> Figure:
    """Bars of each layer's biases, one panel below the other.

    Args:
        layers: biases (units,) by the name of their layer.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing, or there are no biases.
        ValueError: biases with another number of axes.
    """
    for name, given in layers.items():
        if given is None:
            raise ValueError(f"biases: {name} has no bias; leave it out")
    values = {k: np.asarray(array_of(v), np.float64) for k, v in layers.items()}
    if not values:
        raise PlotError("there are no biases to show")
    for name, array in values.items():
        if array.ndim != 1:
            raise ValueError(f"biases: {name} has shape {array.shape}; expected (units,)")
    with style():
        figure: Figure = new_figure(8.0, 0.5 + 1.5 * len(values))
        panels = np.atleast_1d(figure.subplots(len(values), 1))
        for axes, (name, array) in zip(panels, values.items(), strict=True):
            colours = np.where(array < 0, COLOURS[0], COLOURS[1])
            axes.bar(np.arange(len(array)), array, width=0.8, color=colours)
            axes.axhline(0, color="#777777", linewidth=0.6)
            axes.set_title(f"{name}, {len(array)} units")
            axes.set_xlim(-0.8, len(array) - 0.2)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.yaxis.get_major_locator().set_params(nbins=4)
            axes.grid(axis="y")
            axes.set_ylabel("bias")
        panels[-1].set_xlabel("unit")
        heading(figure, title)
    return figure


def activations(layers: Mapping[str, Any], *, columns: int = 10, title: str = "") -> Figure:
    """What layers make of the same examples: a panel for each layer, a tile for each example.

    As in report 000, the H numbers of a hidden layer are laid out as a square of floor(sqrt(H))
    rows, the rest is left out, and each panel goes from its small numbers (dark) to its large ones
    (bright), of which the last half percent at either end is clamped. Of feature maps, the mean
    over the channels is shown.

    Args:
        layers: arrays (N, H), (N, height, width) or (N, channels, height, width) by the titles of
            their panels, such as the images themselves and then `train.activations(model, x)`.
        columns: tiles in a row.
        title: above the picture.

    Raises:
        PlotError: matplotlib is missing, or there is no layer.
        ValueError: an array of another kind.
    """
    if not layers:
        raise PlotError("there are no activations to show")
    panels = {name: _squares(name, values) for name, values in layers.items()}
    with style():
        figure: Figure = new_figure(3.6 * len(panels), 4.0 + 0.3 * bool(title))
        for axes, (name, (tiles, note)) in zip(
            np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True
        ):
            size = max(tiles.shape[1:])
            whole = mosaic(tiles, min(columns, len(tiles)), gap=max(1, size // 10))
            low, high = np.nanquantile(whole, [0.005, 0.995])
            axes.imshow(whole, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axes.set_title(name)
            axes.set_xlabel(note, size=8)
            bare(axes)
        heading(figure, title)
    return figure


def _squares(name: str, values: Any) -> tuple[NDArray[np.float64], str]:
    """Tiles (N, H, W), and what they show."""
    array = np.asarray(array_of(values), np.float64)
    if not array.size:
        raise ValueError(
            f"activations: {name} has shape {array.shape}; expected at least one number"
        )
    if array.ndim == 4:
        channels, height, width = array.shape[1:]
        note = f"{height}x{width}" + (f", mean of {channels} channels" if channels > 1 else "")
        return array.mean(axis=1), note
    if array.ndim == 3:
        return array, "{}x{}".format(*array.shape[1:])
    if array.ndim != 2:
        raise ValueError(
            f"activations: {name} has shape {array.shape}; expected (N, H), (N, height, width) or "
            "(N, channels, height, width)"
        )
    units = array.shape[1]
    side = math.isqrt(units)
    note = f"{side}x{side} units" + (f" of {units}" if side * side < units else "")
    return array[:, : side * side].reshape(-1, side, side), note


def _tiles(weight: Any, image_shape: tuple[int, int] | None) -> NDArray[np.float64]:
    array = np.asarray(array_of(weight), np.float64)
    if array.ndim == 4:
        return array.reshape(-1, *array.shape[2:])
    if array.ndim != 2:
        raise ValueError(
            f"the weights have shape {array.shape}; expected (pixels, units) or (kernels, "
            "channels, KH, KW)"
        )
    return array.T.reshape(-1, *_image_shape(array.shape[0], image_shape))


def _image_shape(pixels: int, image_shape: tuple[int, int] | None) -> tuple[int, int]:
    side = math.isqrt(pixels)
    height, width = image_shape or (side, side)
    if height * width != pixels:
        given = "square images" if image_shape is None else f"images of {height}x{width}"
        raise ValueError(f"weights for {pixels} pixels are not of {given}; pass image_shape=(H, W)")
    return height, width


def _columns(count: int, tall: float) -> int:
    """Tiles in a row that make the whole about twice as wide as it is high, in full rows if so."""
    best = math.sqrt(2 * count * tall)
    even = [n for n in range(1, count + 1) if count % n == 0 and 0.6 < n / best < 1.7]
    near = min(even, key=lambda n: (round(abs(math.log(n / best)), 6), n), default=round(best))
    return max(1, min(count, near))


def _sized(whole: Any, width: float, right: float) -> Any:
    """A figure that an image fills, with room above for a title and at the right for a scale."""
    height, across = whole.shape[:2]
    return new_figure(width + right, max(width * height / across + 0.55, 1.6))
