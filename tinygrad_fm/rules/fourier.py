"""Convolution of whole images as products at frequencies, by real matrices.

Cyclic convolutions are products at the frequencies of the discrete Fourier transform, and an image
between enough zeros does not see that a convolution is cyclic. Of each pair of conjugate
frequencies one is kept, and a complex product is made of three real ones,

    m1 = xr wr,  m2 = xi wi,  m3 = (xr + xi)(wr + wi):  real part m1 - m2, imaginary m3 - m1 - m2,

so that a frequency takes one real number or three; their sums are folded into constant matrices,
made in float64 for each size. A transform goes along the height first: of the rows it gives, the
first one or two (the height is odd or even) belong to real frequencies, the others in pairs, real
and imaginary part, to complex ones. Then along the width, where a real row gives 1 or 3 numbers for
each frequency, and a pair gives 3. Images are (H, W, N, C) in memory order, kernels (KH, KW, C, O).

Between the two stages a block of rows at a time is transformed, multiplied and transformed back:
the kernels at all frequencies would be many times as large as the kernels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.rules import workspace as memory
from tinygrad_fm.rules.plan import Pair, Plan, turned, turned_kernels
from tinygrad_fm.rules.workspace import OF_ONE, finite, scratch

Array = Any

WORKSPACE = 4 << 20  # bytes of transformed kernels at a time, or what one pair of rows needs


class Transform(NamedTuple):
    """Matrices of a linear map from an image to its numbers at frequencies."""

    height: Array  # (rows, height of the image)
    real: Array  # (numbers, width), for a row of a real frequency
    pairs: Array  # (numbers, 2 width), for a pair of rows


class Block(NamedTuple):
    """Rows of the first stage that go through the same matrix of the second."""

    rows: slice
    paired: bool
    pairs: int  # or rows, where they are not paired


def sizes(plan: Plan) -> Pair:
    """Height and width of the transform: what wraps around is zero, or is not read."""
    axes = zip(plan.image, plan.kernel, plan.before, plan.out, plan.dilation, strict=True)
    high, wide = (max(o + (k - 1) * d - p, n + p) for n, k, p, o, d in axes)
    return high, wide


def rank(plan: Plan) -> int:
    """How many numbers an image has, and products a convolution, for each pair of channels."""
    high, wide = sizes(plan)
    of_real = 3 * wide // 2 - 1 + wide % 2
    return (2 - high % 2) * of_real + (high - 1) // 2 * 3 * wide


# ---- the matrices --------------------------------------------------------------------------------


def _frequencies(size: int, places: Array) -> tuple[Array, Array, list[int], slice]:
    """Cosines and sines; which frequencies are real, and one of each pair of complex ones."""
    angles = 2 * np.pi * (np.outer(np.arange(size), places) % size) / size
    real = [0] if size % 2 else [0, size // 2]
    return np.cos(angles), np.sin(angles), real, slice(1, (size + 1) // 2)


def _in_pairs(a: Array, b: Array) -> Array:
    """Rows of a and b in turn."""
    return np.stack([a, b], axis=1).reshape(-1, a.shape[1])


def _there(size: Pair, rows: Array, columns: Array) -> Transform:
    """From pixels at these places; negative places conjugate the transform."""
    cos, sin, real, kept = _frequencies(size[0], rows)
    height = np.concatenate([cos[real], _in_pairs(cos[kept], -sin[kept])])
    cos, sin, real, kept = _frequencies(size[1], columns)
    a, b = cos[kept], -sin[kept]
    x, y = np.hstack([cos, sin]), np.hstack([-sin, cos])
    return Transform(
        height, np.concatenate([cos[real], a, b, a + b]), np.concatenate([x, y, x + y])
    )


def _back(size: Pair, rows: Array, columns: Array) -> Transform:
    """The transpose of the map from products m1, m2, m3 to pixels at these places.

    A frequency that stands for its conjugate as well counts twice.
    """
    cos, sin, real, kept = _frequencies(size[0], rows)
    height = np.concatenate([cos[real], _in_pairs(2 * cos[kept], -2 * sin[kept])])
    cos, sin, real, kept = _frequencies(size[1], columns)
    a, b = cos[kept], sin[kept]
    of_m1, of_m2, of_m3 = (cos + sin, sin - cos), (sin - cos, -sin - cos), (-sin, cos)
    return Transform(
        height / math.prod(size),
        np.concatenate([cos[real], 2 * (a + b), 2 * (b - a), -2 * b]),
        np.concatenate([np.hstack(of_m1), np.hstack(of_m2), np.hstack(of_m3)]),
    )


@functools.lru_cache(maxsize=64)
def transforms(plan: Plan, dtype: Any) -> tuple[Transform, Transform, Transform]:
    """Of images, of kernels, and the transpose of that of results."""
    size = sizes(plan)
    kernel = [-d * np.arange(k) for k, d in zip(plan.kernel, plan.dilation, strict=True)]
    result = [np.arange(o) - p for o, p in zip(plan.out, plan.before, strict=True)]
    made = (
        _there(size, *map(np.arange, plan.image)),
        _there(size, *kernel),  # conjugate: a correlation does not turn the kernel around
        _back(size, *result),
    )
    image, kernels, results = (Transform(*(m.astype(dtype) for m in t)) for t in made)
    return image, kernels, results


# ---- the stages ----------------------------------------------------------------------------------


def _first(of: list[tuple[Array, Array, Array]], count: int) -> None:
    """Matrices times (height, width, a, b), into (rows, width * a * b); threads share columns."""
    portions: list[list[tuple[Array, Array, Array]]] = [[] for _ in range(count)]
    for matrix, x, out in of:
        flat, made = x.reshape(len(x), -1), out.reshape(len(out), -1)
        for portion, columns in zip(portions, threads.spans(flat.shape[1], count), strict=False):
            portion.append((matrix, flat[:, columns], made[:, columns]))

    def multiply(portion: list[tuple[Array, Array, Array]]) -> None:
        for matrix, x, out in portion:
            np.matmul(matrix, x, out=out)

    threads.share_products(multiply, [(portion,) for portion in portions])


def _second(t: Transform, rows: Array, block: Block, out: Array) -> Array:
    """The numbers of a block at frequencies, (numbers, a, b), in the first part of `out`."""
    matrix = t.pairs if block.paired else t.real
    made = out[: block.pairs * len(matrix)]
    given = rows[block.rows].reshape(block.pairs, matrix.shape[1], -1)
    np.matmul(matrix, given, out=made.reshape(block.pairs, len(matrix), -1))
    return made


def _second_back(t: Transform, numbers: Array, block: Block, rows: Array) -> None:
    """The transpose of `_second`, into `rows`."""
    matrix = t.pairs if block.paired else t.real
    given = numbers.reshape(block.pairs, len(matrix), -1)
    out = rows[block.rows].reshape(block.pairs, matrix.shape[1], -1)
    np.matmul(matrix.T, given, out=out)


def _first_back(t: Transform, rows: Array, a: int, b: int, out: Array | None, count: int) -> Array:
    """The transpose of `_first`, in `out` if that is given."""
    made = out
    if made is None:
        made = np.empty((t.height.shape[1], t.real.shape[1], a, b), rows.dtype)
    _first([(t.height.T, rows, made)], count)
    return made


def _blocks(t: Transform, c: int, o: int, count: int) -> tuple[list[Block], int]:
    """All blocks, and how many numbers the largest has: kernels (numbers, c, o) fit WORKSPACE."""
    real, numbers = 2 - len(t.height) % 2, len(t.pairs)
    most = max(1, WORKSPACE // max(1, numbers * c * o * t.height.itemsize))
    if count > 1:  # some for each thread, and what is over is little
        most = max(1, min(most, len(t.height) // (4 * count)))
    found = [Block(slice(0, real), False, real)]
    for start in range(real, len(t.height), 2 * most):
        end = min(start + 2 * most, len(t.height))
        found.append(Block(slice(start, end), True, (end - start) // 2))
    return found, max(real * len(t.real), max(b.pairs for b in found) * numbers)


def _portions(blocks: list[Block], count: int) -> list[list[Block]]:
    """The blocks for each thread, by size: the next one to whom has least."""
    found: list[list[Block]] = [[] for _ in range(min(count, len(blocks)))]
    for block in sorted(blocks, key=lambda b: -b.pairs):
        min(found, key=lambda portion: sum(b.pairs for b in portion)).append(block)
    return found


def _shapes(
    plan: Plan, n: int, c: int, o: int, dtype: Any, count: int = 1
) -> tuple[list[Block], list[Any]]:
    transform = transforms(plan, dtype)
    blocks, most = _blocks(transform[1], c, o, count)
    channels = ((n, c), (c, o), (n, o))
    rows = [
        (len(t.height), t.real.shape[1] * a * b)
        for t, (a, b) in zip(transform, channels, strict=True)
    ]
    return blocks, [*rows, *((most, a, b) for a, b in channels)]


def workspace(plan: Plan, n: int, c: int, o: int, dtype: Any) -> int:
    """Bytes that a convolution of n images computes in: more than they and the results take."""
    return sum(math.prod(shape) for shape in _shapes(plan, n, c, o, dtype)[1]) * dtype.itemsize


def parts(plan: Plan, n: int, c: int, o: int, dtype: Any) -> list[slice]:
    """The images in parts of about one size, as few as fit the memory kept from call to call."""
    most = _images_at_once(plan, c, o, dtype, memory.KEPT)
    size = max(1, -(-n // max(1, -(-n // most))))  # also of no images
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


@functools.lru_cache(maxsize=256)
def _images_at_once(plan: Plan, c: int, o: int, dtype: Any, kept: int) -> int:
    kernels = workspace(plan, 0, c, o, dtype)
    return max(1, (kept - kernels) // (workspace(plan, 1, c, o, dtype) - kernels))


def _of_parts(
    product: Callable[[Array], Array | None], x: Array, split: list[slice], made: Array
) -> Array | None:
    """Into `made`, the images that a product makes of each part of the images `x`."""
    for part in split:
        found = product(np.ascontiguousarray(x[:, :, part]))
        if found is None:
            return None
        made[:, :, part] = found
    return made


# ---- the three products --------------------------------------------------------------------------

IMAGES, KERNELS, RESULTS = range(3)  # two are given, and make the third


def _made(
    goal: int,
    multiply: Callable[..., Any],
    given: dict[int, Array],
    plan: Plan,
    channels: tuple[int, int, int],
    out: Array | None,
    bias: Array | None = None,
) -> Array | None:
    """What two arrays make, each taken to frequencies, multiplied there, and taken back.

    None where one has a NaN or an infinity, which would go everywhere: the number at frequency 0,
    the sum of all pixels, shows it.
    """
    n, c, o = channels
    dtype = next(iter(given.values())).dtype
    t = transforms(plan, dtype)
    count = threads.several(rank(plan) * (n * c * o + OF_ONE * (n * c + c * o + n * o)))
    blocks, shapes = _shapes(plan, n, c, o, dtype, count)
    arrays = scratch(dtype, *shapes)
    rows, own = arrays[:3], arrays[3:]
    _first([(t[i].height, array, rows[i]) for i, array in given.items()], count)

    def compute(blocks: list[Block], own: list[Array] | None) -> bool:
        at = own or scratch(dtype, *shapes[3:])
        for block in blocks:
            numbers = [_second(t[i], rows[i], block, at[i]) for i in given]
            first = block.rows.start == 0
            if first and not finite(*(a[0] for a in numbers)):
                return False
            products = at[goal][: len(numbers[0])]
            multiply(*numbers, out=products)
            if first and bias is not None:
                products[0] += bias * math.prod(sizes(plan))
            _second_back(t[goal], products, block, rows[goal])
        return True

    portions = _portions(blocks, count) if count > 1 else [blocks]
    works = [(portion, None if i else own) for i, portion in enumerate(portions)]
    if not all(threads.share_products(compute, works)):
        return None
    return _first_back(t[goal], rows[goal], *((n, c), (c, o), (n, o))[goal], out, count)


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array | None:
    """(OH, OW, N, O). A bias is added at frequency 0, which takes no pass over the result."""
    n, c, o = x.shape[2], weight.shape[2], weight.shape[3]
    split = parts(plan, n, c, o, x.dtype)
    if len(split) > 1:
        y = np.empty((*plan.out, n, o), x.dtype) if out is None else out
        return _of_parts(lambda part: convolve(part, weight, bias, plan), x, split, y)
    given = {IMAGES: x, KERNELS: weight}
    return _made(RESULTS, np.matmul, given, plan, (n, c, o), out, bias)


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """(H, W, N, C), from the gradient (OH, OW, N, O) of the result.

    Unless there are more kernels than images, it is the convolution by the kernels turned around:
    OpenBLAS takes up to twice as long for few rows times a transposed matrix.
    """
    if g.size > weight.size:
        return convolve(g, turned_kernels(weight), None, turned(plan), out)
    n, c, o = g.shape[2], weight.shape[2], weight.shape[3]
    split = parts(plan, n, c, o, g.dtype)
    if len(split) > 1:
        x = np.empty((*plan.image, n, c), g.dtype) if out is None else out
        return _of_parts(lambda part: input_gradient(part, weight, plan), g, split, x)

    def multiply(w: Array, y: Array, out: Array) -> None:
        np.matmul(y, w.transpose(0, 2, 1), out=out)

    return _made(IMAGES, multiply, {KERNELS: weight, RESULTS: g}, plan, (n, c, o), out)


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """(KH, KW, C, O), from the gradient (OH, OW, N, O) of the result."""
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    split = parts(plan, n, c, o, x.dtype)
    if len(split) > 1:
        made = np.empty((*plan.kernel, c, o), x.dtype) if out is None else out
        made[...] = 0
        for part in split:
            of_x, of_g = (np.ascontiguousarray(a[:, :, part]) for a in (x, g))
            found = weight_gradient(of_x, of_g, plan)
            if found is None:
                return None
            made += found
        return made

    def multiply(x: Array, y: Array, out: Array) -> None:
        # of one image: a product by np.matmul takes nine times as long
        (np.multiply if n == 1 else np.matmul)(x.transpose(0, 2, 1), y, out=out)

    return _made(KERNELS, multiply, {IMAGES: x, RESULTS: g}, plan, (n, c, o), out)
