"""A person's forward pass on Tensors: run with the drop-in for their NumPy, every value kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.engine.node import PACKAGE
from tinygrad_fm.recording import enable_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing.backward.places import Place, is_float, places, widened
from tinygrad_fm.testing.backward.problem import Problem, generator_kept

LIBRARIES = (str(PACKAGE), str(Path(np.__file__).parent))


@dataclass
class Recording:
    """What a forward pass computed.

    Attributes:
        tensors: the parameters, by path.
        names: of the nodes that are parameters.
        arrays: the values of all nodes, in order.
    """

    result: Any = None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[Any, str] = field(default_factory=dict)
    arrays: dict[Node, Any] = field(default_factory=dict)


def record(problem: Problem) -> Recording:
    """Run the forward pass on Tensors; raises what it raises."""
    world = widened(problem.world)
    keep = _Keep()
    made = Recording(arrays=keep.arrays)
    for name, where in _leaves(problem, world):
        tensor = Tensor(np.array(where[0].get(), np.float64), requires_grad=True, name=name)
        made.tensors[name] = tensor
        copied: Any = np.copy(tensor)  # which, unlike a leaf, may be changed in place
        for node in (tensor.node, copied.node):
            made.names[node] = name
            made.arrays[node] = copied.data.copy()  # type: ignore[index]
        for place in where:
            place.put(copied)
    mode = engine.state.mode
    before, mode.observer = mode.observer, keep
    try:
        with generator_kept(), enable_grad(), np.errstate(all="ignore"), swapped(problem.functions):
            made.result, _ = problem.forward(world)
    finally:
        mode.observer = before
    return made


class _Keep:
    """Keeps every value that is computed, with its node."""

    def __init__(self) -> None:
        self.arrays: dict[Node, Any] = {}

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        if node is not None and not isinstance(result, tuple):
            self.arrays[node] = result

    def called(self, module: Any) -> None:
        """A module of ours was called: its operations are seen one by one."""

    def failed(self, error: BaseException, what: Any, values: Any) -> None:
        pass


def _leaves(problem: Problem, world: Any) -> Iterator[tuple[str, list[Place]]]:
    """The arrays to differentiate by, each with all places that hold it: params[0] may be W."""
    held: dict[int, list[Place]] = {}
    for place in list(places(world)):
        value = place.get()
        if is_float(value) and not isinstance(place.holder, tuple):
            held.setdefault(id(value), []).append(place)
    for where in held.values():
        if not any(is_data(problem, place.path) for place in where):
            named = [place for place in where if isinstance(place.key, str)]
            yield clean((named or where)[0].path), where


def is_data(problem: Problem, path: str) -> bool:
    """Whether what is there is data of which no gradient is asked."""
    if clean(path) in problem.held:
        return True
    return _top(path) in problem.data and _top(path) not in problem.differentiated


def _top(path: str) -> str:
    return clean(path).partition(".")[0].partition("[")[0]


def clean(path: str) -> str:
    """A path without the quotes around the name of the world's object: `layer.W`."""
    if path.startswith("["):
        name, _, rest = path[1:].partition("]")
        return name.strip("'\"") + rest
    return path


@contextmanager
def swapped(functions: list[Any]) -> Iterator[None]:
    """The person's `np` is the drop-in while this lasts."""
    from tinygrad_fm.testing.backward.dropin import replacement, tracing

    changed: list[tuple[dict[str, Any], str, ModuleType]] = []
    scopes = {id(scope): scope for scope in map(_globals_of, functions) if scope}
    recorded = [scope for scope in scopes.values() if "float" not in scope]
    for scope in recorded:
        scope["float"] = _Float
    for scope in scopes.values():
        for name, value in list(scope.items()):
            if value is np:
                changed.append((scope, name, value))
                scope[name] = replacement
    try:
        with tracing():
            yield
    finally:
        for scope, name, value in changed:
            scope[name] = value
        for scope in recorded:
            del scope["float"]


class _Recorded(type):
    """`float(cost)` is the cost, recorded, and an instance of float."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, (float, Tensor))

    def __call__(cls, *values: Any) -> Any:
        return values[0] if values and isinstance(values[0], Tensor) else float(*values)


class _Float(float, metaclass=_Recorded):
    """What float is while a forward pass is recorded; as a dtype it is float64."""

    dtype = np.dtype(float)


def _globals_of(function: Any) -> dict[str, Any]:
    if isinstance(function, type):
        return vars(sys.modules[function.__module__])
    return getattr(function, "__globals__", {})


def in_words(error: BaseException) -> str:
    """An error, with the line of the person's code that it comes from: `KeyError: 1 (n.py:2)`."""
    trace, last = error.__traceback__, None
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(LIBRARIES):
            last = trace
        trace = trace.tb_next
    where = f" ({Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno})" if last else ""
    return f"{type(error).__name__}: {error}{where}"
