"""Tiles by the method of Toom and Cook as loops that Numba compiles: see `toom_cook`.

Arrays are flat, in the orders that are said there. Of the numbers that lie side by side in a pixel,
those of some images and channels, RUN are taken to the points at a time, or back.

To read and write at once as many as the processor can, the compiler must know that what is written
is not what is read next: hence APART, a constant.
"""

import numpy as np

from tinygrad_fm.fast import inlined
from tinygrad_fm.rules import gemm, squares
from tinygrad_fm.rules.lines import U, copy, fill, finite, turn

RUN = 128
APART = 32_848  # numbers from one point to the next; no power of two, which would share cache lines
READ, POINTS = 6, 36
ONE = 7  # the point 1 along both axes
BESIDE = 16  # numbers between the kernels at one point and at the next, for the same reason

multiply, transpose = gemm.compiled(), squares.compiled()


# ---- along one axis: n polynomials, whose coefficients or values are `step` apart ----------------


@inlined
def image_line(x, a, step, y, b, apart, n):
    """Six pixels to six points."""
    two, four, five = x.dtype.type(2), x.dtype.type(4), x.dtype.type(5)
    for j in range(n):
        x0, x1, x2 = x[U(a + j)], x[U(a + step + j)], x[U(a + 2 * step + j)]
        x3, x4, x5 = x[U(a + 3 * step + j)], x[U(a + 4 * step + j)], x[U(a + 5 * step + j)]
        even, odd = x4 - four * x2, x3 - four * x1
        even2, odd2 = x4 - x2, two * (x3 - x1)
        y[U(b + j)] = four * x0 - five * x2 + x4
        y[U(b + apart + j)] = even + odd
        y[U(b + 2 * apart + j)] = even - odd
        y[U(b + 3 * apart + j)] = even2 + odd2
        y[U(b + 4 * apart + j)] = even2 - odd2
        y[U(b + 5 * apart + j)] = four * x1 - five * x3 + x5


@inlined
def values_line(x, a, step, last, y, b, apart, n, by0, by1, by2):
    """Five coefficients, the highest of which is the `last`, to the values at the points."""
    two, four = x.dtype.type(2), x.dtype.type(4)
    for j in range(n):
        x0, x1, x2 = x[U(a + j)], x[U(a + step + j)], x[U(a + 2 * step + j)]
        x3, x4 = x[U(a + 3 * step + j)], x[U(a + 4 * step + j)]
        even, odd = x0 + x2 + x4, x1 + x3
        even2, odd2 = x0 + four * (x2 + four * x4), two * (x1 + four * x3)
        y[U(b + j)] = by0 * x0
        y[U(b + apart + j)] = by1 * (even + odd)
        y[U(b + 2 * apart + j)] = by1 * (even - odd)
        y[U(b + 3 * apart + j)] = by2 * (even2 + odd2)
        y[U(b + 4 * apart + j)] = by2 * (even2 - odd2)
        y[U(b + 5 * apart + j)] = x[U(a + last * step + j)]


@inlined
def sums_line(x, a, step, y, b, apart, last, n, by0, by1, by2):
    """The transpose of `values_line`: from values at the points to five coefficients."""
    two, four, eight = x.dtype.type(2), x.dtype.type(4), x.dtype.type(8)
    for j in range(n):
        x1, x2 = x[U(a + step + j)], x[U(a + 2 * step + j)]
        x3, x4 = x[U(a + 3 * step + j)], x[U(a + 4 * step + j)]
        even, odd = by1 * (x1 + x2), by1 * (x1 - x2)
        even2, odd2 = by2 * (x3 + x4), by2 * (x3 - x4)
        y[U(b + j)] = by0 * x[U(a + j)] + even + even2
        y[U(b + apart + j)] = odd + two * odd2
        y[U(b + 2 * apart + j)] = even + four * even2
        y[U(b + 3 * apart + j)] = odd + eight * odd2
        y[U(b + 4 * apart + j)] = even + four * (four * even2)
    for j in range(n):
        y[U(b + last * apart + j)] += x[U(a + 5 * step + j)]


# ---- along both: n numbers of one tile -----------------------------------------------------------


def lines(mid):
    """READ, of which the compiler does not know: it would write each line's loop out."""
    return len(mid) // (READ * RUN)


def image_tile(pixels, mid, out, at, n):
    """Six rows of six pixels to points."""
    for i in range(lines(mid)):
        image_line(pixels, i * READ * RUN, RUN, mid, i * READ * RUN, RUN, n)
    for i in range(lines(mid)):
        image_line(mid, i * RUN, READ * RUN, out, at + i * APART, READ * APART, n)


def values_tile(pixels, size, mid, out, at, n, by0, by1, by2):
    """A square of that size, the rest of 5 by 6 pixels being zeros, to points."""
    for i in range(size):
        row = i * READ * RUN
        values_line(pixels, row, RUN, size - 1, mid, row, RUN, n, by0, by1, by2)
    for i in range(lines(mid)):
        at_i = at + i * APART
        values_line(mid, i * RUN, READ * RUN, size - 1, out, at_i, READ * APART, n, by0, by1, by2)


