"""Gradients that are a column times a row: kept as the two, and multiplied where they are used.

Such are the gradients of weights at a batch of one, where a training step is little more than
passes over memory: without those that write the product and read it again, the update takes a third
to a half of the time.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import textwrap
import threading
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import numpy as np

from tinygrad_fm import fast
from tinygrad_fm.optim.flat import Flat, Run, aligned, worth_a_thread
from tinygrad_fm.recorded import Recorded
from tinygrad_fm.tensor import Tensor

# Elements of a product that are made at a time; with their weights they stay in the nearest cache.
PIECE = 512

# What a loop may use; the same call has other byte code where its module is not imported.
_IMPORTS = """from __future__ import annotations

import math

import numpy as np
"""

Array = Any
Loop = Callable[..., None]
# what was compiled of it, the arrays it takes, and which run's numbers after these
LoopCall = tuple[Loop, tuple[Array, ...], int]


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

    def product(self, out: Array | None = None) -> Array:
        """The gradient, as an array; what overflows is infinite, without a warning."""
        with np.errstate(all="ignore"):
            return np.dot(self.column, self.row, out=out)

    def gradient(self) -> Tensor:
        """The gradient, as a Tensor that is computed when somebody looks at it."""
        if type(self._gradient) is not _Unseen:  # somebody has
            self._gradient = _Unseen(self)
        found: Tensor = self._gradient
        return found


_array_slot: Any = vars(Recorded)["_array"]
_looking = threading.Lock()


class _Unseen(Tensor):
    """A gradient that nobody has looked at yet; as soon as somebody does, it is a Tensor.

    Whoever wants the numbers reads `_array`, which here is no slot but this property: it computes
    the product, puts it into the slot, and makes an ordinary Tensor of the object. Until then the
    factors are in `_grad`, which a gradient has no use for.
    """

    __slots__ = ()

    def __init__(self, factors: Factors):
        self._grad = factors
        self._node = self._memory = self._view = self.name = None

    @property
    def _array(self) -> Any:
        with _looking:
            if type(self) is _Unseen:  # and no other thread was here first
                _array_slot.__set__(self, self._grad.product())
                self._grad = None
                self.__class__ = Tensor  # type: ignore[assignment]
        return _array_slot.__get__(self)


class FactoredGradients:
    """Those gradients of a flat buffer that are given as factors.

    Attributes:
        factors: by the id() of the parameter.
    """

    def __init__(self, flat: Flat, positions: list[int]):
        sizes = [sum(flat.parameters[i].shape) for i in positions]
        starts = np.cumsum([0, *sizes]).tolist()
        self.factors: dict[int, Factors] = {}
        self._flat = flat
        self._memory = aligned(starts[-1], flat.values.dtype)
        self._starts = dict(zip(positions, starts, strict=False))
        self._longest = max(flat.parameters[i].shape[1] for i in positions)
        for i, (start, end) in zip(positions, itertools.pairwise(starts), strict=True):
            parameter = flat.parameters[i]
            self.factors[id(parameter)] = Factors(self._memory[start:end], parameter)
        self._kernels: dict[tuple[Loop, int], Any] = {}
        self._cut: Any = None
        self._parts: list[list[tuple[Array, Array]]] = []

    def multiply_out(self) -> None:
        """Write the products into the flat gradient."""
        for parameter, view in zip(self._flat.parameters, self._flat.gradient_views, strict=True):
            if id(parameter) in self.factors:
                self.factors[id(parameter)].product(out=view)

    def calls(
        self, runs: list[Run], threads: int, loops: list[tuple[Loop, int]]
    ) -> list[list[LoopCall]] | None:
        """For each of so many threads the calls to make.

        Args:
            loops: for each run its loop, and how many numbers that takes.

        Returns:
            None where a loop cannot be compiled with the product in it.
        """
        flat = self._flat
        kernels = [self._kernel(loop, numbers) for loop, numbers in loops]
        if None in kernels:
            return None
        cut = [(run.start, run.end) for run in runs], threads
        if cut != self._cut:
            self._cut, self._parts = cut, [self._tables(run, threads) for run in runs]
        arrays = flat.values, flat.gradient, *flat.state.values(), self._memory
        found: list[list[LoopCall]] = [[] for _ in range(threads)]
        for i, (kernel, parts) in enumerate(zip(kernels, self._parts, strict=True)):
            for calls, (table, piece) in zip(found, parts, strict=True):
                calls.append((kernel, (*arrays, piece, table), i))
        return found

    def _kernel(self, loop: Loop, numbers: int) -> Any:
        """The loop over a table of stretches, compiled; None where that cannot be."""
        kind, state = self._flat.kind, len(self._flat.state)
        if (loop, state) not in self._kernels:
            array, number = (kind, 1, "C", False), (kind, 0, "", False)
            given = *((array,) * (4 + state)), ("int64", 2, "C", False), *((number,) * numbers)
            source, made = source_of(loop), None
            with contextlib.suppress(Exception):  # of Numba: it needs more than its source, say
                text = _text(loop.__name__, source, state, numbers)
                made = fast.kernel(text, given) if source else None
            self._kernels[loop, state] = made
        return self._kernels[loop, state]

    def _tables(self, run: Run, threads: int) -> list[tuple[Array, Array]]:
        """What each thread does of a run, and memory for its pieces.

        A row of a table is a stretch of the buffer: where it starts and ends; then, in the memory
        of the factors, where its part of the column starts and ends; where the row starts, and its
        length. That is 0 where the gradient is in the buffer.
        """
        flat = self._flat
        tables: list[list[tuple[int, ...]]] = [[] for _ in range(threads)]
        worth = worth_a_thread(len(flat.state))
        written = run.start  # up to where the gradient is in the buffer, if it is there at all

        def add_written(end: int) -> None:
            share = threads if end - written >= worth else 1
            for table, (first, last) in zip(tables, _cuts(end - written, share), strict=False):
                table.append((written + first, written + last, 0, 0, 0, 0))

        for i, at in self._starts.items():
            start, end = flat.spans[i]
            if run.start <= start < run.end:
                add_written(start)
                written = end
                n, m = flat.parameters[i].shape
                for table, (first, last) in zip(tables, _cuts(n, threads), strict=True):
                    stretch = start + first * m, start + last * m
                    table.append((*stretch, at + first, at + last, at + n, m))
        add_written(run.end)
        size = max(PIECE, self._longest)
        return [(np.array(t, np.int64), aligned(size, flat.values.dtype)) for t in tables]


def _cuts(length: int, parts: int) -> Iterator[tuple[int, int]]:
    """From where to where each of so many parts goes."""
    return itertools.pairwise(length * k // parts for k in range(parts + 1))


def source_of(loop: Loop) -> str:
    """The source of a loop, if it is all that the loop needs, with NumPy as np and with math."""
    code = loop.__code__
    needs = {name for name in code.co_names if name in loop.__globals__}
    if loop.__closure__ or loop.__defaults__ or not needs <= {"math", "np"}:
        return ""
    try:
        source = textwrap.dedent(inspect.getsource(loop))
        module = compile(_IMPORTS + source, "", "exec")
        (found,) = (c for c in module.co_consts if isinstance(c, CodeType))
    except (OSError, SyntaxError, ValueError):  # it was typed in, or is not a function by itself
        return ""
    # the file may have changed since, and a decorator may hide another function
    told = (found.co_name, found.co_code, found.co_consts, found.co_names)
    same = told == (loop.__name__, code.co_code, code.co_consts, code.co_names)
    return source if same else ""


def _text(name: str, source: str, state: int, numbers: int) -> str:
    """The source of the loop and of a function that calls it stretch by stretch.

    That takes the weights, the gradient, the state, the factors, memory for a piece, the table (see
    FactoredGradients) and the numbers.
    """
    states = [f"state{i}" for i in range(state)]
    rest = "".join(f", number{i}" for i in range(numbers))
    given = ", ".join(["weights", "gradient", *states, "factors", "piece", "table"]) + rest
    whole = "".join(f", {array}[start:end]" for array in states) + rest
    part = "".join(f", {array}[start : start + filled]" for array in states) + rest
    return f"""{_IMPORTS}

{source}

loop = {name}


def kernel({given}):
    for k in range(len(table)):
        start, end, length = table[k, 0], table[k, 1], table[k, 5]
        if length == 0:
            loop(weights[start:end], gradient[start:end]{whole})
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
                loop(weights[start : start + filled], piece[:filled]{part})
                start += filled
                filled = 0
"""
