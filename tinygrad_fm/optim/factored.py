"""Gradients that are a column times a row: kept as the two, and multiplied where they are used.

Such are the gradients of weights at a batch of one, where a training step is little more than
passes over memory: without those that write the product and read it again, the update takes a third
to a half of the time.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm import fast
from tinygrad_fm.optim.flat import Flat, Run, aligned
from tinygrad_fm.recorded import Recorded
from tinygrad_fm.tensor import Tensor

# Elements of a product that are made at a time; with their weights they stay in the nearest cache.
PIECE = 512

Array = Any
Loop = Callable[..., None]


class Factors:
    """The gradient of one parameter of shape (n, m).

    Attributes:
        column, row: of shape (n, 1) and (1, m); they lie one after the other.
    """

    def __init__(self, memory: Array, parameter: Tensor):
        length = parameter.shape[0]
        self.column = memory[:length].reshape(-1, 1)
        self.row = memory[length:].reshape(1, -1)
        self._gradient: Any = None

    def __call__(self, column: Array, row: Array) -> None:
        """Take over new ones."""
        np.copyto(self.column, column)
        np.copyto(self.row, row)

    def gradient(self) -> Tensor:
        """The product, as a Tensor that is computed when somebody looks at it."""
        if type(self._gradient) is not _Product:  # somebody has
            self._gradient = _Product(self)
        found: Tensor = self._gradient
        return found


_slot: Any = vars(Recorded)["_array"]


class _Product(Tensor):
    """A gradient that nobody has looked at yet. As soon as somebody does, it is a Tensor."""

    __slots__ = ()

    def __init__(self, factors: Factors):
        _slot.__set__(self, factors)
        self._node = self._grad = self._memory = self._view = self.name = None

    @property
    def _array(self) -> Any:
        factors = _slot.__get__(self)
        product = np.dot(factors.column, factors.row)
        self.__class__ = Tensor  # type: ignore[assignment]
        _slot.__set__(self, product)
        return product


class Factored:
    """Those parameters of a flat buffer whose gradients are given as factors.

    Attributes:
        factors: by the id() of the parameter.
    """

    def __init__(self, flat: Flat, positions: list[int], loop: Loop, numbers: int):
        sizes = [sum(flat.parameters[i].shape) for i in positions]
        starts = np.cumsum([0, *sizes]).tolist()
        self.factors: dict[int, Factors] = {}
        self._flat = flat
        self._kind = loop, flat.kind, len(flat.state), numbers
        self._memory = aligned(starts[-1], flat.values.dtype)
        self._starts = dict(zip(positions, starts, strict=False))
        self._longest = max(max(flat.parameters[i].shape) for i in positions)
        for i, (start, end) in zip(positions, itertools.pairwise(starts), strict=True):
            parameter = flat.parameters[i]
            self.factors[id(parameter)] = Factors(self._memory[start:end], parameter)
        self._cut: Any = None
        self._parts: list[list[tuple[Array, Array]]] = []

    def cost(self) -> int:
        """What it costs to compile its loop, in the elements of fast.WORTH."""
        loop, _, state, _ = self._kind
        return fast.cost(_text(loop, state))

    def prepare(self) -> None:
        """Compile it, if it is not."""
        compiled(*self._kind)

    def calls(
        self, runs: list[Run], threads: int, loops: list[tuple[Loop, tuple[float, ...]]]
    ) -> list[list[tuple[Any, ...]]]:
        """For each of so many threads: the calls to make, a compiled function and its arguments.

        Args:
            loops: for each run its loop, and the numbers that it takes.
        """
        flat = self._flat
        cut = [(run.start, run.end) for run in runs], threads
        if cut != self._cut:
            self._cut, self._parts = cut, [self._tables(run, threads) for run in runs]
        number = flat.values.dtype.type
        arrays = flat.values, flat.gradient, *flat.state.values(), self._memory
        found: list[list[tuple[Any, ...]]] = [[] for _ in range(threads)]
        for (loop, values), parts in zip(loops, self._parts, strict=True):
            call = compiled(loop, flat.kind, len(flat.state), len(values))
            numbers = [number(value) for value in values]
            for calls, (table, piece) in zip(found, parts, strict=True):
                calls.append((call, *arrays, piece, table, *numbers))
        return found

    def _tables(self, run: Run, threads: int) -> list[tuple[Array, Array]]:
        """What each thread does of a run, and memory for its pieces.

        A row of a table is a stretch of the buffer: where it starts and ends; then, in the memory
        of the factors, where its part of the column starts and ends; where the row starts, and its
        length. That is 0 where the gradient is in the buffer.
        """
        flat = self._flat
        tables: list[list[tuple[int, ...]]] = [[] for _ in range(threads)]
        written = run.start  # up to where the gradient is in the buffer, if it is there at all
        for i, at in self._starts.items():
            start, end = flat.spans[i]
            if not run.start <= start < run.end:
                continue
            tables[0].append((written, start, 0, 0, 0, 0))
            written = end
            n, m = flat.parameters[i].shape
            cuts = [n * k // threads for k in range(threads + 1)]
            for table, (first, last) in zip(tables, itertools.pairwise(cuts), strict=True):
                stretch = start + first * m, start + last * m
                table.append((*stretch, at + first, at + last, at + n, m))
        tables[0].append((written, run.end, 0, 0, 0, 0))
        size = max(PIECE, self._longest)
        return [
            (np.array(table, np.int64).reshape(-1, 6), aligned(size, flat.values.dtype))
            for table in tables
        ]


def stands_alone(loop: Loop) -> bool:
    """Whether the source of a loop is all that it needs, with NumPy as np and with math."""
    needs = {name for name in loop.__code__.co_names if name in loop.__globals__}
    if loop.__closure__ or not needs <= {"math", "np"}:
        return False
    try:
        return inspect.getsource(loop).lstrip().startswith("def ")
    except OSError:  # it was typed in
        return False


@functools.cache
def compiled(loop: Loop, dtype: str, state: int, numbers: int) -> Any:
    """The loop, for so many arrays of state and numbers, over a table of stretches.

    The function takes the weights, the gradient, the state, the factors, memory for a piece, the
    table (see Factored) and the numbers.
    """
    array, table = (dtype, 1, "C", False), ("int64", 2, "C", False)
    given = *((array,) * (4 + state)), table, *(((dtype, 0, "", False),) * numbers)
    return fast.kernel(_text(loop, state), given)


def _text(loop: Loop, state: int) -> str:
    """Its source."""
    numbers = len(inspect.signature(loop).parameters) - 2 - state
    states = [f"state{i}" for i in range(state)]
    rest = "".join(f", number{i}" for i in range(numbers))
    given = ", ".join(["weights", "gradient", *states, "factors", "piece", "table"]) + rest
    whole = "".join(f", {name}[start:end]" for name in states) + rest
    part = "".join(f", {name}[start : start + filled]" for name in states) + rest
    name = loop.__name__
    return f"""from __future__ import annotations

import math

import numpy as np


{textwrap.dedent(inspect.getsource(loop))}

def kernel({given}):
    for k in range(len(table)):
        start, end, length = table[k, 0], table[k, 1], table[k, 5]
        if length == 0:
            {name}(weights[start:end], gradient[start:end]{whole})
            continue
        column = factors[table[k, 2] : table[k, 3]]
        row = factors[table[k, 4] : table[k, 4] + length]
        filled = 0
        for i in range(len(column)):
            product = piece[filled : filled + length]
            for j in range(length):
                product[j] = column[i] * row[j]
            filled += length
            if filled + length > len(piece) or i + 1 == len(column):
                {name}(weights[start : start + filled], piece[:filled]{part})
                start += filled
                filled = 0
"""