def sums_tile(points, at, mid, pixels, size, n, by0, by1, by2):
    """From points to a square of that size, in rows of 6 pixels."""
    for i in range(lines(mid)):
        at_i = at + i * APART
        sums_line(points, at_i, READ * APART, mid, i * RUN, READ * RUN, size - 1, n, by0, by1, by2)
    for i in range(size):
        row = i * READ * RUN
        sums_line(mid, row, RUN, pixels, row, RUN, size - 1, n, by0, by1, by2)


def memory_for(like):
    """For n numbers of the pixels, or points, of one tile."""
    return np.zeros(POINTS * RUN, like.dtype)


def divisions(like):
    """By what the values of kernels are multiplied at 0, at 1 and -1, and at 2 and -2."""
    return like.dtype.type(1 / 4), like.dtype.type(-1 / 6), like.dtype.type(1 / 24)


# Of arrays of pixels (H, W, columns), `shape` is this, `corner` the row and column at which a tile
# begins, and `columns` the first one and how many. `memory` is what they are read into, in rows of
# READ pixels, and what is between the two axes.


def square(x, shape, corner, start, n, size, pixels):
    """A square of images, with zeros beyond them."""
    (high, wide, many), (top, left) = shape, corner
    for i in range(size):
        for j in range(size):
            row, column, place = top + i, left + j, (i * READ + j) * RUN
            if row >= 0 and row < high and column >= 0 and column < wide:
                copy(x, (row * wide + column) * many + start, pixels, place, n)
            else:
                fill(pixels, place, n, 0)


def image_to_points(x, shape, corner, columns, memory, out, at):
    """Numbers of a tile of images at the points."""
    (start, count), (pixels, mid) = columns, memory
    for done in range(0, count, RUN):
        n = min(RUN, count - done)
        square(x, shape, corner, start + done, n, READ, pixels)
        image_tile(pixels, mid, out, at + done, n)


def result_to_points(g, shape, corner, columns, size, memory, out, at):
    """The transpose of `points_to_result`; beyond the square there are zeros in the memory."""
    (start, count), (pixels, mid) = columns, memory
    one = g.dtype.type(1)
    for done in range(0, count, RUN):
        n = min(RUN, count - done)
        square(g, shape, corner, start + done, n, size, pixels)
        values_tile(pixels, size, mid, out, at + done, n, one, one, one)


def points_to_result(points, at, y, shape, corner, columns, size, memory):
    """Numbers of a tile of results, as far as they are within the image."""
    (high, wide, many), (top, left) = shape, corner
    (start, count), (pixels, mid) = columns, memory
    one = y.dtype.type(1)
    for done in range(0, count, RUN):
        n = min(RUN, count - done)
        sums_tile(points, at + done, mid, pixels, size, n, one, one, one)
        for i in range(min(size, high - top)):
            for j in range(min(size, wide - left)):
                place = ((top + i) * wide + left + j) * many + start + done
                copy(pixels, (i * READ + j) * RUN, y, place, n)


# ---- what is called ------------------------------------------------------------------------------
#
# Of a convolution, `shapes` are along height and width those of kernel, image, padding before it
# and result; `counts` are numbers of images, channels and kernels. Tiles are counted by images:
# those of all images at the first place, then at the next.


def turn_kernels(weight, size, counts, span, out):
    """Those of some channels, turned around: (K, K, C, O) to (K, K, O, last - first)."""
    turn(transpose, weight, size * size, counts, span[0], span[1] - span[0], out)


def kernels_to_points(weight, size, counts, span, points, out):
    """Those from the first kernel to the last: (K, K, C, O) to (36, C, last - first).

    Args:
        counts: channels and kernels.
        points: memory for the points of RUN numbers.

    Returns:
        whether all are finite.
    """
    (channels, kernels), (first, last) = counts, span
    by0, by1, by2 = divisions(weight)
    pixels, mid = memory_for(weight), memory_for(weight)
    some = last - first
    apart = channels * some + BESIDE
    runs, length = (channels, some) if some < kernels else (1, channels * kernels)
    right = True
    for run in range(runs):
        for done in range(0, length, RUN):
            n = min(RUN, length - done)
            for i in range(size):
                for j in range(size):
                    place = (i * size + j) * channels * kernels + run * kernels + first + done
                    copy(weight, place, pixels, (i * READ + j) * RUN, n)
            values_tile(pixels, size, mid, points, 0, n, by0, by1, by2)
            right &= finite(points, ONE * APART, n)
            for p in range(POINTS):
                copy(points, p * APART, out, p * apart + run * some + done, n)
    return right


def kernels_from_points(total, size, counts, span, points, out):
    """The transpose of `kernels_to_points`."""
    (channels, kernels), (first, last) = counts, span
    by0, by1, by2 = divisions(total)
    pixels, mid = memory_for(total), memory_for(total)
    some = last - first
    apart = channels * some + BESIDE
    runs, length = (channels, some) if some < kernels else (1, channels * kernels)
    for run in range(runs):
        for done in range(0, length, RUN):
            n = min(RUN, length - done)
            for p in range(POINTS):
                copy(total, p * apart + run * some + done, points, p * APART, n)
            sums_tile(points, 0, mid, pixels, size, n, by0, by1, by2)
            for i in range(size):
                for j in range(size):
                    place = (i * size + j) * channels * kernels + run * kernels + first + done
                    copy(pixels, (i * READ + j) * RUN, out, place, n)


