"""Convolutions at frequencies as loops that Numba compiles: see `fourier`.

Images, kernels, or a gradient, arrays of pixels (H, W, columns), go to rows, of which a frequency
of the height has two, real and imaginary part, or one, if it is real. Of these, RUN columns at a
time go to numbers at the frequencies of the width: a product with cosines and sines makes what f
and -f have in common. Then matrices are multiplied, and results go back to rows and to pixels. All
is done for one frequency of the height, and for as many kernels, as stay in the cache. Arrays are
flat.
"""

import numpy as np

from tinygrad_fm.fast import inlined
from tinygrad_fm.rules import gemm

U = np.uint64
RUN = 128
BESIDE = 16  # between one number's columns and the next's: powers of two would share cache lines
COLUMNS = 2048  # that are multiplied at a time
LINE = 16  # numbers in a line of the cache

multiply = gemm.compiled()


# ---- lines of n columns: what one loop writes is one line, or they are a constant apart ----------


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


def finite(x, n):
    """Whether none of the first n numbers is a NaN or an infinity."""
    odd = 0
    for j in range(n):
        v = x[U(j)]
        odd += v - v != 0
    return odd == 0


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


def from_numbers(address, table, numbers, size, unit, shape, rows, into, many):
    """Back to the rows (rows, W, many) of one frequency of the height.

    Args:
        table: cosine and -sine of each frequency, for each pixel.
        shape: W, and columns.
        into: where these columns are in the first of all rows.
    """
    wide, columns = shape
    half = size[1] // 2 + 1
    mid = np.zeros(4 * half * RUN, numbers.dtype)
    once, twice = numbers.dtype.type(1), numbers.dtype.type(2)
    real = is_alone(unit, size[0])
    zero = numbers.dtype.type(0)
    into += first_row(unit) * wide * many
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
            right, result = (
                (mid, part * RUN, 2 * RUN),
                (rows, into + part * wide * many + done, many),
            )
            left = table, 0, 2 * half
            multiply(address, 0, (wide, n, 2 * half), left, right, zero, result)


def from_rows(address, matrix, shape, rows, start, many, out, into, across, columns, kept):
    """Pixels (H, W, across), of which some columns are made of rows (rows, W, many).

    Args:
        matrix: (H, rows).
        shape: H, rows, W.
        start, into: where the first column is, in the rows and in the pixels.
        kept: what the pixels were is multiplied by this.
    """
    high, count, wide = shape
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


def some_turned(w, places, counts, first, some, out):
    """The same of kernels (places, O, C), turned around: C is to be read, O to be written along."""
    _, channels, kernels = counts
    for place in range(places):
        start, into = (places - 1 - place) * kernels + first, place * channels
        for left in range(0, channels, LINE):
            width = min(LINE, channels - left)
            for j in range(some):
                a, b = (start + j) * channels + left, (into + left) * some + j
                for c in range(width):
                    out[U(b + c * some)] = w[U(a + c)]


def products(address, size, unit, at_x, at_w, at_y, mnk, most):
    """The numbers of results: for each a product (images, channels) by (channels, kernels).

    Args:
        most: rows that are multiplied at a time.
    """
    m, n, k = mnk
    for number in range(how_many(size, unit)):
        if is_needed(number, size, unit):
            a, c = number * (m * k + BESIDE), number * (m * n + BESIDE)
            right = at_w, number * (k * n + BESIDE), n
            for row in range(0, m, most):
                part = min(most, m - row), n, k
                left, result = (at_x, a + row * k, k), (at_y, c + row * n, n)
                multiply(address, 0, part, left, right, at_x.dtype.type(0), result)


