"""Finding out what went wrong, and how a gradient comes about."""

from tinygrad_fm.debug.explanation import Explanation, explain
from tinygrad_fm.debug.frozen import Strict, strict
from tinygrad_fm.debug.nonfinite import NonFiniteError, NonFiniteTrace, Origin, trace_nonfinite

__all__ = [
    "Explanation",
    "NonFiniteError",
    "NonFiniteTrace",
    "Origin",
    "Strict",
    "explain",
    "strict",
    "trace_nonfinite",
]
