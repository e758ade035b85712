"""Functions given lists that hold Tensors: the lists are joined to Tensors before the call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy

from tinygrad_fm.recorded import Recorded, holds_tensor, stacked

# Functions whose first argument is a sequence of arrays, which stays one.
_OF_SEQUENCES = """broadcast_arrays choose column_stack concat concatenate dstack hstack lexsort
    multi_dot select stack vstack"""


def join(value: Any) -> Any:
    """A list that holds Tensors as one Tensor; anything else as it is."""
    return stacked(value) if isinstance(value, (list, tuple)) and holds_tensor(value) else value


def _join_each(value: Any) -> Any:
    """A list with each list in it joined."""
    if isinstance(value, (list, tuple)) and holds_tensor(value):
        return [join(part) for part in value]
    return value


class _Joining:
    """A function of NumPy's that takes lists of Tensors for Tensors; else it is that function.

    `numpy` is the function itself, which is what a rule is registered for.
    """

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self.numpy = function
        self._join = _join_each if self.__name__ in _OF_SEQUENCES.split() else join

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """NumPy's function."""
        if self.__name__ == "block":  # its lists say where each array goes
            return self.numpy(*args, **keywords)
        for value in (*args, *keywords.values()) if keywords else args:
            if isinstance(value, (list, tuple)) and holds_tensor(value):
                args = tuple([self._join(a) for a in args])
                keywords = {k: v if k == "out" else self._join(v) for k, v in keywords.items()}
                break
        return self.numpy(*args, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name == "numpy":
            raise AttributeError(name)
        return getattr(self.numpy, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # np.exp is a np.ufunc here too
        return type(self.numpy)

    def __eq__(self, other: Any) -> bool:
        return self.numpy is getattr(other, "numpy", other)

    def __hash__(self) -> int:
        return hash(self.numpy)

    def __repr__(self) -> str:
        return repr(self.numpy)

    def __reduce__(self) -> Any:
        return joining, (self.numpy,)


@functools.cache
def joining(function: Callable[..., Any]) -> Any:
    """The function, which takes a list of Tensors wherever it takes a list of numbers."""
    return _Joining(function)


def dispatches(function: Any) -> bool:
    """Whether a function of NumPy's asks its arguments what to do, as a Tensor needs it to."""
    kind = type(function).__name__
    return isinstance(function, numpy.ufunc) or kind == "_ArrayFunctionDispatcher"


def is_tensor(value: Any) -> bool:
    """Whether the value is a Tensor."""
    return isinstance(value, Recorded)
