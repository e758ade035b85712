"""The truth: the derivatives of a person's own forward pass, at every value it computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing.backward.places import is_float, places, widened
from tinygrad_fm.testing.backward.problem import CannotRunError, Problem, generator_kept, where
from tinygrad_fm.testing.backward.record import clean, is_data, record

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
                f"the forward pass fails: {type(error).__name__}: {error}{where(error)}"
            ) from error
    result = np.asarray(result, np.float64)
    upstream = _upstream(result, seed)
    if problem.one_at_a_time and result.ndim:
        upstream.flat[1:] = 0
    truth = Truth(result=result, upstream=upstream)

    try:
        recording = record(problem)
    except Exception as error:
        return _by_differences(problem, truth, error)
    recorded, tensors, arrays = recording.result, recording.tensors, recording.arrays
    if not isinstance(recorded, Tensor) or recorded.node is None or not recorded.requires_grad:
        raise CannotRunError(
            "the result of the forward pass does not depend on any array of floats"
        )
    if not np.allclose(recorded.data, result, rtol=1e-7, atol=1e-9, equal_nan=True):
        raise CannotRunError("the forward pass gives other numbers when it runs a second time")
    truth.root = recorded.node
    truth.data = [np.asarray(p.get(), float) for p in places(plain) if is_float(p.get())]
    nodes = ancestors([recorded.node])
    targets = [node for node in nodes if node.requires_grad]
    with np.errstate(all="ignore"):
        gradients = engine.backward([(recorded.node, upstream)], targets=targets, keep=True)
    for node in nodes:
        if node in gradients and not isinstance(gradients[node], tuple):
            name = recording.names.get(node, node.name)
            truth.values.append(Value(node, arrays.get(node), np.array(gradients[node]), name))
    for name, tensor in tensors.items():
        if tensor.node in gradients:
            truth.parameters[name] = np.array(gradients[tensor.node])
            truth.arrays[name] = tensor.data
        else:
            truth.unused.append(name)
    return truth


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
        and not is_data(problem, place.path)
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
