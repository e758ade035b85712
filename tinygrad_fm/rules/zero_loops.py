"""Products of a matrix with many zeros as loops that Numba compiles.

The sums are those of NumPy's library, in its order, without what is multiplied by zero. Which
numbers are not zero is told by words of bits, one for each WORD numbers of a row.
"""

import numpy as np

from tinygrad_fm.fast import inlined
from tinygrad_fm.rules import nonzeros
from tinygrad_fm.rules.lines import U, copy, finite

WORD = 64  # also rows that are multiplied by the same part of the right matrix, one after the other

_skip = nonzeros.compiled()
lanes, which, count, add = _skip.lanes, _skip.which, _skip.count, _skip.add


def times(x, w, y, fullest):
    """y = x @ w; whether it was done.

    It is not if more than this share of the numbers in the first rows of x are not zero, or if w
    has a NaN or an infinity, which times zero is a NaN.
    """
    (rows, inner), width = x.shape, w.shape[1]
    across, wide = inner // WORD + 1, nonzeros.COUNT * lanes(x)
    words, part = np.empty(WORD * across, np.uint64), np.empty(WORD * wide, x.dtype)
    zero, sums, w, odd = np.zeros(1, x.dtype), np.empty(wide, x.dtype), w.reshape(-1), 0
    for first in range(0, rows, WORD):
        last = min(rows, first + WORD)
        found = mark(x, first, last, words)
        if first == 0 and found > fullest * (last * inner):
            return False
        for j in range(0, width, wide):
            for k in range(0, inner, WORD):
                some = min(WORD, inner - k)
                for r in range(some):
                    copy(w, (k + r) * width + j, part, r * wide, wide)
                if first == 0:  # all that is there, times zero
                    add(zero, 0, 0, ~U(0) >> U(WORD - some), part, 0, wide, sums, 0, k == 0)
                for i in range(first, last):
                    bits = words[(i - first) * across + k // WORD]
                    add(x, i * inner + k, 1, bits, part, 0, wide, y, i * width + j, k == 0)
            if first == 0:
                for q in range(wide):
                    odd += sums[q] != 0
        if odd:
            return False
    return True


def turned_times(x, g, y, fullest):
    """y = x.T @ g, likewise."""
    (rows, inner), width = x.shape, g.shape[1]
    across, wide = inner // WORD + 1, nonzeros.COUNT * lanes(x)
    words, part = np.empty(WORD * across, np.uint64), np.empty(WORD * wide, x.dtype)
    g, column = g.reshape(-1), np.empty(WORD, np.uint64)
    if not finite(g, 0, g.size):
        return False
    for first in range(0, rows, WORD):
        last = min(rows, first + WORD)
        words[:] = 0  # of rows that are not there
        found = mark(x, first, last, words)
        if first == 0 and found > fullest * (last * inner):
            return False
        for j in range(0, width, wide):
            for i in range(first, last):
                copy(g, i * width + j, part, (i - first) * wide, wide)
            for k in range(0, inner, WORD):
                turn(words, k // WORD, across, column)
                for q in range(k, min(inner, k + WORD)):
                    bits, start = column[q - k], first * inner + q
                    add(x, start, inner, bits, part, 0, wide, y, q * width + j, first == 0)
    return True


@inlined
def mark(x, first, last, words):
    """The words of rows, and how many numbers are not zero."""
    inner, some, found = x.shape[1], lanes(x), 0
    across, rest = inner // WORD + 1, inner % WORD
    for i in range(first, last):
        start, at = i * inner, (i - first) * across
        for j in range(0, inner - rest, WORD):
            word = U(0)
            for q in range(0, WORD, some):
                word |= which(x, start + j + q) << U(q)
            words[at + j // WORD] = word
            found += count(word)
        word, end = U(0), inner - rest
        for q in range(0, rest - some + 1, some):
            word |= which(x, start + end + q) << U(q)
        for q in range(rest - rest % some, rest):
            word |= U(x[i, end + q] != 0) << U(q)
        words[at + across - 1] = word
        found += count(word)
    return found


@inlined
def turn(words, k, across, column):
    """A column of words as that of the transposed matrix of bits."""
    for i in range(WORD):
        column[i] = words[k + i * across]
    far, low = U(WORD // 2), (U(1) << U(WORD // 2)) - U(1)
    while far:  # of squares of 2 * far bits the upper right and the lower left one change places
        for i in range(WORD):
            if not U(i) & far:
                swap = ((column[i] >> far) ^ column[U(i) + far]) & low
                column[U(i) + far] ^= swap
                column[i] ^= swap << far
        far >>= U(1)
        low ^= low << far
