"""The calculus: importing this package fills the engine's registry with NumPy's derivatives."""

from tinygrad_fm.rules import elementwise, indexing, linalg, reductions, shaping, special, windows

__all__ = ["elementwise", "indexing", "linalg", "reductions", "shaping", "special", "windows"]