def convolve(address, x, kernels, bias, y, shapes, counts, span, part, rows, at):
    """The results of some tiles, for the kernels from the first to the last.

    Args:
        kernels: at the points.
        bias: of all kernels; empty for none.
        span: first and last kernel.
        part: first and last tile.
        rows: of a matrix, as many as are multiplied at a time.
        at: memory for images and results at the points.

    Returns:
        whether the images are finite.
    """
    (images, channels, total), (first, last), (begin, end) = counts, span, part
    (kernel, _, _, result), (at_x, at_y) = shapes, at
    some, tile = last - first, READ + 1 - kernel[0]
    shape, across = (result[0], result[1], images * total), tiles_across(shapes)
    memory = memory_for(x), memory_for(x)
    zero = x.dtype.type(0)
    for start in range(begin, end, rows):
        stop = min(start + rows, end)
        images_to_points(x, shapes, counts, start, stop, memory, at_x)
        if not tiles_finite(at_x, (stop - start) * channels):
            return False
        for p in range(POINTS):
            left = at_x, p * APART, channels
            right = kernels, p * (channels * some + BESIDE), some
            into = at_y, p * APART, some
            multiply(address, 0, (stop - start, some, channels), left, right, zero, into)
        if len(bias):
            for row in range(stop - start):
                for k in range(some):
                    at_y[U(ONE * APART + row * some + k)] += bias[U(first + k)]
        row = start
        while row < stop:
            i, j, image, several = where(row, stop, images, across)
            corner = tile * i, tile * j
            # all kernels of several images lie side by side, but not some of them
            times = 1 if some == total else several
            for k in range(times):
                columns = (image + k) * total + first, several // times * some
                place = (row - start + k) * some
                points_to_result(at_y, place, y, shape, corner, columns, tile, memory)
            row += several
    return True


def weight_gradient(address, x, g, total, shapes, counts, span, part, rows, at):
    """The gradient at the points, (36, C, last - first), from some tiles; see `convolve`."""
    (images, channels, kernels), (first, last), (begin, end) = counts, span, part
    (kernel, _, _, result), (at_x, at_y) = shapes, at
    some, tile = last - first, READ + 1 - kernel[0]
    shape, across = (result[0], result[1], images * kernels), tiles_across(shapes)
    memory, given = (memory_for(x), memory_for(x)), (memory_for(x), memory_for(x))
    kept = x.dtype.type(0)
    for start in range(begin, end, rows):
        stop = min(start + rows, end)
        images_to_points(x, shapes, counts, start, stop, memory, at_x)
        row = start
        while row < stop:
            i, j, image, several = where(row, stop, images, across)
            corner = tile * i, tile * j
            times = 1 if some == kernels else several
            for k in range(times):
                columns = (image + k) * kernels + first, several // times * some
                place = (row - start + k) * some
                result_to_points(g, shape, corner, columns, tile, given, at_y, place)
            row += several
        if not tiles_finite(at_x, (stop - start) * channels):
            return False
        if not finite(at_y, ONE * APART, (stop - start) * some):
            return False
        for p in range(POINTS):
            left, right = (at_x, p * APART, channels), (at_y, p * APART, some)
            into = total, p * (channels * some + BESIDE), some
            multiply(address, 1, (channels, some, stop - start), left, right, kept, into)
        kept = x.dtype.type(1)
    return True


def images_to_points(x, shapes, counts, begin, end, memory, at_x):
    """The images' numbers in some rows; see `convolve`."""
    kernel, image_shape, before, _ = shapes
    images, channels = counts[0], counts[1]
    tile, shape = READ + 1 - kernel[0], (image_shape[0], image_shape[1], images * channels)
    row = begin
    while row < end:
        i, j, image, several = where(row, end, images, tiles_across(shapes))
        corner = tile * i - before[0], tile * j - before[1]
        columns = image * channels, several * channels
        image_to_points(x, shape, corner, columns, memory, at_x, (row - begin) * channels)
        row += several


def tiles_across(shapes):
    """How many tiles there are beside each other."""
    tile = READ + 1 - shapes[0][0]
    return (shapes[3][1] + tile - 1) // tile


def where(row, stop, images, across):
    """The tile of a row and its first image, and how many rows before `stop` have that tile."""
    tile = row // images
    image = row - tile * images
    return tile // across, tile % across, image, min(images - image, stop - row)


def tiles_finite(points, n):
    """Whether the pixels were finite: the points 0 and infinity of both axes read all of them."""
    return (
        finite(points, 0, n)
        and finite(points, (READ - 1) * APART, n)
        and finite(points, (READ - 1) * READ * APART, n)
        and finite(points, (POINTS - 1) * APART, n)
    )
