"""The truth: the derivatives of a person's own forward pass, at every value it computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.recording import enable_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing.backward.places import Place, is_float, places, widened
from tinygrad_fm.testing.backward.problem import CannotRunError, Problem, generator_kept

STEP = 1e-5  # of central differences, in float64


@dataclass
class Value:
    """One value of the forward pass with its gradient."""

    node: Node
    array: Any
    gradient: Any
    name: str  # of a parameter or input its path, else the operation

    @property
    def line(self) -> str:
        """`file:line` where it was computed."""
        return self.node.line


@dataclass
class Truth:
    """What the gradients are.

    Attributes:
        result: of the plain forward pass.
        upstream: the gradient of a scalar by the result that backward is given, of its shape.
        parameters: by path, those of the world that the result depends on.
        unused: paths of float arrays that the result does not depend on.
        values: everything that the forward pass computed, in order.
    """

    result: Any
    upstream: Any
    parameters: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    data: list[Any] = field(default_factory=list)  # float arrays that are no parameters
    notes: list[str] = field(default_factory=list)
    root: Node | None = None  # of the recorded forward pass
    parts: list[Value] = field(default_factory=list)  # gradients of single terms of a loss


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


def find_truth(problem: Problem, seed: int = 0) -> Truth:
    """Differentiate the forward pass, on Tensors, in float64.

    Raises:
        CannotRunError: it fails on arrays already, or cannot be recorded.
    """
    plain = widened(problem.world)
    with generator_kept(), np.errstate(all="ignore"):
        try:
            result, _ = problem.forward(plain)
        except Exception as error:
            raise CannotRunError(
                f"the forward pass fails: {type(error).__name__}: {error}"
            ) from error
    result = np.asarray(result, np.float64)
    upstream = _upstream(result, seed)
    truth = Truth(result=result, upstream=upstream)

    world = widened(problem.world)
    keep = _Keep()
    tensors: dict[str, Tensor] = {}
    given: dict[Any, str] = {}
    for name, where in _leaves(problem, world):
        tensor = Tensor(np.array(where[0].get(), np.float64), requires_grad=True, name=name)
        tensors[name] = tensor
        copied: Any = np.copy(tensor)  # which, unlike a leaf, may be changed in place
        given[copied.node] = name
        keep.arrays[copied.node] = copied.data.copy()
        for place in where:
            place.put(copied)
    mode = engine.state.mode
    before, mode.observer = mode.observer, keep
    try:
        with generator_kept(), enable_grad(), np.errstate(all="ignore"), swapped(problem.functions):
            recorded, _ = problem.forward(world)
    except Exception as error:
        return _by_differences(problem, truth, error)
    finally:
        mode.observer = before
    if not isinstance(recorded, Tensor) or recorded.node is None or not recorded.requires_grad:
        raise CannotRunError(
            "the result of the forward pass does not depend on any array of floats"
        )
    if not np.allclose(recorded.data, result, rtol=1e-7, atol=1e-9, equal_nan=True):
        raise CannotRunError("the forward pass gives other numbers when it runs a second time")
    truth.root = recorded.node
    truth.data = [np.asarray(p.get(), float) for p in places(plain) if is_float(p.get())]
    nodes = ancestors([recorded.node])
    for tensor in tensors.values():
        if tensor.node is not None:
            keep.arrays[tensor.node] = tensor.data
    targets = [node for node in nodes if node.requires_grad]
    with np.errstate(all="ignore"):
        gradients = engine.backward([(recorded.node, upstream)], targets=targets, keep=True)
    names = {**given, **{tensor.node: name for name, tensor in tensors.items()}}
    for node in nodes:
        if node in gradients and not isinstance(gradients[node], tuple):
            array = keep.arrays.get(node)
            truth.values.append(
                Value(node, array, np.array(gradients[node]), names.get(node, node.name))
            )
    for name, tensor in tensors.items():
        if tensor.node in gradients:
            truth.parameters[name] = np.array(gradients[tensor.node])
            truth.arrays[name] = tensor.data
        else:
            truth.unused.append(name)
    return truth


def _leaves(problem: Problem, world: Any) -> Iterator[tuple[str, list[Place]]]:
    """The arrays to differentiate by, each with all places that hold it: params[0] may be W."""
    held: dict[int, list[Place]] = {}
    for place in list(places(world)):
        value = place.get()
        if is_float(value) and not isinstance(place.holder, tuple):
            held.setdefault(id(value), []).append(place)
    for where in held.values():
        if not any(_is_data(problem, place.path) for place in where):
            named = [place for place in where if isinstance(place.key, str)]
            yield clean((named or where)[0].path), where


def _by_differences(problem: Problem, truth: Truth, error: Exception) -> Truth:
    """The gradients by central differences, where the forward pass cannot be recorded."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    truth.notes.append(
        "the forward pass takes numbers out of arrays, as math.exp does, and cannot be recorded "
        f"({reason:.90}...): its gradients are central differences, and no line is looked for"
    )
    names = [
        (clean(place.path), place.get().shape)
        for place in places(widened(problem.world))
        if is_float(place.get())
        and not isinstance(place.holder, tuple)
        and not _is_data(problem, place.path)
    ]
    for name, shape in names:
        gradient = np.zeros(shape)
        for index in np.ndindex(*shape):
            up, down = (
                _moved(problem, truth.upstream, name, index, step) for step in (STEP, -STEP)
            )
            gradient[index] = (up - down) / (2 * STEP)
        start = next(p.get() for p in places(widened(problem.world)) if clean(p.path) == name)
        if not gradient.any():
            truth.unused.append(name)
            continue
        truth.parameters[name], truth.arrays[name] = gradient, start
        truth.values.append(Value(engine.leaf(start, True), start, gradient, name))
    return truth


def _moved(
    problem: Problem, upstream: Any, name: str, index: tuple[int, ...], step: float
) -> float:
    """The scalar that is differentiated, with one number of one array moved."""
    return float(np.sum(result_beside(problem, name, index, step) * upstream))


def result_beside(problem: Problem, name: str, index: tuple[int, ...], step: float) -> Any:
    """The result of the forward pass with one number of one array moved."""
    world = widened(problem.world)
    place = next(p for p in places(world) if clean(p.path) == name)
    array = np.array(place.get(), np.float64)
    array[index] += step
    place.put(array)
    with generator_kept(), np.errstate(all="ignore"):
        return np.asarray(problem.forward(world)[0], np.float64)


def _upstream(result: Any, seed: int) -> Any:
    """What backward is given: 1 for a number, else numbers that differ, so that none hides one."""
    if result.ndim == 0:
        return np.ones(())
    return np.random.default_rng(seed).uniform(0.5, 1.5, result.shape) * np.random.default_rng(
        seed + 1
    ).choice([-1.0, 1.0], result.shape)


def _is_data(problem: Problem, path: str) -> bool:
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
