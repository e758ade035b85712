"""Windows of images and their products as loops that Numba compiles: see `columns`.

Arrays are flat, in the orders that are said there. Windows are counted by `rows`: of all images at
the first place of the result, then at the next. Of their places `several` are read at a time, so
that what is multiplied is in the cache. Of few channels the windows are columns, in which images
lie side by side.
"""

import numpy as np

from tinygrad_fm.fast import inlined
from tinygrad_fm.rules import gemm

U = np.uint64
multiply = gemm.compiled()
FEW_CHANNELS = 8


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


def rows_of(x, sizes, begin, end, first, last, out):
    """Some places of some windows: (rows, places * C).

    Args:
        sizes: rows and columns of the kernel; number of images, channels, kernels; rows and columns
            of an image; padding above and beside; rows and columns of a result; then stride and
            dilation along both.
    """
    across, images, channels = sizes[1], sizes[2], sizes[3]
    high, wide, above, beside, out_wide = sizes[5], sizes[6], sizes[7], sizes[8], sizes[10]
    width = (last - first) * channels
    row = begin
    while row < end:
        pixel = row // images
        image = row - pixel * images
        n = min(images - image, end - row)
        i, j = pixel // out_wide, pixel % out_wide
        for place in range(first, last):
            k, m = place // across, place % across
            up, left = i * sizes[11] + k * sizes[13] - above, j * sizes[12] + m * sizes[14] - beside
            start = ((up * wide + left) * images + image) * channels
            into = (row - begin) * width + (place - first) * channels
            seen = up >= 0 and up < high and left >= 0 and left < wide
            for q in range(n):
                if seen:
                    copy(x, start + q * channels, out, into + q * width, channels)
                else:
                    fill(out, into + q * width, channels, 0)
        row += n


def columns_of(x, sizes, begin, end, first, last, out):
    """The transpose of `rows_of`, in runs of the windows that lie in one row of the result."""
    across, images, channels = sizes[1], sizes[2], sizes[3]
    high, wide, above, beside = sizes[5], sizes[6], sizes[7], sizes[8]
    length, step = sizes[10] * images, sizes[12]
    row = begin
    while row < end:
        i = row // length
        n = min((i + 1) * length, end) - row
        for place in range(first, last):
            k, m = place // across, place % across
            up, left = i * sizes[11] + k * sizes[13] - above, m * sizes[14] - beside
            into = (place - first) * channels * (end - begin) + row - begin
            done = 0
            while done < n:
                j = (row - i * length + done) // images
                image = row - i * length + done - j * images
                column = j * step + left
                # results whose pixels follow each other, or one, or those beyond the image
                some = min(n - done, images - image)
                seen = up >= 0 and up < high and column >= 0 and column < wide
                if seen and step == 1:
                    some = min(n - done, (wide - column) * images - image)
                start = ((up * wide + column) * images + image) * channels
                for c in range(channels):
                    to = into + c * (end - begin) + done
                    if not seen:
                        fill(out, to, some, 0)
                    elif channels == 1:
                        copy(x, start, out, to, some)
                    else:
                        for q in range(some):
                            out[U(to + q)] = x[U(start + c + q * channels)]
                done += some
        row += n


def windows(x, sizes, begin, end, first, last, by_columns, out):
    """`rows_of`, or `columns_of`."""
    if by_columns:
        columns_of(x, sizes, begin, end, first, last, out)
    else:
        rows_of(x, sizes, begin, end, first, last, out)


def convolve(
    address, x, weight, bias, y, sizes, first, last, begin, end, rows, several, deep, wide, some
):
    """The results of some windows, for the kernels from the first to the last.

    Args:
        bias: of all kernels; empty for none.
        rows, several: windows, and places of them, that are read at a time.
        deep, wide: rows and columns of the weights that are multiplied at a time.
        some: memory for what is read.
    """
    places, channels, kernels = sizes[0] * sizes[1], sizes[3], sizes[4]
    by_columns = channels < FEW_CHANNELS
    one = x.dtype.type(1)
    while begin < end:
        stop = min(begin + rows, end)
        count = stop - begin
        for row in range(begin, stop):
            if len(bias):
                copy(bias, first, y, row * kernels + first, last - first)
            else:
                fill(y, row * kernels + first, last - first, 0)
        for place in range(0, places, several):
            until = min(place + several, places)
            width = (until - place) * channels
            windows(x, sizes, begin, stop, place, until, by_columns, some)
            for top in range(0, width, deep):
                depth = min(deep, width - top)
                seen = (some, top * count, count) if by_columns else (some, top, width)
                for left in range(first, last, wide):
                    mnk = count, min(wide, last - left), depth
                    right = weight, (place * channels + top) * kernels + left, kernels
                    result = y, begin * kernels + left, kernels
                    multiply(address, int(by_columns), mnk, seen, right, one, result)
        begin = stop


def weight_gradient(
    address, x, g, total, sizes, first, last, begin, end, rows, several, deep, wide, some
):
    """The gradient of the weights at the places from the first to the last, from some windows."""
    channels, kernels = sizes[3], sizes[4]
    by_columns = channels < FEW_CHANNELS
    kept = x.dtype.type(0)
    while begin < end:
        stop = min(begin + rows, end)
        count = stop - begin
        for place in range(first, last, several):
            until = min(place + several, last)
            width = (until - place) * channels
            windows(x, sizes, begin, stop, place, until, by_columns, some)
            for top in range(0, width, deep):
                depth = min(deep, width - top)
                seen = (some, top * count, count) if by_columns else (some, top, width)
                for left in range(0, kernels, wide):
                    mnk = depth, min(wide, kernels - left), count
                    right = g, begin * kernels + left, kernels
                    result = total, (place * channels + top) * kernels + left, kernels
                    multiply(address, int(not by_columns), mnk, seen, right, kept, result)
        kept = x.dtype.type(1)
        begin = stop


def input_gradient(address, g, weight, total, sizes, first, last, deep, turned, some):
    """The gradient of the images in the channels from the first to the last.

    The weights are multiplied where they lie, with the gradient's transpose.

    Args:
        deep: rows of the weights that are multiplied at a time.
        turned, some: memory for the transpose, and for that many rows of it.
    """
    across, images, channels, kernels = sizes[1], sizes[2], sizes[3], sizes[4]
    high, wide, above, beside = sizes[5], sizes[6], sizes[7], sizes[8]
    pixels = sizes[9] * sizes[10]
    rows = pixels * images
    zero = g.dtype.type(0)
    for row in range(rows):
        for k in range(kernels):
            turned[U(k * rows + row)] = g[U(row * kernels + k)]
    for pixel in range(high * wide * images):
        fill(total, pixel * channels + first, last - first, 0)
    for place in range(sizes[0] * across):
        k, m = place // across, place % across
        for top in range(first, last, deep):
            depth = min(deep, last - top)
            left = weight, (place * channels + top) * kernels, kernels
            mnk = depth, rows, kernels
            multiply(address, 0, mnk, left, (turned, 0, rows), zero, (some, 0, rows))
            for pixel in range(pixels):
                up = pixel // sizes[10] * sizes[11] + k * sizes[13] - above
                column = pixel % sizes[10] * sizes[12] + m * sizes[14] - beside
                if up >= 0 and up < high and column >= 0 and column < wide:
                    for image in range(images):
                        into = ((up * wide + column) * images + image) * channels + top
                        row = pixel * images + image
                        for c in range(depth):
                            total[U(into + c)] += some[U(c * rows + row)]
