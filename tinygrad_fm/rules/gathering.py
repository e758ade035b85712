"""The windows of images by one gather: which pixel each place of each window reads.

The numbers of the pixels are kept, as to make them takes as long as to read by them. They count
from the first row that a part of the result reads, so that parts inside an image share them.
"""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

Array = Any
Meeting = tuple[slice, slice]  # results along an axis that see a pixel at a place, and the pixels

KEPT = 16 << 20  # bytes of numbers that are kept


class Reading:
    """What a part of the result reads of images, whatever their number.

    Attributes:
        rows, columns: for each place of the kernel along an axis, start and stop of the results
            that see a pixel there, and start, stop and step of these pixels, from the first on.
        shape: of the part, and of the pixels that it reads.
    """

    def __init__(self, rows: Any, columns: Any, shape: tuple[int, int, int, int]):
        self.rows, self.columns, self.shape = rows, columns, shape

    def numbers(self, n: int) -> Array:
        """Those of the pixels in the order (rows, columns, images, KH, KW).

        A place beyond the image has the number that comes after all others.
        """
        high, wide, below, beside = self.shape
        pixels = np.arange(below * beside * n).reshape(below, beside, n)
        kernel = len(self.rows), len(self.columns)
        found = np.full((high, wide, n, *kernel), pixels.size)
        for k, (i, end, *above) in enumerate(self.rows):
            for m, (j, last, *left) in enumerate(self.columns):
                found[i:end, j:last, :, k, m] = pixels[slice(*above), slice(*left)]
        return found.reshape(-1)


_reading = functools.lru_cache(maxsize=4096)(Reading)  # equal ones are one


def reading(
    rows: list[Meeting], columns: list[Meeting], part: tuple[slice, slice]
) -> tuple[tuple[slice, slice], Reading]:
    """The pixels that a part reads, and how."""
    places, bands = [], []
    for meetings in (rows, columns):
        seen = [pixels for _, pixels in meetings if pixels.stop > pixels.start]
        start = min((pixels.start for pixels in seen), default=0)
        bands.append(slice(start, max((pixels.stop for pixels in seen), default=0)))
        places.append(
            tuple(
                (out.start, out.stop, pixels.start - start, pixels.stop - start, pixels.step)
                if pixels.stop > pixels.start
                else (0, 0, 0, 0, 1)
                for out, pixels in meetings
            )
        )
    shape = [s.stop - s.start for s in (*part, *bands)]
    return (bands[0], bands[1]), _reading(places[0], places[1], tuple(shape))


class _Kept:
    """The numbers that were used last, as many as fit."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[Reading, int], Array] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, reading: Reading, n: int) -> Array:
        key = reading, n
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
                return found
        found = reading.numbers(n)
        with self._lock:
            if found.nbytes <= KEPT // 2 and key not in self._found:
                self._found[key] = found
                self._bytes += found.nbytes
            while self._bytes > KEPT:
                self._bytes -= self._found.popitem(last=False)[1].nbytes
        return found


numbers = _Kept()


def rows_of(x: Array, band: tuple[slice, slice], index: Array, scratch: Any) -> Array:
    """The pixels with these numbers, (len(index), C); `scratch` gives memory for two arrays."""
    read = x[band]
    c = x.shape[-1]
    count = math.prod(read.shape[:-1])
    pixels, made = scratch(x, (count + 1, c), (len(index), c))
    np.reshape(pixels[:count], read.shape)[...] = read
    pixels[count] = 0
    np.take(pixels, index, axis=0, out=made, mode="clip")  # "raise" would copy it once more
    return made
