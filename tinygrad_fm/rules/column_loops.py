"""Windows of images and their products as loops that Numba compiles: see `columns`.

Arrays are flat, in the orders that are said there. Windows are counted by `rows`: of all images at
the first place of the result, then at the next. Of their places `several` are read at a time, so
that what is multiplied is in the cache. Of few channels the windows are columns, in which images
lie side by side.
"""

from tinygrad_fm.rules import gemm, squares
from tinygrad_fm.rules.lines import U, copy, fill, turn

multiply, transpose = gemm.compiled(), squares.compiled()
FEW_CHANNELS = 8


# Of a convolution, `shapes` are along height and width those of kernel, image, padding before it,
# result, stride and dilation; `counts` are numbers of images, channels and kernels. Windows are
# those from `begin` to `end`, and their places those from `first` to `last`.


def pixel_at(shapes, i, j, place):
    """Row and column of the pixel that a window sees at a place, and whether there is one."""
    kernel, image, before, _, stride, dilation = shapes
    row = i * stride[0] + place // kernel[1] * dilation[0] - before[0]
    column = j * stride[1] + place % kernel[1] * dilation[1] - before[1]
    return row, column, 0 <= row < image[0] and 0 <= column < image[1]


def rows_of(x, shapes, counts, begin, end, first, last, out):
    """Some places of some windows: (rows, places * C)."""
    images, channels = counts[0], counts[1]
    wide, across = shapes[1][1], shapes[3][1]
    width = (last - first) * channels
    row = begin
    while row < end:
        pixel = row // images
        image = row - pixel * images
        n = min(images - image, end - row)
        for place in range(first, last):
            up, left, seen = pixel_at(shapes, pixel // across, pixel % across, place)
            start = ((up * wide + left) * images + image) * channels
            into = (row - begin) * width + (place - first) * channels
            for q in range(n):
                if seen:
                    copy(x, start + q * channels, out, into + q * width, channels)
                else:
                    fill(out, into + q * width, channels, 0)
        row += n


def columns_of(x, shapes, counts, begin, end, first, last, out):
    """The transpose of `rows_of`, in runs of the windows that lie in one row of the result."""
    images, channels = counts[0], counts[1]
    wide, length, step = shapes[1][1], shapes[3][1] * images, shapes[4][1]
    row = begin
    while row < end:
        i = row // length
        n = min((i + 1) * length, end) - row
        for place in range(first, last):
            into = (place - first) * channels * (end - begin) + row - begin
            done = 0
            while done < n:
                j = (row - i * length + done) // images
                image = row - i * length + done - j * images
                up, column, seen = pixel_at(shapes, i, j, place)
                # results whose pixels follow each other, or one, or those beyond the image
                some = min(n - done, images - image)
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


def windows(x, shapes, counts, begin, end, first, last, out):
    """`rows_of`, or of few channels `columns_of`."""
    if counts[1] < FEW_CHANNELS:
        columns_of(x, shapes, counts, begin, end, first, last, out)
    else:
        rows_of(x, shapes, counts, begin, end, first, last, out)


# ---- what is called ------------------------------------------------------------------------------
#
# `at_once` says how many windows, and how many of their places, are read at a time, and how many
# rows and columns of the weights are multiplied; `some` is memory for what is read.


def convolve(address, x, weight, bias, y, shapes, counts, part, at_once, some):
    """The results of some windows for some kernels.

    Args:
        bias: of all kernels; empty for none.
        part: first and last kernel, first and last window.
    """
    places, channels, kernels = shapes[0][0] * shapes[0][1], counts[1], counts[2]
    (first, last, begin, end), (rows, several, deep, wide) = part, at_once
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
            windows(x, shapes, counts, begin, stop, place, until, some)
            for top in range(0, width, deep):
                depth = min(deep, width - top)
                seen = (some, top * count, count) if by_columns else (some, top, width)
                for left in range(first, last, wide):
                    mnk = count, min(wide, last - left), depth
                    right = weight, (place * channels + top) * kernels + left, kernels
                    result = y, begin * kernels + left, kernels
                    multiply(address, int(by_columns), mnk, seen, right, one, result)
        begin = stop


def turn_kernels(weight, places, counts, out):
    """All of them turned around: (places, C, O) to (places, O, C)."""
    turn(transpose, weight, places, counts, 0, counts[0], out)


def weight_gradient(address, x, g, total, shapes, counts, part, at_once, some):
    """The gradient of the weights at some places, from some windows.

    Args:
        part: first and last place, first and last window.
    """
    channels, kernels = counts[1], counts[2]
    (first, last, begin, end), (rows, several, deep, wide) = part, at_once
    by_columns = channels < FEW_CHANNELS
    kept = x.dtype.type(0)
    while begin < end:
        stop = min(begin + rows, end)
        count = stop - begin
        for place in range(first, last, several):
            until = min(place + several, last)
            width = (until - place) * channels
            windows(x, shapes, counts, begin, stop, place, until, some)
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


def input_gradient(address, g, weight, total, shapes, counts, part, deep, memory):
    """The gradient of the images in some channels.

    The weights are multiplied where they lie, with the gradient's transpose.

    Args:
        part: first and last channel.
        deep: rows of the weights that are multiplied at a time.
        memory: for the transpose, and for that many rows of it.
    """
    (images, channels, kernels), (first, last), (turned, some) = counts, part, memory
    kernel, image, result = shapes[0], shapes[1], shapes[3]
    pixels = result[0] * result[1]
    rows = pixels * images
    zero = g.dtype.type(0)
    turn(transpose, g, 1, (rows, kernels), 0, rows, turned)
    for pixel in range(image[0] * image[1] * images):
        fill(total, pixel * channels + first, last - first, 0)
    for place in range(kernel[0] * kernel[1]):
        for top in range(first, last, deep):
            depth = min(deep, last - top)
            left = weight, (place * channels + top) * kernels, kernels
            mnk = depth, rows, kernels
            multiply(address, 0, mnk, left, (turned, 0, rows), zero, (some, 0, rows))
            for pixel in range(pixels):
                i, j = pixel // result[1], pixel % result[1]
                up, column, seen = pixel_at(shapes, i, j, place)
                for n in range(images if seen else 0):
                    into = ((up * image[1] + column) * images + n) * channels + top
                    row = pixel * images + n
                    for c in range(depth):
                        total[U(into + c)] += some[U(c * rows + row)]
