"""Which way a convolution is computed: the one that takes least time by the sizes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.rules import fourier, toom_cook
from tinygrad_fm.rules.plan import Plan
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
    if method == "im2col" or not n:
        return plan._replace(method="im2col")
    given = [a._array if isinstance(a, Tensor) else a for a in (x, weight, bias) if a is not None]
    reason = why_not(plan, "tiles" if method == "tiles" else "dft", given)
    if method != "auto":
        if reason:
            raise ValueError(
                f"method={method!r} {reason}; write method='auto', or 'im2col', which takes all"
            )
        return plan
    return plan._replace(method="im2col" if reason else fastest(plan, n, c, o))


def why_not(plan: Plan, method: str, arrays: list[Any]) -> str:
    """Why "dft" or "tiles" does not apply; empty where it does."""
    dtypes = {str(getattr(a, "dtype", "none")) for a in arrays}
    if not all(type(a) is np.ndarray for a in arrays):
        return "takes NumPy arrays"
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        return f"takes float32 or float64 throughout, not {' and '.join(sorted(dtypes))}"
    if plan.stride != (1, 1) or plan.groups != 1:
        return f"takes stride 1 and one group, not stride {plan.stride} and {plan.groups} groups"
    if method == "tiles" and (plan.kernel != (3, 3) or plan.dilation != (1, 1)):
        return f"takes kernels of 3 by 3 without dilation, not {plan.kernel}, {plan.dilation}"
    return ""


# ---- estimates -----------------------------------------------------------------------------------

# Times of forward and backward together, in those of a multiplication and addition in a large
# matrix product: fitted to what was measured (benchmarks/convolution.py), one thread, float32.
COPY = 8.0  # one number of a window
TRANSFORM = 2.0  # one multiplication and addition in a transform


@functools.lru_cache(maxsize=1024)
def fastest(plan: Plan, n: int, c: int, o: int) -> str:
    """The method with the lowest estimate, for n images, c channels and o kernels."""
    found = {"im2col": _im2col(plan, n, c, o), "dft": _dft(plan, n, c, o)}
    if plan.kernel == (3, 3) and plan.dilation == (1, 1):
        found["tiles"] = _tiles(plan, n, c, o)
    return min(found, key=found.__getitem__)


def _im2col(plan: Plan, n: int, c: int, o: int) -> float:
    windows = n * math.prod(plan.out) * math.prod(plan.kernel) * c
    return 3 * windows * (o + COPY)


def _dft(plan: Plan, n: int, c: int, o: int) -> float:
    high, wide = fourier.sizes(plan)
    per_column: Callable[..., float] = lambda h, w: high * h * w + 3 * wide * high * w
    of_pixels = per_column(*plan.image) * n * c + per_column(*plan.out) * n * o
    of_kernels = per_column(*plan.kernel) * c * o
    return 3 * fourier.rank(plan) * n * c * o + TRANSFORM * (2 * of_pixels + 3 * of_kernels)


def _tiles(plan: Plan, n: int, c: int, o: int) -> float:
    count = math.prod(toom_cook.tiles(plan))
    return 3 * toom_cook.rank(plan) * n * c * o + TRANSFORM * count * 500 * n * (c + o)