def convolve(
    address, x, w, bias, y, shapes, counts, part, turned, at_once, of_x, of_w, of_y, memory
):
    """The results of some images for some kernels.

    Args:
        bias: of all kernels; empty for none.
        part: first and last kernel, first and last image.
        turned: 1 if kernels are turned around, channels as kernels.
        at_once: how many kernels, and how many rows of a matrix, are multiplied at a time.

    Returns:
        whether images and kernels are finite.
    """
    (size, image, kernel, result), (images, channels, kernels) = shapes, counts
    first, last, begin, end = part
    near, rows_x, rows_w, rows_y, at_x, at_w, at_y = memory
    many, some = end - begin, at_once[0]
    columns, of_kernel = many * channels, size[0] * kernel[1] * channels
    of_result = size[0] * result[1] * many
    shape = size[0], image[0], image[1], images * channels
    to_rows(address, of_x[0], x, shape, begin * channels, columns, rows_x, 0)
    for start in range(first, last, some):
        count, into = min(some, last - start), (start - first) * of_kernel
        if turned:
            some_turned(w, kernel[0] * kernel[1], counts, start, count, near)
        else:
            some_kernels(w, kernel[0] * kernel[1], counts, start, count, near)
        shape = size[0], kernel[0], kernel[1], channels * count
        to_rows(address, of_w[0], near, shape, 0, channels * count, rows_w, into)
    for unit in range(size[0] // 2 + 1):
        row = first_row(unit)
        place = row * image[1] * columns
        to_numbers(address, of_x[1], rows_x, place, (image[1], columns), size, unit, at_x)
        if unit == 0 and not finite(at_x, columns):
            return False
        for start in range(first, last, some):
            count = min(some, last - start)
            shape_w = kernel[1], channels * count
            place = (start - first) * of_kernel + row * kernel[1] * channels * count
            to_numbers(address, of_w[1], rows_w, place, shape_w, size, unit, at_w)
            if unit == 0 and not finite(at_w, channels * count):
                return False
            mnk = many, count, channels
            products(address, size, unit, at_x, at_w, at_y, mnk, at_once[1])
            if unit == 0 and len(bias):
                for i in range(many):
                    for k in range(count):
                        at_y[U(i * count + k)] += size[0] * size[1] * bias[U(start + k)]
            shape_y, into = (result[1], many * count), (start - first) * of_result
            from_numbers(address, of_y[1], at_y, size, unit, shape_y, rows_y, into, many * count)
    tall, across, zero = (result[0], size[0], result[1]), images * kernels, x.dtype.type(0)
    for start in range(first, last, some):
        count = min(some, last - start)
        # all kernels of several images lie side by side, but not some of them
        runs, length = (1, many * count) if count == kernels else (many, count)
        for run in range(runs):
            place, into = (start - first) * of_result + run * count, (begin + run) * kernels + start
            from_rows(
                *(address, of_y[0], tall, rows_y, place, many * count),
                *(y, into, across, length, zero),
            )
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

    Returns:
        whether images and gradient are finite.
    """
    (size, image, kernel, result), (images, channels, kernels) = shapes, counts
    rows_x, rows_g, at_x, at_g, at_w = memory
    begin, end = part
    columns, columns_g = (end - begin) * channels, (end - begin) * kernels
    zero = x.dtype.type(0)
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
        place, shape_x = row * result[1] * columns_g, (result[1], columns_g)
        to_numbers(address, of_g[1], rows_g, place, shape_x, size, unit, at_g)
        if unit == 0 and not (finite(at_x, columns) and finite(at_g, columns_g)):
            return False
        row += 1 if is_alone(unit, size[0]) else 2
        for start in range(first, last, some):
            count = min(some, last - start)
            mnk = count, kernels, end - begin
            for number in range(how_many(size, unit)):
                if is_needed(number, size, unit):
                    left = at_x, number * (columns + BESIDE) + start, channels
                    right = at_g, number * (columns_g + BESIDE), kernels
                    into = at_w, number * (count * kernels + BESIDE), kernels
                    multiply(address, 1, mnk, left, right, zero, into)
            shape_w, many = (kernel[1], count * kernels), channels * kernels
            from_numbers(address, of_w[1], at_w, size, unit, shape_w, rows_w, start * kernels, many)
    return True


def kernels_from_rows(address, matrix, rows, out, shapes, columns, part, kept):
    """From the rows of `weight_gradient`, some of so many columns of (KH, KW, columns)."""
    size, _, kernel, _ = shapes
    shape, (begin, end) = (kernel[0], size[0], kernel[1]), part
    from_rows(address, matrix, shape, rows, begin, columns, out, begin, columns, end - begin, kept)
