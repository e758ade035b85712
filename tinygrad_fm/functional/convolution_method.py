"""Which way a convolution is computed: the one that takes least time by the sizes."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_fm.rules import fourier, toom_cook
from tinygrad_fm.rules.plan import Pair, Plan
from tinygrad_fm.rules.workspace import KEPT
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
    if method == "tiles" and (plan.kernel != (3, 3) or plan.dilation != (1, 1)):
        return f"takes kernels of 3 by 3 without dilation, not {plan.kernel}, {plan.dilation}"
    return ""


# ---- estimates -----------------------------------------------------------------------------------

# Nanoseconds for forward and backward, fitted to the times of 47 shapes (benchmarks/convolution.py,
# and batches of 4) in float32 on one thread, to within 30%. What counts is how they compare.


@functools.lru_cache(maxsize=1024)
def fastest(plan: Plan, n: int, c: int, o: int, dtype: Any) -> str:
    """The method with the lowest estimate, for n images, c channels and o kernels.

    "dft" is left out where it would compute in more memory than is kept from call to call.
    """
    found = {"im2col": _im2col(plan, n, c, o), "dft": _dft(plan, n, c, o)}
    if found["dft"] < found["im2col"]:
        parts = fourier.parts(plan, n, c, o, dtype)
        found["dft"] = _dft(plan, n, c, o, len(parts))
        if fourier.workspace(plan, parts[0].stop, c, o, dtype) > KEPT:
            del found["dft"]
    if plan.kernel == (3, 3) and plan.dilation == (1, 1):
        found["tiles"] = _tiles(plan, n, c, o)
    return min(found, key=found.__getitem__)


def _im2col(plan: Plan, n: int, c: int, o: int) -> float:
    copied = n * math.prod(plan.out) * math.prod(plan.kernel) * c
    weights = math.prod(plan.kernel) * c * o
    return 26_000 + 1.1 * copied + 0.048 * copied * o + 0.6 * weights


def _dft(plan: Plan, n: int, c: int, o: int, parts: int = 1) -> float:
    high, wide = fourier.sizes(plan)

    def transform(size: Pair) -> int:  # multiplications for one channel of one image
        return high * size[1] * (size[0] + 3 * wide)

    images = 2 * n * (transform(plan.image) * c + transform(plan.out) * o)
    kernels = parts * 3 * transform(plan.kernel) * c * o
    return 0.0385 * images + 0.076 * kernels + 0.079 * fourier.rank(plan) * n * c * o


def _tiles(plan: Plan, n: int, c: int, o: int) -> float:
    numbers = toom_cook.rank(plan) * n
    return 120_000 + numbers * (1.47 * (c + o) + 0.0744 * c * o) + 34 * c * o
