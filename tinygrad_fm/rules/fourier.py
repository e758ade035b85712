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
the kernels at all frequencies would be many times as large as the kernels. If those of one block
are still more than the cache holds, some kernels at a time are.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.rules import workspace as memory
from tinygrad_fm.rules.frequencies import Transform, rank, sizes, transforms
from tinygrad_fm.rules.plan import Plan, turned
from tinygrad_fm.rules.products import batched, has_small_kernels
from tinygrad_fm.rules.turning import turned_kernels
from tinygrad_fm.rules.workspace import OF_ONE, finite, scratch

Array = Any

IMAGES, KERNELS, RESULTS = range(3)  # of which two are given, and make the third

# Bytes of kernels at frequencies at a time, for the second-level cache; or what one pair of rows
# needs, of LEAST kernels where these are split.
WORKSPACE, LEAST = 2 << 20, 16


class Block(NamedTuple):
    """Rows of the first stage that go through the same matrix of the second."""

    rows: slice
    paired: bool
    pairs: int  # or rows, where they are not paired


# ---- the stages ----------------------------------------------------------------------------------


def _first(of: list[tuple[Array, Array, Array]], count: int) -> None:
    """Matrices times (..., height, columns), into (..., rows, columns), which threads share."""
    portions: list[list[tuple[Array, Array, Array]]] = [[] for _ in range(count)]
    for matrix, x, out in of:
        for portion, columns in zip(portions, threads.spans(x.shape[-1], count), strict=False):
            portion.append((matrix, x[..., columns], out[..., columns]))

    def multiply(portion: list[tuple[Array, Array, Array]]) -> None:
        for matrix, x, out in portion:
            batched(matrix, x, out)

    threads.share_products(multiply, [(portion,) for portion in portions])


def _second(t: Transform, rows: Array, block: Block, out: Array) -> Array:
    """The numbers of a block at frequencies, (numbers, a, b), in the first part of `out`."""
    matrix = t.pairs if block.paired else t.real
    made = out[: block.pairs * len(matrix)]
    given = rows[block.rows].reshape(block.pairs, matrix.shape[1], -1)
    batched(matrix, given, made.reshape(block.pairs, len(matrix), -1))
    return made


def _second_back(t: Transform, numbers: Array, block: Block, rows: Array) -> None:
    """The transpose of `_second`, into `rows`."""
    matrix = t.pairs if block.paired else t.real
    given = numbers.reshape(block.pairs, len(matrix), -1)
    out = rows[block.rows].reshape(block.pairs, matrix.shape[1], -1)
    batched(matrix.T, given, out)


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


