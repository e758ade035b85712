"""Where a NaN or an infinity came from: the first operation that made it from finite numbers."""

from __future__ import annotations

import linecache
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from tinygrad_fm.engine import state
from tinygrad_fm.engine.node import PACKAGE
from tinygrad_fm.tensor import Tensor


class NonFiniteError(FloatingPointError):
    """A number that should be finite is NaN or infinite; the message says where it came from.

    Attributes:
        epoch, batch: where training stood, counted from 1; None outside of training.
        operation: the name of the operation that made it, or None where it was there before.
        history: what training had recorded until then (a `train.History`), or None.
    """

    def __init__(
        self,
        message: str,
        *,
        epoch: int | None = None,
        batch: int | None = None,
        operation: str | None = None,
        history: Any = None,
    ):
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch
        self.operation = operation
        self.history = history


@dataclass(frozen=True)
class Origin:
    """The operation at which a non-finite value first appeared.

    `argument` is None where the operation made it from finite numbers, otherwise the position of
    the argument that brought it in (an array that no watched operation computed). `number` counts
    the watched operations from 1; `arguments` and `found` describe the values; `module` is the path
    of the module call, and `line` the `file:line` of the user's code, each empty where there is
    none.
    """

    operation: str
    number: int
    argument: int | None
    arguments: tuple[str, ...]
    found: str
    largest: float  # the largest finite magnitude among the arguments
    module: str
    line: str
    source: str

    def __str__(self) -> str:
        how = "made" if self.argument is None else "met"
        lines = [f"first {how} by {self.operation}, operation {self.number}: {self.found}"]
        lines += [f"argument {i}: {text}" for i, text in enumerate(self.arguments)]
        if self.module:
            lines.append(f"in module {self.module}")
        if self.line:
            lines.append(f"at {self.line}" + (f": {self.source}" if self.source else ""))
        return "\n".join(lines)


class NonFiniteTrace:
    """Watches the operations on Tensors in this thread, and remembers where values turned bad.

        with NonFiniteTrace() as trace:
            value = loss(model(x), y)
        print(trace.origin_of(value))

    The origin is found along the way that leads to the result: an infinity that is masked out
    again is not reported. Non-finite results are kept alive until the trace is dropped.
    """

    def __init__(self) -> None:
        self.first: Origin | None = None  # of any non-finite value, whether it matters or not
        self._count = 0
        # by id of the array; the array itself is kept, so that no other can take its id
        self._made: dict[int, tuple[Any, Origin]] = {}
        self._outermost: FrameType | None = None
        self._before: Any = None

    def __enter__(self) -> NonFiniteTrace:
        self._before = state.mode.observer
        self._outermost = sys._getframe(1)
        state.mode.observer = self
        return self

    def __exit__(self, *error: object) -> None:
        state.mode.observer = self._before
        self._before = self._outermost = None

    def origin_of(self, result: Any) -> Origin | None:
        """The origin of the non-finite values in `result`; None where it has none or is unknown."""
        data = result.data if isinstance(result, Tensor) else result
        known = self._made.get(id(data))
        return None if known is None else known[1]

    def called(self, module: Any) -> None:
        """A module call begins: nothing of it can be NaN yet."""
        if self._before is not None:
            self._before.called(module)

    def failed(self, error: BaseException, what: Any, values: Any) -> None:
        """An operation raised: nothing of it can be NaN."""
        if self._before is not None:
            self._before.failed(error, what, values)

    def computed(
        self, primitive: Any, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """Look at one result."""
        if self._before is not None:
            self._before.computed(primitive, values, keywords, result, node)
        self._count += 1
        parts = result if isinstance(result, tuple) else (result,)
        bad = [part for part in parts if not all_finite(part)]
        if not bad:
            return
        origin = None
        arguments = list(_flat(values))
        for i, value in enumerate(arguments):
            if not all_finite(value):
                known = self._made.get(id(value))
                origin = known[1] if known else self._describe(primitive, arguments, bad[0], i)
                break
        origin = origin or self._describe(primitive, arguments, bad[0], None)
        self.first = self.first or origin
        for part in bad:
            self._made[id(part)] = part, origin

    def _describe(
        self, primitive: Any, arguments: list[Any], bad: Any, argument: int | None
    ) -> Origin:
        line, source = self._user_line()
        scope = state.mode.scope
        return Origin(
            operation=primitive.name,
            number=self._count,
            argument=argument,
            arguments=tuple(describe(value) for value in arguments),
            found=describe_nonfinite(bad if argument is None else arguments[argument]),
            largest=max((largest(value) for value in arguments), default=0.0),
            module="" if scope is None else scope.path(),
            line=line,
            source=source,
        )

    def _user_line(self) -> tuple[str, str]:
        """The innermost line outside this library, no further out than where the trace began."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            filename = frame.f_code.co_filename
            if not filename.startswith(PACKAGE):
                source = linecache.getline(filename, frame.f_lineno).strip()
                return f"{filename}:{frame.f_lineno}", source
            frame = None if frame is self._outermost else frame.f_back
        return "", ""


def all_finite(value: Any) -> bool:
    """Whether an array (or number) holds neither NaN nor infinity; True for what is no float."""
    if isinstance(value, float):
        return math.isfinite(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind not in ("f", "c") or bool(np.isfinite(value).all())


def describe_nonfinite(array: Any) -> str:
    """The first bad value, its index, and how many there are: `nan at [0, 4], 12 of 320 values`."""
    array = np.asarray(array)
    bad = ~np.isfinite(array)
    if array.ndim == 0:
        return f"{array[()]}"
    index = [int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape)]
    return f"{array[tuple(index)]} at {index}, {int(bad.sum()):,} of {array.size:,} values"


def describe(value: Any) -> str:
    """An array's dtype, shape and range: `float32 (32, 10), -2.31 to 1.9`."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        return f"{value!r:.60}"
    text = f"{value.dtype} {value.shape}"
    if not value.size or value.dtype.kind not in "fiub":
        return text
    if not all_finite(value):
        return f"{text}, {describe_nonfinite(value)}"
    if value.size == 1:
        return f"{text}, {value.item():.6g}"
    return f"{text}, {value.min():.6g} to {value.max():.6g}"


def largest(value: Any) -> float:
    """The largest finite magnitude in an array of floats; 0 for anything else."""
    if getattr(getattr(value, "dtype", None), "kind", "") != "f" or not value.size:
        return 0.0
    return float(np.max(np.abs(value), where=np.isfinite(value), initial=0))


def _flat(values: Any) -> Iterator[Any]:
    """The arguments of an operation, those in lists and tuples too."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value
