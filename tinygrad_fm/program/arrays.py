"""What a trace knows of arrays: which Value stands for each.

Arrays are known by identity: what an operation returned is looked up when it comes back as an
argument. So nothing has to be recorded in the graph, and what happens under `no_grad` is seen too.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.program.values import Value
from tinygrad_fm.recorded import Recorded
from tinygrad_fm.sharing import Share


class Arrays:
    """The arrays that a step has met.

    Args:
        earlier: those of an earlier trace of the step; None for the first.

    Attributes:
        memory: the arrays that were not made by an operation, and written to.
        outside: weak references to the Tensors that no operation made, and that were read: those
            that are still there when the next trace begins live outside of the step.
    """

    def __init__(self, earlier: Arrays | None):
        self._known: dict[int, tuple[Any, Value]] = {}  # by id: a way to the array, and its Value
        self._cells: dict[int, Value] = {}  # by id of the Tensor, which the Value holds
        self._gradients: dict[int, tuple[weakref.ref[Any], Value | None, bool]] = {}
        self.memory: list[Any] = [] if earlier is None else earlier.memory[:]
        self.outside: dict[int, Any] = {} if earlier is None else earlier.outside_now()
        for array in self.memory:
            self._learn(array, Value(array, "memory", array))
        for reference in self.outside.values():
            self.cell(reference())

    def _learn(self, array: Any, value: Value) -> Value:
        key = id(array)

        def forget(_: Any) -> None:
            found = self._known.get(key)
            if found is not None and found[0] is reference:
                del self._known[key]

        reference = weakref.ref(array, forget)
        self._known[key] = reference, value
        return value

    def input(self, array: Any, path: str) -> Value:
        """An argument of the step."""
        return self._learn(array, Value(array, "input", path))

    def cell(self, tensor: Any, moved: bool = False) -> None:
        """A Tensor that lives outside of the step, whose array is read at each call.

        If an optimizer has just `moved` it into its own buffer, that is no other one.
        """
        found = self._known.get(id(tensor._array))
        if found is None or found[0]() is not tensor._array:
            before = self._cells.get(id(tensor)) if moved else None
            value = before or Value(tensor._array, "cell", tensor)
            self._cells[id(tensor)] = self._learn(tensor._array, value)

    def outside_now(self) -> dict[int, Any]:
        """Those of `outside` that are still there."""
        return {key: found for key, found in self.outside.items() if found() is not None}

    def reads(self, values: Iterable[Any]) -> None:
        """Tensors among these are read; those that no operation made may live outside."""
        for value in values:
            if isinstance(value, Recorded) and not self.is_traced(value._array):
                self.outside[id(value)] = weakref.ref(value)

    def value_of(self, array: Any) -> Value:
        """What stands for this array; a constant for one that was not seen before."""
        found = self._known.get(id(array))
        if found is not None and found[0]() is array:
            return found[1]
        return self._learn(array, Value(array, "constant", array))

    def is_traced(self, array: Any) -> bool:
        """Whether the array's numbers depend on the arguments, or on what lives outside."""
        found = self._known.get(id(array))
        return found is not None and found[0]() is array and found[1].root.kind != "constant"

    def _operand(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.value_of(value)
        if type(value) in (tuple, list):
            return type(value)(self._operand(part) for part in value)
        return value

    def is_own(self, tensor: Any) -> bool:
        """Whether the step made this Tensor's array, and nothing else refers to it."""
        array = tensor._array
        if type(tensor._memory) is Share:
            return False  # parts of it are to follow
        alone = array.base is None and sys.getrefcount(tensor._array) <= _SOLE + 1
        return alone and self.is_traced(array) and self.value_of(array).root.kind == "result"

    def touch(self, tensor: Any, read: bool = True) -> None:
        """Before `.grad` of a Tensor is read, or else replaced."""
        touched = self._gradients.get(id(tensor))
        if touched is None or touched[0]() is not tensor:
            known = self._known.get(id(tensor._array))
            if known is not None and known[1].root.kind in ("input", "result"):
                return  # a Tensor of the step's own
            value = None
            if tensor._grad is not None:
                array = tensor._grad._array
                value = self._learn(array, Value(array, "gradient", tensor))
            self._gradients[id(tensor)] = weakref.ref(tensor), value, read

    def touched(self) -> list[tuple[Any, Value | None, bool]]:
        """The Tensors whose `.grad` was touched, what it was before, and whether that was read.

        After a call, those are left that live outside.
        """
        found = [(tensor(), value, read) for tensor, value, read in self._gradients.values()]
        return [each for each in found if each[0] is not None]


class _Holder:
    __slots__ = ("_array",)


_held = _Holder()
_held._array = np.empty(0)  # type: ignore[attr-defined]
_SOLE = sys.getrefcount(_held._array)  # type: ignore[attr-defined]  # of an array that only a Tensor holds
