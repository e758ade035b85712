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


def times(x, start, w, y, fullest):
    """y = x @ w, of as many columns of x from `start` on as w has rows.

    Returns:
        how many numbers of these are not zero, or -1 if it was not done: they are more than this
        share of the first WORD rows, or w has a NaN or an infinity, which times zero is a NaN.
    """
    rows, (inner, width) = len(x), w.shape
    wide = nonzeros.COUNT * lanes(x)  # columns at a time
    across = inner // WORD + 1  # words of a row
    words, part = np.empty(WORD * across, np.uint64), np.empty(WORD * wide, x.dtype)
    flat = w.reshape(-1)
    zero, sums = np.zeros(1, x.dtype), np.empty(wide, x.dtype)  # of zero times each number of w
    found = odd = 0
    for first in range(0, rows, WORD):
        last = min(rows, first + WORD)
        found += mark(x, (first, last), (start, inner), words)
        if first == 0 and found > fullest * (last * inner):
            return -1
        for j in range(0, width, wide):
            for k in range(0, inner, WORD):
                span = first, last, start, inner, k
                if wide == width:  # its rows follow each other
                    add_rows(x, span, words, flat, k * width, width, y, j, zero, sums)
                else:
                    for r in range(min(WORD, inner - k)):
                        copy(flat, (k + r) * width + j, part, r * wide, wide)
                    add_rows(x, span, words, part, 0, wide, y, j, zero, sums)
            if first == 0:
                for q in range(wide):
                    odd += sums[q] != 0
        if odd:
            return -1
    return found


@inlined
def add_rows(x, span, words, right, begin, apart, y, j, zero, sums):
    """Adds to some columns of rows of y what a word of each row of x gives.

    Args:
        span: the first row and the last, where the columns start, how many they are, and how many
            are before the word.
        right, begin, apart: where they find the rows of the right matrix.
        sums: with the first rows, they get zero times all of these, to find what is odd.
    """
    first, last, start, inner, k = span
    high, width = x.shape[1], y.shape[1]
    if first == 0:
        everyone = ~U(0) >> U(WORD - min(WORD, inner - k))
        add(zero, 0, 0, everyone, right, begin, apart, sums, 0, k == 0)
    across = inner // WORD + 1
    for i in range(first, last):
        bits = words[(i - first) * across + k // WORD]
        add(x, i * high + start + k, 1, bits, right, begin, apart, y, i * width + j, k == 0)


def turned_times(x, g, y, fullest):
    """y = x.T @ g, of all columns of x, likewise."""
    (rows, inner), width = x.shape, g.shape[1]
    wide, across = nonzeros.COUNT * lanes(x), inner // WORD + 1
    words, part = np.empty(WORD * across, np.uint64), np.empty(WORD * wide, x.dtype)
    flat, column = g.reshape(-1), np.empty(WORD, np.uint64)
    if not finite(flat, 0, g.size):
        return -1
    found = 0
    for first in range(0, rows, WORD):
        last = min(rows, first + WORD)
        words[:] = 0  # of rows that are not there
        found += mark(x, (first, last), (0, inner), words)
        if first == 0 and found > fullest * (last * inner):
            return -1
        for j in range(0, width, wide):
            for i in range(first, last):
                copy(flat, i * width + j, part, (i - first) * wide, wide)
            for k in range(0, inner, WORD):
                turn(words, k // WORD, across, column)
                for q in range(k, min(inner, k + WORD)):
                    bits, start = column[q - k], first * inner + q
                    add(x, start, inner, bits, part, 0, wide, y, q * width + j, first == 0)
    return found


@inlined
def mark(x, rows, columns, words):
    """The words of rows, of so many columns from one on, and how many numbers are not zero."""
    (first, last), (begin, inner), some, found = rows, columns, lanes(x), 0
    across, rest = inner // WORD + 1, inner % WORD
    for i in range(first, last):
        start, at = i * x.shape[1] + begin, (i - first) * across
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
            word |= U(x[i, begin + end + q] != 0) << U(q)
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
