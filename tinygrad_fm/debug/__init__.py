"""Finding out what went wrong, where a gradient is a choice, how one comes about, its memory."""

from tinygrad_fm.debug.explanation import Explanation, explain
from tinygrad_fm.debug.frozen import Strict, strict
from tinygrad_fm.debug.kink_count import KinkCount, kinks
from tinygrad_fm.debug.memory import Kept, MemoryAudit, memory
from tinygrad_fm.debug.nonfinite import NonFiniteTrace, trace_nonfinite
from tinygrad_fm.debug.origin import NonFiniteError, Origin

__all__ = [
    "Explanation",
    "Kept",
    "KinkCount",
    "MemoryAudit",
    "NonFiniteError",
    "NonFiniteTrace",
    "Origin",
    "Strict",
    "explain",
    "kinks",
    "memory",
    "strict",
    "trace_nonfinite",
]
