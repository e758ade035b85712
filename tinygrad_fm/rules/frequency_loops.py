"""Convolutions at frequencies as loops that Numba compiles: see `fourier`.

Images, kernels, or a gradient, arrays of pixels (H, W, columns), go to rows: a frequency of the
height has two, real and imaginary part, or one, if it is real. Rows go to numbers at frequencies f
of the width. With C and S the sums of their pixels times cosines, and times sines, r and i,

    at f: real part Cr + Si, imaginary Ci - Sr,  at -f: Cr - Si, Ci + Sr.

Then matrices are multiplied, and results go back to rows and to pixels. All is done for one
frequency of the height, and for as many kernels, as stay in the cache. Arrays are flat.
"""

import numpy as np

from tinygrad_fm.fast import inlined
from tinygrad_fm.rules import gemm, squares
from tinygrad_fm.rules.lines import U, finite, turn

RUN = 128  # columns at a time: their sums, and what goes back, stay in the first-level cache
BESIDE = 16  # between one number's columns and the next's: powers of two would share cache lines
COLUMNS = (
    2048  # of a product along the height: these have kernels for small matrices (see products)
)

multiply, transpose = gemm.compiled(), squares.compiled()


# ---- lines of n columns --------------------------------------------------------------------------
#
# Processors read and write many columns at once where the compiler sees that lines do not overlap:
# so a loop writes one line, or lines that are a constant, RUN, apart.


@inlined
def plus(x, a, b, y, c, n):
    """The sum of two lines."""
    for j in range(n):
        y[U(c + j)] = x[U(a + j)] + x[U(b + j)]


@inlined
def minus(x, a, b, y, c, n):
    """Their difference."""
    for j in range(n):
        y[U(c + j)] = x[U(a + j)] - x[U(b + j)]


@inlined
def to_one(x, a, y, b, apart, n):
    """The three numbers of f, from cosines and sines of both rows."""
    cos, cos_i, sin, sin_i = a, a + RUN, a + 2 * RUN, a + 3 * RUN
    plus(x, cos, sin_i, y, b, n)
    minus(x, cos_i, sin, y, b + apart, n)
    for j in range(n):
        real, imaginary = x[U(cos + j)] + x[U(sin_i + j)], x[U(cos_i + j)] - x[U(sin + j)]
        y[U(b + 2 * apart + j)] = real + imaginary


@inlined
def to_other(x, a, y, b, apart, n):
    """Those of -f."""
    cos, cos_i, sin, sin_i = a, a + RUN, a + 2 * RUN, a + 3 * RUN
    minus(x, cos, sin_i, y, b, n)
    plus(x, cos_i, sin, y, b + apart, n)
    for j in range(n):
        real, imaginary = x[U(cos + j)] - x[U(sin_i + j)], x[U(cos_i + j)] + x[U(sin + j)]
        y[U(b + 2 * apart + j)] = real + imaginary


@inlined
def both_back(y, a, other, apart, x, b, n):
    """What products at f and at -f make: by cosines, and by minus the sines, of both rows."""
    for j in range(n):
        m1, m2, m3 = y[U(a + j)], y[U(a + apart + j)], y[U(a + 2 * apart + j)]
        k1, k2, k3 = y[U(other + j)], y[U(other + apart + j)], y[U(other + 2 * apart + j)]
        real, imaginary = m1 - m2, m3 - m1 - m2
        real2, imaginary2 = k1 - k2, k3 - k1 - k2
        x[U(b + j)] = real + real2
        x[U(b + RUN + j)] = imaginary + imaginary2
        x[U(b + 2 * RUN + j)] = imaginary - imaginary2
        x[U(b + 3 * RUN + j)] = real2 - real


@inlined
def one_back(y, a, apart, x, b, n, times):
    """The same of f alone, so many times."""
    for j in range(n):
        m1, m2, m3 = y[U(a + j)], y[U(a + apart + j)], y[U(a + 2 * apart + j)]
        real, imaginary = times * (m1 - m2), times * (m3 - m1 - m2)
        x[U(b + j)] = real
        x[U(b + RUN + j)] = imaginary
        x[U(b + 2 * RUN + j)] = imaginary
        x[U(b + 3 * RUN + j)] = -real


