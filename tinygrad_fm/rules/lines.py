"""What the loops of convolutions do with runs of numbers: parts of the loops that call them.

Places are unsigned, where they are computed: the compiler then sees that numbers follow each other,
as it need not ask whether a place counts from the end.
"""

import numpy as np

from tinygrad_fm.fast import inlined
from tinygrad_fm.rules.squares import SIDE

U = np.uint64
STRIP = 2 * SIDE  # kernels that are turned around at a time: a line or two of the cache


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
def turn(transpose, w, places, counts, first, some, out):
    """Kernels (places, C, O) turned around, of some channels: (places, O, some).

    Args:
        transpose: that of squares.
        counts: numbers of channels and kernels.
    """
    channels, kernels = counts
    high, wide = some - some % SIDE, kernels - kernels % SIDE
    for place in range(places):
        start, into = (places - 1 - place) * channels + first, place * kernels
        for left in range(0, wide, STRIP):
            for top in range(0, high, SIDE):
                for k in range(left, min(left + STRIP, wide), SIDE):
                    a, b = (start + top) * kernels + k, (into + k) * some + top
                    transpose(w, a, kernels, out, b, some)
        for j in range(some):
            for k in range(wide if j < high else 0, kernels):
                out[U((into + k) * some + j)] = w[U((start + j) * kernels + k)]
