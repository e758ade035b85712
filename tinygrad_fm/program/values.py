"""What a program is made of: values, and the instructions that make them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm.engine import Origin, line_of


class TraceError(TypeError):
    """A step did something that a program cannot repeat; the message says where, and what else."""


_numbers = itertools.count()


class Value:
    """An array that a program handles: an input, something that lives outside, or a result.

    Attributes:
        kind: "input", "cell" (the array of a Tensor, such as a parameter), "gradient" (its `.grad`
            from before the call), "memory" (an array from outside that the step writes to),
            "constant", or "result".
        holds: what it comes from: the Tensor of a cell or gradient, the array of a constant or
            memory, the path of an input.
        source: the instruction that made it, for a result.
        base: the value whose memory it lies in, for a view, and for what an assignment left behind.
        rewritten: whether it is `base` itself after an assignment, and not a view of it.
        number: of those that were made before it.
    """

    __slots__ = (
        *("base", "dtype", "holds", "kind", "number", "rewritten", "shape", "source"),
        "strides",
    )

    def __init__(
        self,
        array: Any,
        kind: str,
        holds: Any = None,
        source: Instruction | None = None,
        base: Value | None = None,
        rewritten: bool = False,
    ):
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self.strides: tuple[int, ...] = array.strides
        self.kind = kind
        self.holds = holds
        self.source = source
        self.base = base
        self.rewritten = rewritten
        self.number = next(_numbers)

    @property
    def root(self) -> Value:
        """The value that owns the memory."""
        value = self
        while value.base is not None:
            value = value.base
        return value

    @property
    def before_assignments(self) -> Value:
        """The value that this one was before it was assigned to: the same array, the same name."""
        value = self
        while value.rewritten and value.base is not None:
            value = value.base
        return value

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return int(np.prod(self.shape, dtype=int)) * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"Value({self.kind}, {self.shape}, {self.dtype})"


class Instruction:
    """One call of a function, or one thing that is done: an assignment, a check, an update.

    Attributes:
        kind: "call"; "assign", to `args[0]` at the index `args[1]` the value `args[2]`; "check",
            which returns nothing and may raise; "update", of an optimizer.
        function: what is called; the optimizer of an update.
        args, keywords: Values, plain Python values, and tuples and lists of both.
        results: one Value, or those of a function that returns several.
        ordered: whether it has an effect, or draws random numbers, and so is never merged, moved
            or dropped.
    """

    __slots__ = (
        *("args", "backward", "function", "keywords", "kind", "name", "ordered", "origin"),
        *("primitive", "results", "scope", "several"),
    )

    def __init__(
        self,
        kind: str,
        name: str,
        function: Any,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        ordered: bool,
    ):
        self.kind = kind
        self.name = name
        self.function = function
        self.args = args
        self.keywords = keywords
        self.ordered = ordered
        self.results: list[Value] = []
        self.primitive: Any = None  # of a call
        self.several = False
        self.scope = ""
        self.backward = False
        self.origin: Origin | None = None

    @property
    def line(self) -> str:
        """`file:line` of the user's code that it comes from; empty where there is none."""
        return line_of(self.origin)

    @property
    def operands(self) -> Iterator[Value]:
        """The Values among the arguments, in order."""
        return values_in((self.args, tuple(self.keywords.values())))

    def __repr__(self) -> str:
        return f"Instruction({self.name})"


def steps(array: Any) -> list[tuple[int, int]]:
    """Length and stride of each axis of a Value or array that has a stride to speak of."""
    return [(n, s) for n, s in zip(array.shape, array.strides, strict=True) if n > 1]


def layout(value: Value) -> str:
    """C or F for an array in that order, A for any other, as Numba calls them."""
    axes = steps(value)
    for name, ordered in (("C", axes[::-1]), ("F", axes)):
        step = value.dtype.itemsize
        for length, stride in ordered:
            if stride != step:
                break
            step *= length
        else:
            return name
    return "A"


def c_strides(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    """Of an array in C order with elements of `step` bytes."""
    strides = []
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def values_in(tree: Any) -> Iterator[Value]:
    """The Values in nested tuples, lists and dictionaries."""
    if isinstance(tree, Value):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            yield from values_in(part)
    elif isinstance(tree, dict):
        yield from values_in(tuple(tree.values()))


def replaced(tree: Any, change: Callable[[Value], Any]) -> Any:
    """The same tree with `change(value)` in place of each Value."""
    if isinstance(tree, Value):
        return change(tree)
    if isinstance(tree, (tuple, list)):
        parts = [replaced(part, change) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if isinstance(tree, dict):
        return {name: replaced(part, change) for name, part in tree.items()}
    return tree