@inlined
def real_back(y, a, x, b, n):
    """The same where a product is real."""
    for j in range(n):
        x[U(b + j)] = y[U(a + j)]
        x[U(b + 2 * RUN + j)] = 0


# ---- frequencies: of a size, height and width, the unit-th one of the height ---------------------


def is_alone(frequency, size):
    """Whether it is its own conjugate: a number there is real if that holds along both axes."""
    return 2 * frequency % size == 0


def first_row(unit):
    """Of all rows, the first one of a frequency of the height."""
    return max(0, 2 * unit - 1)


def how_many(size, unit):
    """Numbers at a frequency of the height."""
    return 3 * (size[1] // 2 + 1) if is_alone(unit, size[0]) else 3 * size[1]


def is_needed(number, size, unit):
    """Whether it is not the second or third one of a frequency that is real."""
    real = is_alone(unit, size[0]) and is_alone(number // 3, size[1])
    return not real or number % 3 == 0


# ---- from pixels to numbers, and back ------------------------------------------------------------


def to_rows(address, matrix, x, shape, start, columns, rows, into):
    """The rows (rows, W, columns) of some columns of pixels.

    Args:
        matrix: (rows, H).
        shape: rows, H, W, and numbers of a pixel.
    """
    count, high, wide, many = shape
    zero = x.dtype.type(0)
    for w in range(wide):
        for first in range(0, columns, COLUMNS):
            mnk = count, min(COLUMNS, columns - first), high
            right = x, start + first + w * many, wide * many
            result = rows, into + first + w * columns, wide * columns
            multiply(address, 0, mnk, (matrix, 0, high), right, zero, result)


def to_numbers(address, table, rows, place, shape, size, unit, out):
    """The numbers of one frequency of the height, (numbers, columns + BESIDE).

    Args:
        table: cosine and sine of each pixel, for each frequency of the width.
        place: of its first row.
        shape: W, and columns.
    """
    wide, columns = shape
    half = size[1] // 2 + 1
    sums = np.zeros(4 * half * RUN, rows.dtype)
    parts = 1 if is_alone(unit, size[0]) else 2
    zero = rows.dtype.type(0)
    apart = columns + BESIDE
    for done in range(0, columns, RUN):
        n = min(RUN, columns - done)
        for part in range(parts):
            right = rows, place + part * wide * columns + done, columns
            result = sums, part * RUN, 2 * RUN
            multiply(address, 0, (2 * half, n, wide), (table, 0, wide), right, zero, result)
        for f in range(half):
            to_one(sums, 4 * f * RUN, out, 3 * f * apart + done, apart, n)
            if parts == 2 and not is_alone(f, size[1]):
                to_other(sums, 4 * f * RUN, out, 3 * (size[1] - f) * apart + done, apart, n)


def from_numbers(address, table, numbers, size, unit, shape, rows, place, many):
    """Back to the rows (rows, W, many) of one frequency of the height.

    Args:
        table: cosine and -sine of each frequency, for each pixel.
        shape: W, and columns.
        place: of these columns in the first of its rows.
    """
    wide, columns = shape
    half = size[1] // 2 + 1
    mid = np.zeros(4 * half * RUN, numbers.dtype)
    once, twice = numbers.dtype.type(1), numbers.dtype.type(2)
    real = is_alone(unit, size[0])
    zero = numbers.dtype.type(0)
    apart = columns + BESIDE
    for done in range(0, columns, RUN):
        n = min(RUN, columns - done)
        for f in range(half):
            a, b = 3 * f * apart + done, 4 * f * RUN
            alone = is_alone(f, size[1])
            if real and alone:
                real_back(numbers, a, mid, b, n)
            elif real or alone:
                one_back(numbers, a, apart, mid, b, n, twice if real else once)
            else:
                both_back(numbers, a, 3 * (size[1] - f) * apart + done, apart, mid, b, n)
        for part in range(1 if real else 2):
            left, right = (table, 0, 2 * half), (mid, part * RUN, 2 * RUN)
            result = rows, place + part * wide * many + done, many
            multiply(address, 0, (wide, n, 2 * half), left, right, zero, result)


def from_rows(address, matrix, shape, given, made, columns, kept):
    """Pixels (H, W, ...), of which some columns are made of rows (rows, W, ...).

    Args:
        matrix: (H, rows).
        shape: H, rows, W.
        given, made: rows and pixels, where the first column is, and how many numbers of each pixel.
        kept: what the pixels were is multiplied by this.
    """
    (high, count, wide), (rows, start, many), (out, into, across) = shape, given, made
    for w in range(wide):
        for first in range(0, columns, COLUMNS):
            mnk = high, min(COLUMNS, columns - first), count
            right = rows, start + first + w * many, wide * many
            result = out, into + first + w * across, wide * across
            multiply(address, 0, mnk, (matrix, 0, count), right, kept, result)


# ---- what is called ------------------------------------------------------------------------------
#
# `shapes` are of the transform, an image, a kernel and a result; `counts` are numbers of images,
# channels and kernels. `tables` are pairs: for the height the matrix, and for the width the table.


def some_kernels(w, places, counts, first, some, out):
    """Those from a first one on, (places, C, some)."""
    _, channels, kernels = counts
    for row in range(places * channels):
        a, b = row * kernels + first, row * some
        for j in range(some):
            out[U(b + j)] = w[U(a + j)]


def kernels_to_rows(address, matrix, w, shapes, counts, span, turned, some, near, rows):
    """The kernels from the first to the last, some at a time, one part after the other."""
    (size, _, kernel, _), (_, channels, kernels), (first, last) = shapes, counts, span
    for start in range(first, last, some):
        count = min(some, last - start)
        if turned:
            turn(transpose, w, kernel[0] * kernel[1], (kernels, channels), start, count, near)
        else:
            some_kernels(w, kernel[0] * kernel[1], counts, start, count, near)
        shape = size[0], kernel[0], kernel[1], channels * count
        place = (start - first) * size[0] * kernel[1] * channels
        to_rows(address, matrix, near, shape, 0, channels * count, rows, place)


def results_from_rows(address, matrix, rows, y, shapes, counts, part, some):
    """The results of `convolve`, of as many kernels at a time."""
    (size, _, _, result), (images, _, kernels) = shapes, counts
    first, last, begin, end = part
    shape, many, zero = (result[0], size[0], result[1]), end - begin, y.dtype.type(0)
    for start in range(first, last, some):
        count = min(some, last - start)
        # all kernels of several images lie side by side, but not some of them
        runs, length = (1, many * count) if count == kernels else (many, count)
        for run in range(runs):
            place = (start - first) * size[0] * result[1] * many + run * count
            made = y, (begin + run) * kernels + start, images * kernels
            from_rows(address, matrix, shape, (rows, place, many * count), made, length, zero)


def products(address, turned, size, unit, mnk, most, left, right, out):
    """For each number a product of matrices, or of the left one's transpose, into `out`.

    Args:
        mnk: as for `multiply`.
        most: rows that are multiplied at a time.
        left: of all numbers, where the first one's matrix is, how long its rows are, and the
            columns of a number; `right` likewise, whose rows are whole.
    """
    (m, n, k), (a, first, width, columns), (b, columns_b) = mnk, left, right
    for number in range(how_many(size, unit)):
        if is_needed(number, size, unit):
            place = first + number * (columns + BESIDE)
            other = b, number * (columns_b + BESIDE), n
            for row in range(0, m, most):
                part = min(most, m - row), n, k
                start = place + (row if turned else row * width)
                result = out, number * (m * n + BESIDE) + row * n, n
                multiply(address, turned, part, (a, start, width), other, out.dtype.type(0), result)


def convolve(
    address, x, w, bias, y, shapes, counts, part, turned, at_once, of_x, of_w, of_y, memory
):
    """The results of some images for some kernels.

    Args:
        bias: of all kernels; empty for none.
        part: first and last kernel, first and last image.
        turned: 1 if kernels are turned around, channels as kernels.
        at_once: how many kernels, and how many rows of a matrix, are multiplied at a time.
        memory: for some kernels; for the rows of images, kernels and results; for the numbers of
            images, some kernels and results of these. See compiled_fourier._lengths.

    Returns:
        whether images and kernels are finite.
    """
    (size, image, kernel, result), (images, channels, _) = shapes, counts
    (first, last, begin, end), (some, most) = part, at_once
    near, rows_x, rows_w, rows_y, at_x, at_w, at_y = memory
    many, columns = end - begin, (end - begin) * channels
    shape = size[0], image[0], image[1], images * channels
    to_rows(address, of_x[0], x, shape, begin * channels, columns, rows_x, 0)
    kernels_to_rows(address, of_w[0], w, shapes, counts, (first, last), turned, some, near, rows_w)
    for unit in range(size[0] // 2 + 1):
        row = first_row(unit)
        place = row * image[1] * columns
        to_numbers(address, of_x[1], rows_x, place, (image[1], columns), size, unit, at_x)
        if unit == 0 and not finite(at_x, 0, columns):
            return False
        for start in range(first, last, some):
            count = min(some, last - start)
            width, before = channels * count, (start - first) * size[0]
            place = (before * channels + row * width) * kernel[1]
            to_numbers(address, of_w[1], rows_w, place, (kernel[1], width), size, unit, at_w)
            if unit == 0 and not finite(at_w, 0, width):
                return False
            mnk, left = (many, count, channels), (at_x, 0, channels, columns)
            products(address, 0, size, unit, mnk, most, left, (at_w, width), at_y)
            if unit == 0 and len(bias):
                for i in range(many):
                    for k in range(count):
                        at_y[U(i * count + k)] += size[0] * size[1] * bias[U(start + k)]
            shape_y = result[1], many * count
            place = (before * many + row * many * count) * result[1]
            from_numbers(address, of_y[1], at_y, size, unit, shape_y, rows_y, place, many * count)
    results_from_rows(address, of_y[0], rows_y, y, shapes, counts, part, some)
    return True


def weight_gradient(
    address, x, g, shapes, counts, part, share, some, of_x, of_g, of_w, rows_w, memory
):
    """The rows (rows, KW, C * O) of the gradient of kernels at some frequencies of the height.

    Args:
        part: first and last image.
        share: the frequencies, and of each the first and last channel, one after the other.
        some: channels that are multiplied at a time.
        of_x, of_g: the matrix is that of these frequencies alone.
        memory: for the rows of images and of their gradient at these frequencies, for the numbers
            of both, and of some channels. See compiled_fourier._lengths_back.

    Returns:
        whether images and gradient are finite.
    """
    (size, image, kernel, result), (images, channels, kernels) = shapes, counts
    rows_x, rows_g, at_x, at_g, at_w = memory
    begin, end = part
    columns, columns_g = (end - begin) * channels, (end - begin) * kernels
    count = len(of_x[0]) // image[0]
    shape = count, image[0], image[1], images * channels
    to_rows(address, of_x[0], x, shape, begin * channels, columns, rows_x, 0)
    shape = count, result[0], result[1], images * kernels
    to_rows(address, of_g[0], g, shape, begin * kernels, columns_g, rows_g, 0)
    row = 0
    for i in range(0, len(share), 3):
        unit, first, last = share[i], share[i + 1], share[i + 2]
        place, shape_x = row * image[1] * columns, (image[1], columns)
        to_numbers(address, of_x[1], rows_x, place, shape_x, size, unit, at_x)
        place, shape_g = row * result[1] * columns_g, (result[1], columns_g)
        to_numbers(address, of_g[1], rows_g, place, shape_g, size, unit, at_g)
        if unit == 0 and not (finite(at_x, 0, columns) and finite(at_g, 0, columns_g)):
            return False
        row += 1 if is_alone(unit, size[0]) else 2
        for start in range(first, last, some):
            those, many = min(some, last - start), channels * kernels
            mnk, left = (those, kernels, end - begin), (at_x, start, channels, columns)
            products(address, 1, size, unit, mnk, those, left, (at_g, columns_g), at_w)
            shape_w = kernel[1], those * kernels
            place = first_row(unit) * kernel[1] * many + start * kernels
            from_numbers(address, of_w[1], at_w, size, unit, shape_w, rows_w, place, many)
    return True


def kernels_from_rows(address, matrix, rows, out, shapes, columns, part, kept):
    """From the rows of `weight_gradient`, some of so many columns of (KH, KW, columns)."""
    (size, _, kernel, _), (begin, end) = shapes, part
    shape, given, made = (
        (kernel[0], size[0], kernel[1]),
        (rows, begin, columns),
        (out, begin, columns),
    )
    from_rows(address, matrix, shape, given, made, end - begin, kept)
