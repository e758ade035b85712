"""Which way a convolution is computed: the one that takes least time by the sizes."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.rules import compiled_fourier, fourier, frequencies, loops, toom_cook
from tinygrad_fm.rules import workspace as memory
from tinygrad_fm.rules.plan import Pair, Plan
from tinygrad_fm.rules.products import has_small_kernels
from tinygrad_fm.tensor import Tensor, shape_of

METHODS = ("auto", "im2col", "dft", "tiles")


def checked_method(method: str) -> str:
    """The method itself.

    Raises:
        ValueError: there is none of this name.
    """
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(map(repr, METHODS))}, not {method!r}")
    return method


def with_method(plan: Plan, x: Any, weight: Any, bias: Any) -> Plan:
    """The plan with the method that was asked for, or with the fastest for "auto".

    Raises:
        ValueError: there is no such method, or it does not apply.
    """
    method = checked_method(plan.method)
    n, c, o = shape_of(x)[0], shape_of(weight)[1], shape_of(weight)[0]
    if method == "im2col" or 0 in (*shape_of(x), o):  # there is nothing to transform
        return plan._replace(method="im2col")
    given = [a._array if isinstance(a, Tensor) else a for a in (x, weight, bias) if a is not None]
    reason = why_not(plan, "tiles" if method == "tiles" else "dft", given)
    if method != "auto":
        if reason:
            raise ValueError(
                f"method={method!r} {reason}; write method='auto', or 'im2col', which takes all"
            )
        return plan
    return plan._replace(method="im2col" if reason else fastest(plan, n, c, o, given[0].dtype))


def why_not(plan: Plan, method: str, arrays: list[Any]) -> str:
    """Why "dft" or "tiles" does not apply; empty where it does."""
    dtypes = {str(getattr(a, "dtype", "none")) for a in arrays}
    if not all(type(a) is np.ndarray for a in arrays):
        return "takes NumPy arrays"
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        return f"takes float32 or float64 throughout, not {' and '.join(sorted(dtypes))}"
    if plan.stride != (1, 1) or plan.groups != 1:
        return f"takes stride 1 and one group, not stride {plan.stride} and {plan.groups} groups"
    if method == "tiles" and not toom_cook.takes(plan):
        return (
            "takes square kernels of 2 to 5 pixels without dilation, not "
            f"{plan.kernel}, {plan.dilation}"
        )
    return ""


# ---- estimates -----------------------------------------------------------------------------------


class Rates(NamedTuple):
    """Nanoseconds for forward and backward, of what each method does; see the estimates below.

    Fitted to the times of the shapes in benchmarks/convolution.py, and some with other kernels, for
    1 to 128 images in float32 on one thread. What counts is how they compare.
    """

    im2col: tuple[float, float, float, float]
    dft: tuple[float, float, float, float, float]
    tiles: tuple[float, float, float, float]


# where loops compute all three
BY_LOOPS = Rates(
    im2col=(77_500, 0.151, 0.0687, 0.0814),
    dft=(106_000, 0.0121, 0.0240, 0.235, 0.0890),
    tiles=(100_000, 0.266, 0.0744, 0.189),
)
# elsewhere by the matrix library, and whether it has kernels for small matrices (see
# rules.products), which make "im2col" and "dft" faster; MKL is the faster one where matrices are
# many and small
SMALL = Rates(
    im2col=(43_500, 0.304, 0.0702, 0.668),
    dft=(213_000, 0.0432, 0.0434, 0.169, 0.0813),
    tiles=(144_000, 1.23, 0.0687, 0.241),
)
RATES = {
    "openblas": Rates(
        im2col=(62_100, 0.921, 0.0428, 0.966),
        dft=(39_100, 0.0414, 0.0555, 0.0995, 0.0740),
        tiles=(225_000, 1.06, 0.0633, 0.314),
    ),
    "mkl": Rates(
        im2col=(59_200, 0.521, 0.0507, 0.502),
        dft=(158_000, 0.0306, 0.0174, 0.965, 0.0491),
        tiles=(213_000, 1.83, 0.0504, 0.365),
    ),
}


@functools.lru_cache(maxsize=1024)
def fastest(plan: Plan, n: int, c: int, o: int, dtype: Any) -> str:
    """The method with the lowest estimate, for n images, c channels and o kernels.

    "dft" is left out where it would compute in more memory than is kept from call to call.
    """
    by_frequency: Any = fourier
    if loops.fit(plan, n, c, o, dtype):
        rates, by_frequency = BY_LOOPS, compiled_fourier
    elif has_small_kernels():
        rates = SMALL
    else:
        rates = RATES.get(threads.library()[0], RATES["openblas"])
    found = {
        "im2col": _time(rates.im2col, *_im2col(plan, n, c, o)),
        "dft": _time(rates.dft, *_dft(plan, n, c, o)),
    }
    if found["dft"] < found["im2col"]:
        parts = by_frequency.parts(plan, n, c, o, dtype)
        found["dft"] = _time(rates.dft, *_dft(plan, n, c, o, len(parts)))
        if by_frequency.workspace(plan, parts[0].stop, c, o, dtype) > memory.KEPT:
            del found["dft"]
    if toom_cook.takes(plan):
        found["tiles"] = _time(rates.tiles, *_tiles(plan, n, c, o))
    return min(found, key=found.__getitem__)


def _time(rates: tuple[float, ...], *numbers: float) -> float:
    """Of a call, whose rate comes first, and of so much of each kind of work."""
    return rates[0] + sum(map(operator.mul, rates[1:], numbers))


def _im2col(plan: Plan, n: int, c: int, o: int) -> tuple[float, ...]:
    """Pixels that are copied, multiplications, and weights."""
    copied = n * math.prod(plan.out) * math.prod(plan.kernel) * c
    return copied, copied * o, math.prod(plan.kernel) * c * o


def _dft(plan: Plan, n: int, c: int, o: int, parts: int = 1) -> tuple[float, ...]:
    """Multiplications to transform images and kernels, numbers of kernels, and multiplications."""
    high, wide = frequencies.sizes(plan)

    def transform(size: Pair) -> int:  # multiplications for one channel of one image
        return high * size[1] * (size[0] + 3 * wide)

    images = 2 * n * (transform(plan.image) * c + transform(plan.out) * o)
    kernels = parts * 3 * transform(plan.kernel) * c * o
    numbers = parts * frequencies.rank(plan) * c * o
    return images, kernels, numbers, frequencies.rank(plan) * n * c * o


def _tiles(plan: Plan, n: int, c: int, o: int) -> tuple[float, ...]:
    """Numbers of images at points, multiplications, and those that take kernels to points."""
    numbers = toom_cook.rank(plan) * n
    return numbers * (c + o), numbers * c * o, toom_cook.of_kernel(plan) * c * o