def _slabs(count: int, one: int) -> int:
    """Into how many parts of the same size so many kernels or channels of `one` byte are split."""
    most = max(LEAST, WORKSPACE // max(1, one))
    sizes = (size for size in range(min(count, most), 0, -1) if count % size == 0)
    return max(1, count // next(sizes, 1))


class Work(NamedTuple):
    """What a convolution computes in: shapes of arrays, for images, kernels and results each.

    Attributes:
        slabs: into how many the kernels are split, or their channels where images are the goal.
        by_slab: of the kernels, slab by slab; of nothing where they are not split.
    """

    blocks: list[Block]
    slabs: int
    by_slab: tuple[int, ...]
    rows: list[tuple[int, ...]]
    numbers: list[tuple[int, ...]]


def _work(plan: Plan, n: int, c: int, o: int, dtype: Any, count: int, goal: int) -> Work:
    transform = transforms(plan, dtype)
    blocks, most = _blocks(transform[1], c, o, count)
    slabs, kernels = 1, (c, o)
    if has_small_kernels():  # others are slower where there are few kernels
        along, across = (c, o) if goal == IMAGES else (o, c)
        slabs = _slabs(along, most * across * dtype.itemsize)
        kernels = (c // slabs, o) if goal == IMAGES else (c, o // slabs)
    channels = ((n, c), kernels, (n, o))
    rows: list[tuple[int, ...]] = [
        (len(t.height), t.real.shape[1] * a * b)
        for t, (a, b) in zip(transform, channels, strict=True)
    ]
    rows[KERNELS] = slabs, *rows[KERNELS]
    by_slab = (slabs, *plan.kernel, *kernels) if slabs > 1 else (0,)
    return Work(blocks, slabs, by_slab, rows, [(most, a, b) for a, b in channels])


def workspace(plan: Plan, n: int, c: int, o: int, dtype: Any) -> int:
    """Bytes that a convolution of n images computes in: more than they and the results take."""
    work = _work(plan, n, c, o, dtype, count=1, goal=RESULTS)
    shapes = (work.by_slab, *work.rows, *work.numbers)
    return sum(map(math.prod, shapes)) * dtype.itemsize


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


def _copy(into: Array, slabs: Array) -> None:
    """Each slab to its place, by several threads where there is much to copy."""
    threads.share_spans(lambda s: np.copyto(into[s], slabs[s]), len(slabs), slabs.size)


def _made(
    goal: int,
    multiply: Callable[[Array, Array, Array], Any],
    given: dict[int, Array],
    plan: Plan,
    channels: tuple[int, int, int],
    out: Array | None,
    bias: Array | None = None,
) -> Array | None:
    """What two arrays make, each taken to frequencies, multiplied there, and taken back.

    None where one has a NaN or an infinity, which would go everywhere: the number at frequency 0,
    the sum of all pixels, shows it.

    Args:
        multiply: of numbers of images, kernels and results, makes those of the `goal`.
    """
    n, c, o = channels
    dtype = next(iter(given.values())).dtype
    t = transforms(plan, dtype)
    count = threads.several(rank(plan) * (n * c * o + OF_ONE * (n * c + c * o + n * o)))
    work = _work(plan, n, c, o, dtype, count, goal)
    apart, *arrays = scratch(dtype, work.by_slab, *work.rows, *work.numbers)
    rows, own = arrays[:3], arrays[3:]
    along, size = (IMAGES, c // work.slabs) if goal == IMAGES else (RESULTS, o // work.slabs)
    slabs = [slice(i * size, (i + 1) * size) for i in range(work.slabs)]

    def in_slabs(kernels: Array) -> Array:
        """(KH, KW, C, O) as (slabs, KH, KW, ...), a view; as it is where it is not split."""
        if work.slabs == 1:
            return kernels
        if goal == IMAGES:
            return kernels.reshape(*plan.kernel, work.slabs, size, o).transpose(2, 0, 1, 3, 4)
        return kernels.reshape(*plan.kernel, c, work.slabs, size).transpose(3, 0, 1, 2, 4)

    def flat(i: int, array: Array) -> Array:
        return array.reshape(*rows[i].shape[:-2], t[i].height.shape[1], -1)

    if KERNELS in given and work.slabs > 1:
        _copy(apart, in_slabs(given[KERNELS]))
        given = {**given, KERNELS: apart}
    _first([(t[i].height, flat(i, array), rows[i]) for i, array in given.items()], count)

    here = threading.get_ident()

    def compute(blocks: list[Block]) -> bool:
        at = own if threading.get_ident() == here else scratch(dtype, *work.numbers)
        for block in blocks:
            size = block.pairs * len(t[goal].pairs if block.paired else t[goal].real)
            first = block.rows.start == 0
            numbers = [a[:size] for a in at]
            for i in given:
                if i != KERNELS:
                    _second(t[i], rows[i], block, numbers[i])
                    if first and not finite(numbers[i][0]):
                        return False
            for slab, of_slab in zip(slabs, rows[KERNELS], strict=True):
                part = numbers.copy()
                part[along] = numbers[along][:, :, slab]
                if goal != KERNELS:
                    _second(t[KERNELS], of_slab, block, numbers[KERNELS])
                    if first and not finite(numbers[KERNELS][0]):
                        return False
                multiply(*part)
                if goal == KERNELS:
                    _second_back(t[KERNELS], numbers[KERNELS], block, of_slab)
            if first and bias is not None:
                numbers[RESULTS][0] += bias * math.prod(sizes(plan))
            if goal != KERNELS:
                _second_back(t[goal], numbers[goal], block, rows[goal])
        return True

    portions = _portions(work.blocks, count) if count > 1 else [work.blocks]
    if not all(threads.share_products(compute, [(portion,) for portion in portions])):
        return None
    shape = ((*plan.image, n, c), (*plan.kernel, c, o), (*plan.out, n, o))[goal]
    made = np.empty(shape, dtype) if out is None else out
    split = goal == KERNELS and work.slabs > 1
    _first([(t[goal].height.T, rows[goal], flat(goal, apart if split else made))], count)
    if split:
        _copy(in_slabs(made), apart)
    return made


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array | None:
    """(OH, OW, N, O). A bias is added at frequency 0, which takes no pass over the result."""
    n, c, o = x.shape[2], weight.shape[2], weight.shape[3]
    if bias is not None and not finite(bias * math.prod(sizes(plan))):
        return None  # so it is added
    split = parts(plan, n, c, o, x.dtype)
    if len(split) > 1:
        y = np.empty((*plan.out, n, o), x.dtype) if out is None else out
        return _of_parts(lambda part: convolve(part, weight, bias, plan), x, split, y)
    given = {IMAGES: x, KERNELS: weight}
    return _made(RESULTS, batched, given, plan, (n, c, o), out, bias)


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

    def multiply(x: Array, w: Array, y: Array) -> None:
        batched(y, w.transpose(0, 2, 1), x)

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

    def multiply(x: Array, w: Array, y: Array) -> None:
        # of one image: a product by np.matmul takes nine times as long
        (np.multiply if n == 1 else batched)(x.transpose(0, 2, 1), y, out=w)

    return _made(KERNELS, multiply, {IMAGES: x, RESULTS: g}, plan, (n, c, o), out)
