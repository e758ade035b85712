"""Is my backprop right? A person's backward pass beside the derivative of their forward pass."""

from tinygrad_fm.testing.backward.check import check_backward
from tinygrad_fm.testing.backward.discover import check_file
from tinygrad_fm.testing.backward.problem import CannotRunError
from tinygrad_fm.testing.backward.report import BackwardReport

__all__ = ["BackwardReport", "CannotRunError", "check_backward", "check_file"]
