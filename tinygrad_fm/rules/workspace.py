"""Memory to compute in, kept from call to call: fresh pages cost as much as the arithmetic."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

KEPT = 128 << 20  # bytes that a thread keeps at most; larger workspaces are fresh each time
LINE = 64  # bytes of a cache line, on which every array begins
# Multiplications in a product that take as long as to take one number to frequencies or points, by
# which it is seen whether a convolution is worth several threads.
OF_ONE = 16


class _Kept(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[int, Any] = {}


_kept = _Kept()
_nothing = np.empty(0, np.uint8)


def scratch(dtype: Any, *shapes: tuple[int, ...], part: int = 0) -> list[Any]:
    """Arrays of these shapes with anything in them, until this thread's next call.

    Args:
        part: each part of a work that is shared has memory of its own.
    """
    sizes = [-(-math.prod(shape) * dtype.itemsize // LINE) * LINE for shape in shapes]
    total = sum(sizes) + LINE
    buffer = _kept.buffers.get(part, _nothing)
    if total > len(buffer):
        buffer = np.empty(total, np.uint8)
        if total <= KEPT:
            _kept.buffers[part] = buffer
    start = -buffer.__array_interface__["data"][0] % LINE
    made = []
    for shape, size in zip(shapes, sizes, strict=True):
        count = math.prod(shape) * dtype.itemsize
        made.append(buffer[start : start + count].view(dtype).reshape(shape))
        start += size
    return made


def finite(*arrays: Any) -> bool:
    """Whether there is no NaN or infinity."""
    return all(np.isfinite(array).all() for array in arrays)
