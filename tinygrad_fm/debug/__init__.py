"""Finding out what went wrong: where a NaN or an infinity came from."""

from tinygrad_fm.debug.frozen import Strict, strict
from tinygrad_fm.debug.nonfinite import NonFiniteError, NonFiniteTrace, Origin, trace_nonfinite

__all__ = ["NonFiniteError", "NonFiniteTrace", "Origin", "Strict", "strict", "trace_nonfinite"]
