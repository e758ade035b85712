"""Pictures of a training: curves, classes, weights and hidden activations, drawn by matplotlib.

matplotlib comes with `pip install "tinygrad_fm[plot]"` and is imported when a picture is drawn. The
pictures are plain `matplotlib.figure.Figure`s, made without pyplot: nothing pops up, nothing is
kept in the background, and the program's own settings of matplotlib stay as they are.
"""

from tinygrad_fm.plots.classes import class_scores, confusion_matrix, mistakes
from tinygrad_fm.plots.curves import learning_curves, overlay
from tinygrad_fm.plots.experiments import loss_curves, numbers, search_scatter
from tinygrad_fm.plots.maps import weights_maps
from tinygrad_fm.plots.style import (
    COLOURS,
    FORMATS,
    MISSING,
    PlotError,
    available,
    save,
)
from tinygrad_fm.plots.weights import (
    activations,
    biases,
    pca_rgb,
    weights_rgb,
    weights_tiles,
)

__all__ = [
    "COLOURS",
    "FORMATS",
    "MISSING",
    "PlotError",
    "activations",
    "available",
    "biases",
    "class_scores",
    "confusion_matrix",
    "learning_curves",
    "loss_curves",
    "mistakes",
    "numbers",
    "overlay",
    "pca_rgb",
    "save",
    "search_scatter",
    "weights_maps",
    "weights_rgb",
    "weights_tiles",
]
