"""Finding out what went wrong: where a NaN or an infinity came from."""

from tinygrad_fm.debug.nonfinite import NonFiniteError, NonFiniteTrace, Origin

__all__ = ["NonFiniteError", "NonFiniteTrace", "Origin"]
