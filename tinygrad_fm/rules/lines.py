"""What the loops of convolutions do with runs of numbers: parts of the loops that call them.

Places are unsigned, where they are computed: the compiler then sees that numbers follow each other,
as it need not ask whether a place counts from the end.
"""

import numpy as np

from tinygrad_fm.fast import inlined

U = np.uint64
STRIP = 16  # channels that are turned around at a time: a line or two of the cache


@inlined
def copy(x, a, y, b, n):
    """N numbers from a place in x to one in y."""
    for j in range(n):
        y[U(b + j)] = x[U(a + j)]


@inlined
def fill(y, b, n, value):
    """A number n times, from a place in y on."""
    for j in range(n):
        y[U(b + j)] = value


@inlined
def finite(x, a, n):
    """Whether none of n numbers is a NaN or an infinity."""
    odd = 0
    for j in range(n):
        v = x[U(a + j)]
        odd += v - v != 0
    return odd == 0


@inlined
def turn(w, places, counts, first, some, out):
    """Kernels (places, C, O) turned around, of some channels: (places, O, some).

    Args:
        counts: numbers of channels and kernels.
    """
    channels, kernels = counts
    for place in range(places):
        start, into = (places - 1 - place) * channels + first, place * kernels
        for left in range(0, kernels, STRIP):
            width = min(STRIP, kernels - left)
            for j in range(some):
                a, b = (start + j) * kernels + left, (into + left) * some + j
                for k in range(width):
                    out[U(b + k * some)] = w[U(a + k)]
