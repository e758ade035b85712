"""Programs: a step, traced and turned into readable NumPy that runs as fast as NumPy can."""

from tinygrad_fm.program.compiled import Compiled, compile
from tinygrad_fm.program.values import TraceError

__all__ = ["Compiled", "TraceError", "compile"]
