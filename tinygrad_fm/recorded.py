"""What a Tensor is to the operations on it: an array, and its place in the graph."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np

from tinygrad_fm.engine import Node, state
from tinygrad_fm.engine.node import PACKAGE

_new = object.__new__


class Recorded:
    """An array and its place in the graph; `Tensor` adds all that a person calls."""

    __slots__ = ("__weakref__", "_array", "_grad", "_memory", "_node", "_view", "name")

    _array: Any
    _grad: Any
    _node: Node | None
    _memory: object | None  # a Share, or else one object that all views of one another refer to
    _view: tuple[Any, tuple[Any, ...]] | None  # for x[i]: a weak reference to x, and i
    name: str | None

    result_type: ClassVar[type[Any]]  # what operations return; tensor.py sets it to Tensor

    def _assign(self, value: Any) -> Any:
        raise NotImplementedError

    def _has_left(self, how: str) -> None:
        """Note that the value was taken out of a graph under way, by somebody's own code."""
        if not sys._getframe(2).f_code.co_filename.startswith(PACKAGE):
            state.mode.left = how

    def _describe(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"the Tensor{name} of shape {self._array.shape}"


def as_array(value: Any) -> Any:
    """An array of any library that speaks NumPy's protocols as it is; anything else as ndarray."""
    if hasattr(value, "__array_ufunc__") and not isinstance(value, np.generic):
        return value
    return np.asarray(value)


def as_real_array(value: Any, what: str) -> Any:
    """`as_array` of a gradient or a tangent, which is as real as what it belongs to.

    Raises:
        TypeError: it is complex.
    """
    array = value._array if isinstance(value, Recorded) else as_array(value)
    if array.dtype.kind == "c":
        raise TypeError(
            f"{what} has the dtype {array.dtype}; derivatives are defined for real floats only: "
            "pass its .real and its .imag one after the other"
        )
    return array


def make(data: Any, node: Node | None) -> Any:
    """A Tensor around an array and its node, without checks."""
    made = _new(Recorded.result_type)
    made._array = data
    made._node = node
    made._grad = made._memory = made._view = made.name = None
    return made


def recorded(values: Any) -> bool:
    """Whether a recorded Tensor is among the values, in lists, tuples and dictionaries too."""
    if isinstance(values, Recorded):
        return values._node is not None
    if isinstance(values, dict):
        return any(recorded(v) for v in values.values())
    return isinstance(values, (list, tuple)) and any(recorded(v) for v in values)


def holds_tensor(values: Any) -> bool:
    """Whether a Tensor is among the values of a list or tuple, or of lists in it."""
    return any(
        isinstance(v, Recorded) or (isinstance(v, (list, tuple)) and holds_tensor(v))
        for v in values
    )


def stacked(values: Any) -> Any:
    """A list as one array, as np.array makes it; as one Tensor where the list holds Tensors."""
    if not isinstance(values, (list, tuple)):
        return np.asarray(values) if isinstance(values, range) else values
    if not holds_tensor(values):
        return np.asarray(values)
    parts: list[Any] = [stacked(v) for v in values]
    return np.stack(parts)


def plain(values: Any) -> Any:
    """The arrays of Tensors, in lists, tuples and dictionaries too."""
    if isinstance(values, Recorded):
        return values._array
    if isinstance(values, (list, tuple)):
        return type(values)(plain(v) for v in values)
    if isinstance(values, dict):
        return {k: plain(v) for k, v in values.items()}
    return values


def wrapped(result: Any) -> Any:
    """Arrays of numbers as Tensors; anything else as it is."""
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype.kind in "fiubc":
        return make(np.asarray(result), None)
    if type(result) in (list, tuple):
        return type(result)(wrapped(r) for r in result)
    return result
