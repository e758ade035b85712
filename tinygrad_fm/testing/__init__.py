"""Tools for tests of derivatives, of this library and of what is built on it.

`check_grads` compares automatic derivatives with numerical ones; `ProtocolArray` finds what leaves
NumPy's dispatch.
"""

from tinygrad_fm.testing.gradients import TOLERANCES, check_grads
from tinygrad_fm.testing.protocol_array import ProtocolArray
from tinygrad_fm.testing.report import GradientReport, Kink

__all__ = ["TOLERANCES", "GradientReport", "Kink", "ProtocolArray", "check_grads"]
