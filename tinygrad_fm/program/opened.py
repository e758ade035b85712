"""Means and variances, taken apart into the sums, differences and quotients that they are made of.

So what several of them have in common is computed once, as batch norm's mean is in five places, and
what remains can join its neighbours in a loop. The results are NumPy's to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.engine import registry
from tinygrad_fm.program.values import Instruction, Value, c_strides

# NumPy divides float32 by the count in float64, which rounds to the same up to here.
EXACT = 2**24


def opened(instructions: list[Instruction]) -> list[Instruction]:
    """The instructions, with those of its parts in place of each mean and variance along axes."""
    found = []
    for call in instructions:
        axes = _axes(call)
        if axes:
            found += _Parts(call, axes).made
        else:
            found.append(call)
    return found


class _Parts:
    """The instructions that a mean or a variance consists of."""

    def __init__(self, call: Instruction, axes: tuple[int, ...]):
        self.made: list[Instruction] = []
        self._call = call
        self._axes = axes
        (x,), (result,) = call.args, call.results
        self._count = int(np.prod([x.shape[axis] for axis in axes]))
        last = self._mean(x)
        if call.function is np.var:
            centred = self._add(np.subtract, (x, last), x.shape)
            last = self._mean(self._add(np.multiply, (centred, centred), x.shape))
        if call.keywords.get("keepdims"):
            self.made[-1].results = [result]
            result.source = self.made[-1]
        else:
            self._add(np.reshape, (last, result.shape), result.shape)
            self.made[-1].results = [result]
            result.source, result.base = self.made[-1], last

    def _mean(self, x: Value) -> Value:
        short = tuple(1 if i in self._axes else n for i, n in enumerate(x.shape))
        total = self._add(np.sum, (x,), short, axis=self._axes, keepdims=True)
        return self._add(np.divide, (total, self._count), short)

    def _add(
        self, function: Any, args: tuple[Any, ...], shape: tuple[int, ...], **keywords: Any
    ) -> Value:
        call = self._call
        made = Instruction("call", function.__name__, function, args, keywords, False)
        made.primitive = registry[function]
        made.scope, made.backward, made.origin = call.scope, call.backward, call.origin
        like = np.broadcast_to(np.empty((), call.results[0].dtype), shape)
        result = Value(like, "result", None, made)
        result.strides = c_strides(shape, like.itemsize)
        made.results.append(result)
        self.made.append(made)
        return result


def _axes(call: Instruction) -> tuple[int, ...]:
    """The axes of a mean or variance that can be taken apart; none for other instructions."""
    if call.function not in (np.mean, np.var) or len(call.args) != 1 or call.ordered:
        return ()
    (x,) = call.args
    axis = call.keywords.get("axis")
    if not isinstance(x, Value) or axis is None or call.keywords.keys() - {"axis", "keepdims"}:
        return ()
    axes = axis if isinstance(axis, tuple) else (axis,)
    if x.dtype not in (np.float32, np.float64) or x.strides != c_strides(x.shape, x.dtype.itemsize):
        return ()
    count = np.prod([x.shape[axis] for axis in axes], dtype=int)
    if not 0 < count < EXACT or not call.results[0].shape:
        return ()
    return tuple(sorted(int(axis) % len(x.shape) for axis in axes))
