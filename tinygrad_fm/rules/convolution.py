"""The calculus of convolution: one bilinear operation, computed in one of three ways.

The results and both gradients are linear in each of their arrays, and each is the rule of the
others. The ways are in `columns` (im2col, the sum itself), `fourier` (dft) and `toom_cook` (tiles);
where Numba is installed, loops take their place for large convolutions of plain arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.engine import Primitive, primitive
from tinygrad_fm.rules import (
    columns,
    compiled_columns,
    compiled_fourier,
    compiled_tiles,
    fourier,
    loops,
    toom_cook,
)
from tinygrad_fm.rules.plan import (
    Plan,
    inward,
    kernels_inward,
    kernels_outward,
    outward,
    shaped,
)

Array = Any
WAYS: dict[str, Any] = {"im2col": columns, "dft": fourier, "tiles": toom_cook}
MANY = 8_000  # numbers, of a sum to which the matrix library puts several threads
LOOPS: dict[str, Any] = {
    "im2col": compiled_columns,
    "dft": compiled_fourier,
    "tiles": compiled_tiles,
}


def _computed(what: str, *arrays: Array, plan: Plan, out: Array | None) -> Array:
    """`what` in the way of the plan, but as the sum itself where something is not finite."""
    if plan.method != "im2col":
        with np.errstate(all="ignore"):
            result = getattr(_way(what, arrays, plan, out), what)(*arrays, plan, out)
        if result is not None:
            return result
        plan = plan._replace(method="im2col")
    return getattr(_way(what, arrays, plan, out), what)(*arrays, plan, out)


def _way(what: str, arrays: tuple[Array, ...], plan: Plan, out: Array | None) -> Any:
    """Where the plan's method is: as loops, if there are any for these arrays, or in NumPy."""
    first, second, *bias = arrays
    c, o = (first.shape[3], second.shape[3]) if what == "weight_gradient" else second.shape[2:]
    n, places = first.shape[2], plan.kernel[0] * plan.kernel[1] * plan.out[0] * plan.out[1]
    if places * n * c * o < loops.LARGE:
        return WAYS[plan.method]  # at a glance: what is small takes microseconds
    given = [a for a in (*arrays, out) if a is not None]
    whole = all(b is None or b.shape == (o,) for b in bias)
    if whole and loops.are_plain(*given) and LOOPS[plan.method].takes(plan, n, c, o, first.dtype):
        return LOOPS[plan.method]
    return WAYS[plan.method]


# `out` is memory for the result, in the order in which it would be made.


def _conv2d(
    x: Array, weight: Array, bias: Array | None, plan: Plan, *, out: Array | None = None
) -> Array:
    """Images (N, C, H, W) and kernels (O, C / groups, KH, KW): (N, O, OH, OW)."""
    arrays = inward(x), kernels_inward(weight), bias
    into = None if out is None else out.transpose((2, 3, 0, 1))
    return outward(_computed("convolve", *arrays, plan=plan, out=into))


def _input_gradient(g: Array, weight: Array, plan: Plan, *, out: Array | None = None) -> Array:
    arrays = inward(g), kernels_inward(weight)
    into = None if out is None else out.transpose((2, 3, 0, 1))
    return outward(_computed("input_gradient", *arrays, plan=plan, out=into))


def _weight_gradient(x: Array, g: Array, plan: Plan, *, out: Array | None = None) -> Array:
    into = None if out is None else out.transpose((2, 3, 1, 0))
    return kernels_outward(_computed("weight_gradient", inward(x), inward(g), plan=plan, out=into))


def _channel_sums(x: Array) -> Array:
    """(N, C, H, W) to (C,).

    A product with ones takes a tenth to a half of the time of np.sum along short rows, and rounds
    less often.
    """
    pixels = shaped(inward(x), (-1, x.shape[1]))
    if type(pixels) is not np.ndarray or pixels.size < MANY or threads.alone():
        return _sums(pixels)
    parts = threads.spans(len(pixels), threads.several(pixels.size, threads.WORTH_COPYING))
    with threads.one_each():  # its threads would stay on the cores of the next convolution's
        first, *others = threads.share_products(_sums, [(pixels[rows],) for rows in parts])
    for other in others:
        first += other
    return first


def _sums(pixels: Array) -> Array:
    return np.dot(np.ones_like(pixels, shape=len(pixels)), pixels)


conv2d: Primitive = primitive(
    _conv2d,
    lambda g, _y, _x, w, _b, _plan: input_gradient(g, w, _plan),
    lambda g, _y, x, _w, _b, _plan: weight_gradient(x, g, _plan),
    lambda g, _y, _x, _w, _b, _plan: channel_sums(g),
    name="conv2d",
)
channel_sums: Primitive = primitive(
    _channel_sums,
    lambda g, _y, _x: np.broadcast_to(g[:, None, None], _x.shape),
    name="channel_sums",
)
input_gradient: Primitive = primitive(
    _input_gradient,
    lambda g, _y, _g, w, _plan: conv2d(g, w, None, _plan),
    lambda g, _y, of_result, _w, _plan: weight_gradient(g, of_result, _plan),
    name="conv2d_input_gradient",
)
weight_gradient: Primitive = primitive(
    _weight_gradient,
    lambda g, _y, _x, of_result, _plan: input_gradient(of_result, g, _plan),
    lambda g, _y, x, _g, _plan: conv2d(x, g, None, _plan),
    name="conv2d_weight_gradient",
)
