"""Guards: what a program took for granted, and what must still be so for it to be run again."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from tinygrad_fm.engine import state
from tinygrad_fm.program.trace import Trace

_PLAIN = (bool, int, float, str, type(None))


class Guards:
    """What was so when a step was traced.

    Settings of the modules that were called (`training`, a dropout's p), which parameters require a
    gradient and have one already, plain values that the step itself reads from outside, and whether
    gradients are recorded at all.
    """

    def __init__(self, trace: Trace, function: Callable[..., Any], cells: list[Any]):
        self.recording = state.mode.recording
        self.settings = [
            (vars(module) if name in vars(module) else _Class(module), name, value)
            for module in trace.modules.values()
            for name, value in {"training": module.training, **vars(module)}.items()
            if isinstance(value, _PLAIN) and not name.startswith("_")
        ]
        self.settings += _read_outside(function)
        self.needed = [(tensor, tensor.requires_grad) for tensor in cells]
        self.gradients = [
            (tensor, before is not None) for tensor, before, read in trace.touched() if read
        ]

    def broken(self) -> str:
        """What is no longer so, in words; an empty string if everything is."""
        if state.mode.recording is not self.recording:
            return "no_grad()"
        for names, name, value in self.settings:
            if names.get(name) is not value and not _equal(names.get(name), value):
                return f"{name}, which was {value!r} and is {names.get(name)!r}"
        for tensor, wanted in self.needed:
            node = tensor._node
            if (node is not None and node.requires_grad) is not wanted:
                return f"requires_grad of {tensor._describe()}"
        for tensor, had in self.gradients:
            if (tensor._grad is not None) is not had:
                return f".grad of {tensor._describe()}, which is{' not' * had} there already"
        return ""


class _Class:
    """The attributes of a module that it has from its class, until it is given its own."""

    def __init__(self, module: Any):
        self.module = module

    def get(self, name: str) -> Any:
        """Like that of a dictionary."""
        return getattr(self.module, name, None)


class _Cell:
    """A variable of an enclosing function, like a dictionary with one name."""

    def __init__(self, cell: types.CellType):
        self.cell = cell

    def get(self, name: str) -> Any:
        """Like that of a dictionary."""
        return self.cell.cell_contents


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


def _read_outside(function: Callable[..., Any]) -> list[tuple[Any, str, Any]]:
    """The plain values that a function's own code reads from around it."""
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):
        return []
    found: list[tuple[Any, str, Any]] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        if isinstance(value, _PLAIN):
            found.append((_Cell(cell), name, value))
    names = function.__globals__
    for name in function.__code__.co_names:
        if isinstance(names.get(name, found), _PLAIN):
            found.append((names, name, names[name]))
    return found
