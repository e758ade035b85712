"""Pooling's gradient, and another order of images, as loops that Numba compiles.

Arrays are flat; images lie in the order (H, W, columns), in which all channels of all images are
columns.
"""

import numpy as np

from tinygrad_fm.rules import squares
from tinygrad_fm.rules.lines import U, fill, turn

RUN = 1024  # columns at a time: what is kept of them stays in the first-level cache

transpose = squares.compiled()


def unpool(g, x, y, total, kernel, across, columns, part):
    """Each value of g at the first pixel of its window that is as large as that of y.

    Args:
        kernel: height and width of the windows, which lie side by side.
        across: how many of them lie beside each other.
        part: rows of windows, from the first to the last.
    """
    (high, wide), (first, last) = kernel, part
    one, zero = x.dtype.type(1), x.dtype.type(0)
    free = np.empty(RUN, x.dtype)  # 1 for a window whose pixel is not found yet
    for window in range(first * across, last * across):
        i, j = window // across, window % across
        for start in range(0, columns, RUN):
            n = min(RUN, columns - start)
            at = window * columns + start
            fill(free, 0, n, one)
            for a in range(high):
                for b in range(wide):
                    pixel = ((i * high + a) * across + j) * wide + b
                    place = pixel * columns + start
                    for q in range(n):
                        hit = free[U(q)] if x[U(place + q)] == y[U(at + q)] else zero
                        free[U(q)] -= hit
                        total[U(place + q)] = g[U(at + q)] * hit


def transposed(x, rows, columns, out):
    """A matrix of so many rows and columns as its transpose."""
    turn(transpose, x, 1, (rows, columns), 0, rows, out)
