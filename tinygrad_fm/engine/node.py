"""Nodes: what the graph remembers of each operation, and of each input."""

from __future__ import annotations

import itertools
import linecache
import math
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from tinygrad_fm.engine.registry import Primitive

PACKAGE = str(Path(__file__).parents[1])

Origin = tuple[CodeType, int]

# Serial numbers order the nodes of all threads in time: a node is always younger than its parents,
# so "youngest first" is a topological order, and a change younger than a node came after it.
clock = itertools.count(1)
_in_library: dict[str, bool] = {}
_frame_above = sys._getframe


class Observer(Protocol):
    """Somebody who watches what a thread computes; drawings and searches for NaN are made so."""

    def called(self, module: Any) -> None:
        """Before a module's `forward`."""

    def computed(
        self, primitive: Primitive, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """After an operation on plain `values`; `node` is the result's, None if not recorded."""

    def failed(self, error: BaseException, what: Any, values: Any) -> None:
        """When an operation (`what` is its Primitive) or a module call (its Scope) raises."""


@runtime_checkable
class BackwardObserver(Observer, Protocol):
    """An observer that sees the backward pass as well, where rules run on plain arrays."""

    def arrived(self, node: Node, g: Any) -> None:
        """When the gradient of a node's result is complete, before its rules run."""

    def passed(
        self, node: Node, i: int, g: Any, y: Any, args: tuple[Any, ...], contribution: Any
    ) -> None:
        """After the rule for argument `i` of a node; `g`, `y` and `args` are what it got."""

    def ended(self) -> None:
        """When the backward pass is over, or has raised."""


class Mode:
    """What a thread is doing: whether it records, in which module call, and who watches."""

    __slots__ = ("left", "observer", "recording", "scope", "trace", "traces", "transforms")

    def __init__(self) -> None:
        self.recording = True
        self.left = ""  # how a value of a recorded Tensor last left the graph, as "t.item()"
        self.scope: Any = None  # innermost module call
        self.observer: Observer | None = None
        self.trace: Any = None  # who writes a program of what this thread does
        self.traces = 0  # how many blocks ask for Tensors from functions that create arrays
        self.transforms = 0  # how many grad, vjp, ... calls are under way, one inside the other


class State(threading.local):
    """The mode of the running thread; one look-up of the thread instead of four."""

    def __init__(self) -> None:
        self.mode = Mode()


state = State()


class GraphError(RuntimeError):
    """The graph cannot be used as asked: it was freed, or an array it needs has changed."""


class Shaped:
    """Something with a shape and a dtype."""

    __slots__ = ("dtype", "shape")
    shape: Any
    dtype: Any

    def __init__(self, shape: Any, dtype: Any):
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Constant(Shaped):
    """Stands in the graph for an array that nothing traced leads to; keeps no value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Constant(shape={self.shape}, dtype={self.dtype})"


class Recomputed(tuple[Any, ...]):
    """In place of a node's `args` where nothing is kept: what the rules need is computed again.

    To whoever looks at what a node keeps it is an empty tuple.
    """

    holds: Sequence[tuple[Node | None, Any]] = ()  # the arrays it starts from, with their nodes

    def take(self, node: Node) -> tuple[tuple[Any, ...], Any, int]:
        """`args` and `y` for the rules of `node`, and the time at which they were computed."""
        raise NotImplementedError


class Node(Shaped):
    """One recorded operation, or a leaf (an input of the graph) where `primitive` is None.

    `inputs` is the skeleton and stays: a Node for each recorded argument, a Constant for an array,
    anything else as it is. `args` is what the rules receive and is dropped when the graph is freed;
    it may be a Recomputed, which computes it when it is asked for.
    A node never refers to the Tensor it belongs to, except weakly where that Tensor collects a
    gradient (`owner`), so a graph has no reference cycles.
    """

    __slots__ = (
        "__weakref__",
        "args",
        "hooks",
        "inputs",
        "keywords",
        "layout",
        "origin",
        "owner",
        "primitive",
        "requires_grad",
        "scope",
        "serial",
        "y",
    )

    def __init__(
        self,
        primitive: Primitive | None,
        inputs: tuple[Any, ...],
        args: tuple[Any, ...] | None,
        keywords: dict[str, Any],
        y: Any,
        shape: Any,
        dtype: Any,
        requires_grad: bool,
    ):
        self.primitive = primitive
        self.inputs = inputs
        self.args = args
        self.keywords = keywords
        self.y = y
        self.shape = shape
        self.dtype = dtype
        self.requires_grad = requires_grad
        self.layout: tuple[int, ...] | None = None
        self.hooks: list[Callable[[Any], Any]] | None = None
        self.owner: Any = None
        self.origin: Origin | None = None
        self.scope: Any = None
        self.serial = next(clock)

    @property
    def name(self) -> str:
        """The operation's name; "leaf" for an input of the graph."""
        return "leaf" if self.primitive is None else self.primitive.name

    @property
    def parents(self) -> list[Node]:
        """The nodes this one was computed from, one entry for each use."""
        return [i for i in self.inputs if type(i) is Node]

    @property
    def line(self) -> str:
        """`file:line` of the user's code that recorded this node, or an empty string."""
        return line_of(self.origin)

    def __repr__(self) -> str:
        return f"Node({self.name}, shape={self.shape}, dtype={self.dtype})"


def line_of(origin: Origin | None) -> str:
    """`file:line` of a place in code; an empty string for None."""
    if origin is None:
        return ""
    code, offset = origin
    position = next(itertools.islice(code.co_positions(), offset // 2, None), (None,))
    return f"{code.co_filename}:{position[0] or code.co_firstlineno}"


def leaf(value: Any, requires_grad: bool, name: str | None = None) -> Node:
    """A new input of the graph, shaped like `value` (which the node does not keep)."""
    known = {} if name is None else {"name": name}  # a drawing may outlive the Tensor
    node = Node(None, (), (), known, None, value.shape, value.dtype, requires_grad)
    node.layout = layout_of(value)
    return node


def now() -> int:
    """The time, as nodes count it."""
    return next(clock)


def layout_of(value: Any) -> tuple[int, ...] | None:
    """The axes from slowest to fastest in memory; None for C order and for fewer than two axes."""
    if value.ndim < 2 or not isinstance(value, np.ndarray) or value.flags.c_contiguous:
        return None
    strides, shape = value.strides, value.shape
    axes = range(len(shape))
    # an axis of one element, or broadcast with stride 0, has no place of its own
    if all(
        strides[i] == 0 or shape[i] == 1 or 0 < abs(strides[j]) <= abs(strides[i]) or shape[j] == 1
        for i, j in itertools.pairwise(axes)
    ):
        return None
    # those of one element come first, whatever stride they have
    return tuple(sorted(axes, key=lambda i: (shape[i] != 1, -abs(strides[i]))))


def find_origin(depth: int) -> Origin | None:
    """The code object and offset of the innermost frame outside this library."""
    frame: Any = _frame_above(depth)
    while frame is not None:
        code = frame.f_code
        inside = _in_library.get(code.co_filename)
        if inside is None:
            inside = _in_library[code.co_filename] = code.co_filename.startswith(PACKAGE)
        if not inside:
            return code, frame.f_lasti
        frame = frame.f_back
    return None


def raised_at(error: BaseException, *libraries: str) -> str:
    """The `file:line` at which an error passed last outside this library and these folders."""
    found, trace = "", error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if not filename.startswith((PACKAGE, *libraries)):
            found = f"{filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def source_line(line: str) -> str:
    """The words of a `file:line`, for messages; empty where there are none."""
    filename, _, number = line.rpartition(":")
    return linecache.getline(filename, int(number)).strip() if filename else ""


def quoted(line: str) -> str:
    """A `file:line` with its words: `train.py:12: y = f(x)`."""
    words = source_line(line)
    return f"{line}: {words}" if words else line
