"""Running a model or a function to draw it: what was computed, how long it took, what failed."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node, Primitive, state
from tinygrad_fm.graph.statistics import Statistics, describe
from tinygrad_fm.graph.undisturbed import Undisturbed
from tinygrad_fm.recorded import as_array, make
from tinygrad_fm.recording import enable_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.trees import leaves, map_tree


@dataclass
class Failure:
    """What raised in a forward pass: an operation, or a module call that refused its input."""

    error: BaseException
    name: str
    scope: Any
    values: list[Any]


@dataclass
class Watch:
    """Sees every operation of this thread while it is installed with `with`.

    Attributes:
        statistics: whether to describe the numbers of every result, which takes longer than most
            operations; otherwise only structure and failures are of interest.
        names: of Tensors that were given, by their node.
    """

    statistics: bool = False
    names: dict[Node, str] = field(default_factory=dict)
    values: dict[Node, Statistics] = field(default_factory=dict)
    seconds: dict[Node, float] = field(default_factory=dict)
    constants: dict[tuple[Node, int], str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    last: Node | None = None
    undisturbed: Undisturbed | None = None
    # by id of the array, which is kept, so that no other can take its id
    _named: dict[int, tuple[Any, str]] = field(default_factory=dict)
    _nodes: dict[int, tuple[Any, Node]] = field(default_factory=dict)
    _since: float = 0.0
    _before: Any = None

    def __enter__(self) -> Watch:
        self._before = state.mode.observer
        state.mode.observer = self
        self._since = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        state.mode.observer = self._before

    def called(self, module: Any) -> None:
        """Remember the module as it is, and what it calls its frozen parameters and buffers."""
        if self._before is not None:
            self._before.called(module)
        if self.undisturbed is not None:
            self.undisturbed.remember(module)
        if state.mode.scope is not None and state.mode.scope.outer is None:
            for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
                if tensor.node is None:
                    self._named.setdefault(id(tensor.data), (tensor.data, name))

    def computed(
        self, primitive: Primitive, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """Remember the node's time and numbers."""
        now = time.perf_counter()
        if self._before is not None:
            self._before.computed(primitive, values, keywords, result, node)
        if node is not None and primitive is not engine.assign:
            self.last = node
            self._nodes[id(result)] = result, node
            for i, value in enumerate(values):
                name = self.name_of(value)
                if name:
                    self.constants[node, i] = name
            if self.statistics:
                self.seconds[node] = now - self._since
                found = None if primitive.multiple else describe(result)
                if found is not None:
                    self.values[node] = found
        self._since = time.perf_counter()

    def failed(self, error: BaseException, what: Any, values: Any) -> None:
        """Remember the innermost call that raised."""
        if self._before is not None:
            self._before.failed(error, what, values)
        if not any(failure.error is error for failure in self.failures):
            operation = isinstance(what, Primitive)
            name = what.name if operation else what.kind
            scope = state.mode.scope if operation else what
            # a module's own code raised after what was computed in it, not at its inputs
            inside = not operation and self.last is not None and _within(self.last.scope, what)
            self.failures.append(Failure(error, name, scope, [self.last] if inside else [*values]))

    def name_of(self, value: Any) -> str:
        """What an array that is not traced is called: one that was given, or a module's."""
        known = self._named.get(id(value))
        if known is None and isinstance(value, np.ndarray) and isinstance(value.base, np.ndarray):
            whole = value.base  # as a layer reshapes it
            known = self._named.get(id(whole)) if whole.size == value.size else None
        return known[1] if known is not None else ""

    def node_of(self, value: Any) -> Node | None:
        """The node of a Tensor, or of an array that an operation computed; a node is its own."""
        if isinstance(value, Tensor):
            return value.node
        if isinstance(value, Node):
            return value
        return self._nodes.get(id(value), (None, None))[1]

    def take(self, tree: Any, name: str) -> Any:
        """An argument for the function, recorded: float arrays as Tensors, others as they are."""

        def one(value: Any) -> Any:
            if isinstance(value, Tensor):
                # a Tensor of its own: `x *= 2` in the function would bind the caller's anew
                known = value.node is not None
                made = make(value.data, value.node) if known else _input(value.data, name)
                made.name = value.name or made.name
            elif isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array_ufunc__"):
                array = as_array(value)
                if array.dtype.kind != "f":
                    self._named[id(array)] = array, name
                    return array
                made = _input(array, name)
            else:
                return value
            node = made.node
            assert node is not None
            self._nodes[id(made.data)] = made.data, node
            if node.primitive is None:
                self.names[node] = made.name or name
                found = describe(made.data) if self.statistics else None
                if found is not None:
                    self.values[node] = found
            return made

        return map_tree(one, tree)


def _within(scope: Any, outer: Any) -> bool:
    """Whether a module call is `outer` or under way in it."""
    while scope is not None and scope is not outer:
        scope = scope.outer
    return scope is not None


def _input(array: Any, name: str) -> Tensor:
    """A Tensor that is recorded but needs no gradient, as the data of a training step."""
    made = make(array, engine.leaf(array, False, name))
    made.name = name
    return made


def call(
    function: Callable[..., Any], inputs: Any, watch: Watch
) -> tuple[list[Tensor], Exception | None]:
    """The Tensors that `function(*inputs)` returns, and what it raised, with nothing else changed.

    Buffers (running statistics) of the modules that are called, and random generators, are as
    before afterwards, so a drawing does not change a training.
    """
    several = isinstance(inputs, tuple) and not hasattr(inputs, "_fields")  # a named one is one
    arguments = inputs if several else () if inputs is None else (inputs,)
    names = _names(function, len(arguments))
    taken = [watch.take(value, name) for value, name in zip(arguments, names, strict=True)]
    with Undisturbed(function, arguments) as watch.undisturbed, enable_grad(), watch:
        try:
            result = function(*taken)
        except Exception as error:
            if watch.last is None and not watch.failures:
                raise  # not about the graph
            return [], error
    return [value for value in leaves(_as_tree(result)) if isinstance(value, Tensor)], None


def _as_tree(result: Any) -> Any:
    return list(result) if isinstance(result, (set, frozenset)) else result


def _names(function: Callable[..., Any], count: int) -> list[str]:
    """What the function calls its arguments."""
    try:
        parameters = list(
            inspect.signature(getattr(function, "forward", function)).parameters.values()
        )
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][
        :count
    ]
    return names + [f"input {i}" for i in range(len(names), count)]
