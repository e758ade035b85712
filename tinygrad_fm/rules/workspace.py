"""Memory to compute in, kept from call to call: fresh pages cost as much as the arithmetic."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

# Bytes that a thread keeps at most, for each part of a work; larger workspaces are fresh each time.
KEPT = 128 << 20
SHAPES = 256  # sets of shapes whose arrays a thread keeps at most, for each part of a work
LINE = 64  # bytes of a cache line, on which every array begins
# Parts of a work: for what all of the others read or write, and for kernels turned around.
SHARED, TURNED = -1, -2
# Multiplications in a product that take as long as to take one number to frequencies or points, by
# which it is seen whether a convolution is worth several threads.
OF_ONE = 16


class _Memory:
    """Bytes, and the arrays in them that were asked for."""

    def __init__(self, size: int) -> None:
        self.bytes = np.empty(size, np.uint8)
        self.start = -self.bytes.ctypes.data % LINE
        self.arrays: dict[Any, tuple[Any, ...]] = {}


class _Kept(threading.local):
    def __init__(self) -> None:
        self.parts: dict[int, _Memory] = {}


_kept = _Kept()


def scratch(dtype: Any, *shapes: tuple[int, ...], part: int = 0) -> tuple[Any, ...]:
    """Arrays of these shapes with anything in them, until this thread's next call for this part.

    For the same shapes they are the very same arrays again.

    Args:
        part: each part of a work that is shared has memory of its own.
    """
    memory = _kept.parts.get(part)
    made = memory and memory.arrays.get((dtype, shapes))
    return made or _arrays(memory, dtype, shapes, part)


def _arrays(
    memory: _Memory | None, dtype: Any, shapes: tuple[tuple[int, ...], ...], part: int
) -> tuple[Any, ...]:
    sizes = [-(-math.prod(shape) * dtype.itemsize // LINE) * LINE for shape in shapes]
    total = sum(sizes) + LINE
    if memory is None or total > len(memory.bytes):
        memory = _Memory(total)
        if total <= KEPT:
            _kept.parts[part] = memory
    made, start = [], memory.start
    for shape, size in zip(shapes, sizes, strict=True):
        count = math.prod(shape) * dtype.itemsize
        made.append(memory.bytes[start : start + count].view(dtype).reshape(shape))
        start += size
    if len(memory.arrays) >= SHAPES:
        memory.arrays.clear()
    memory.arrays[dtype, shapes] = found = tuple(made)
    return found


def finite(*arrays: Any) -> bool:
    """Whether there is no NaN or infinity."""
    return all(np.isfinite(array).all() for array in arrays)
