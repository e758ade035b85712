"""Kernels: chains of calls as functions with loops, readable in Python, compiled by Numba."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm import fast
from tinygrad_fm.program.calls import literal
from tinygrad_fm.program.elements import (
    BOOL,
    NOT_NAN,
    is_flat,
    is_number,
    is_sum,
    lengths,
    template,
)
from tinygrad_fm.program.values import Instruction, Value, layout


class Loop(NamedTuple):
    """Instructions that are done together for each element of arrays of this shape."""

    shape: tuple[int, ...]
    members: list[Instruction]

    @classmethod
    def over(cls, shape: tuple[int, ...], members: list[Instruction]) -> Loop:
        """One with two axes at most: along the memory of arrays that have more."""
        return cls(shape if len(shape) < 3 else (math.prod(shape),), members)


class Kernel:
    """Loops that follow each other in one function.

    Attributes:
        loops: in their order.
        reads: the arrays and numbers that go in.
        stores: the arrays that it fills.
    """

    def __init__(self, loops: list[Loop], stores: list[Value]):
        self.loops = loops
        self.stores = stores
        made = {r for loop in loops for member in loop.members for r in member.results}
        read = dict.fromkeys(v for loop in loops for m in loop.members for v in m.operands)
        self.reads = [v for v in read if v not in made and not is_number(v)]

    @property
    def calls(self) -> int:
        """How many calls of NumPy it stands for."""
        return sum(len(loop.members) for loop in self.loops)

    def text(
        self, name: str, named: Callable[[Value], str], local: Callable[[Value], str], notes: bool
    ) -> str:
        """The function, in Python; `local` gives the name of what a member computes."""
        arrays = [*self.reads, *self.stores]
        lines = [f"def {name}({', '.join(map(named, arrays))}):"]
        for loop in self.loops:
            writer = _Writer(loop, arrays, set(self.stores), named, local)
            if notes:
                lines += [f"    # {note}" for note in writer.notes()]
            lines += [f"    {line}" for line in writer.lines()]
        return "\n".join(lines) + "\n"

    def cost(self) -> int:
        """What it costs to compile it, in the elements of fast.WORTH."""
        return fast.cost(self.plain)

    def compiled(self, arrays: list[Any]) -> Any:
        """The function that Numba makes of it; the same for all kernels that do the same.

        Args:
            arrays: for each argument the array, where it is the same at each call, or None.

        Raises:
            ValueError: an array has another shape or dtype than when the step was traced.
        """
        signature = []
        for value, array in zip([*self.reads, *self.stores], arrays, strict=True):
            order = "C" if is_flat(value) else layout(value)
            if array is not None and not is_flat(value):
                if (array.shape, array.dtype) != (value.shape, value.dtype):
                    raise ValueError(
                        f"a parameter or buffer of shape {value.shape} and {value.dtype} when the "
                        f"step was compiled now has shape {array.shape} and {array.dtype}; compile "
                        "the step again"
                    )
                flags = array.flags
                order = "C" if flags.c_contiguous else "F" if flags.f_contiguous else "A"
            axes = 1 if is_flat(value) else len(value.shape)
            signature.append((value.dtype.name, axes, order, value in self.reads))
        return fast.kernel(self.plain, tuple(signature))

    @functools.cached_property
    def plain(self) -> str:
        """The text with names that do not matter, so that equal kernels are compiled once."""
        names = {v: f"x{i}" for i, v in enumerate(self.reads)}
        names |= {v: f"y{i}" for i, v in enumerate(self.stores)}
        members = [m for loop in self.loops for m in loop.members]
        local = {m.results[0]: f"t{i}" for i, m in enumerate(members)}
        text = self.text("kernel", names.__getitem__, local.__getitem__, notes=False)
        return f"import numpy as np\n\n\n{text}"


class _Writer:
    """The lines of one loop."""

    def __init__(
        self,
        loop: Loop,
        arrays: list[Value],
        stores: set[Value],
        named: Callable[[Value], str],
        local: Callable[[Value], str],
    ):
        self._loop = loop
        flat = any(is_flat(m.results[0]) for m in loop.members)
        self._axes = "i" if flat else "ij"[2 - len(loop.shape) :]
        self._arrays = arrays
        self._stores = stores
        self._named = named
        self._local = local
        self._here: dict[Value, str] = {
            m.results[0]: local(m.results[0]) for m in loop.members if not is_sum(m)
        }

    def notes(self) -> Iterator[str]:
        """Where its calls come from."""
        places: dict[str, list[str]] = {}
        for member in self._loop.members:
            place = member.scope or "outside of any module"
            names = places.setdefault(f"{'backward of ' * member.backward}{place}", [])
            names.append(member.name)
        for place, names in places.items():
            yield f"{place}: {', '.join(names)}"

    def lines(self) -> Iterator[str]:
        """Nested loops; what does not change along a row is read before it."""
        members = self._loop.members
        inner: list[str] = []
        before: dict[int, list[str]] = {}
        uses = [v for m in members for v in m.operands]
        for value in dict.fromkeys(uses):
            if value in self._here or is_number(value):
                continue
            index = self._index(value)
            text = f"{self._named(value)}{index}"
            used = [axis for axis in self._axes if axis in index]
            depth = self._axes.index(used[-1]) + 1 if used else 0
            if index and (depth < len(self._axes) or uses.count(value) > 1):
                self._here[value] = f"{self._named(value)}_{''.join(used) or '0'}"
                lines = inner if depth == len(self._axes) else before.setdefault(depth, [])
                lines.append(f"{self._here[value]} = {text}")
            else:
                self._here[value] = text
        sums = []
        for member in members:
            result = member.results[0]
            if is_sum(member):
                total = f"{self._named(result)}[{'0, ' * (len(result.shape) - 1)}j]"
                sums.append(f"    {total} = 0")
                inner.append(f"{total} += {self._operand(member.args[0], result.dtype)}")
                continue
            inner.append(f"{self._here[result]} = {self._expression(member)}")
            if result in self._stores:
                inner.append(f"{self._named(result)}{self._index(result)} = {self._here[result]}")
        if sums:
            yield f"for j in range({self._length(1)}):"
            yield from sums
        yield from before.get(0, [])
        for depth, axis in enumerate(self._axes):
            yield f"{'    ' * depth}for {axis} in range({self._length(depth)}):"
            yield from (f"{'    ' * (depth + 1)}{line}" for line in before.get(depth + 1, []))
        yield from (f"{'    ' * len(self._axes)}{line}" for line in inner)

    def _index(self, value: Value) -> str:
        if not value.shape:
            return ""
        if is_flat(value):
            return "[i]"
        rank = len(value.shape)
        shape, axes = self._loop.shape[-rank:], self._axes[-rank:]
        parts = (
            axis if n == whole else "0"
            for axis, n, whole in zip(axes, lengths(value), shape, strict=True)
        )
        return f"[{', '.join(parts)}]"

    def _length(self, axis: int) -> str:
        """The text for how long an axis is, so that one kernel does for batches of all sizes."""
        members = self._loop.members
        near = {v for m in members for v in (*m.operands, *m.results)}
        summed = {m.results[0] for m in members if is_sum(m)}
        back = len(self._loop.shape) - axis
        length = self._loop.shape[axis]
        for value in self._arrays:
            rank = 1 if is_flat(value) else len(value.shape)
            fits = rank >= back and value.shape[-back] == length
            if is_flat(value):
                fits = math.prod(value.shape) == length
            if fits and value in near and value not in summed:
                return f"{self._named(value)}.shape[{rank - back}]"
        return str(length)  # numbers alone make it up

    def _expression(self, call: Instruction) -> str:
        found = template(call)
        assert found is not None  # loop_shape has asked
        text, dtypes = found
        texts = [
            self._operand(argument, dtype)
            for argument, dtype in zip(call.args, dtypes, strict=True)
            if dtype is not None
        ]
        if type(call.args[-1]) in (int, float) and call.args[-1] == call.args[-1]:
            text = text.replace(NOT_NAN, "")
        return text.format(*texts)

    def _operand(self, argument: Any, dtype: np.dtype[Any]) -> str:
        """The text of one element, cast if need be."""
        if isinstance(argument, Value) and not is_number(argument):
            text = self._here[argument]
            return text if argument.dtype == dtype else _cast(text, dtype)
        if isinstance(argument, Value):
            argument = argument.holds[()]
        kind = {"f": float, "i": int, "b": bool}[dtype.kind]
        text = literal(kind(argument)) or ""
        return _cast(text, dtype) if dtype == np.float32 else text


def _cast(text: str, dtype: np.dtype[Any]) -> str:
    return f"({text} != 0)" if dtype == BOOL else f"np.{dtype.name}({text})"
