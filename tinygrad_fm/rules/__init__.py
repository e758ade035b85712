"""The calculus: importing this package fills the engine's registry with NumPy's derivatives."""

from tinygrad_fm.rules import (
    choosing,
    decompositions,
    elementwise,
    indexing,
    joining,
    linalg,
    matrices,
    norms,
    ordering,
    reductions,
    sequences,
    shaping,
    solving,
    special,
    statistics,
    windows,
)

__all__ = [
    "choosing",
    "decompositions",
    "elementwise",
    "indexing",
    "joining",
    "linalg",
    "matrices",
    "norms",
    "ordering",
    "reductions",
    "sequences",
    "shaping",
    "solving",
    "special",
    "statistics",
    "windows",
]
