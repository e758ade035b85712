"""The calculus of order: sorting moves gradients along, and quantiles lie between sorted elements.

Kinks: of equal elements, the one that stands first is sorted first, and a quantile that falls on
one of several equal elements gives the gradient to the places that it is interpolated between.
"""

import math
from typing import Any

import numpy as np

from tinygrad_fm.engine import constant, primitive, rewrite
from tinygrad_fm.rules.reductions import Axis, kept, rows_along


def _sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    if axis is None:
        a, axis = np.reshape(a, (-1,)), 0
    order = np.argsort(a, axis=axis, kind="stable")  # the same on every machine
    return np.take_along_axis(a, order, axis=axis)


def _partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect") -> Any:
    if axis is None:
        a, axis = np.reshape(a, (-1,)), 0
    return np.take_along_axis(a, np.argpartition(a, kth, axis=axis), axis=axis)


rewrite(np.sort, _sort)
rewrite(np.partition, _partition)
rewrite(
    np.ptp,
    lambda a, axis=None, *, keepdims=False: (
        np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)
    ),
)


def _quantile(
    a: Any, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    """Between two neighbours of the sorted elements; `q` has no derivative."""
    ordered = np.sort(rows_along(a, axis), axis=-1)
    count = ordered.shape[-1]
    # in the numbers 0, 1, 2, ... a quantile is its own place, whatever the method
    places = np.quantile(np.arange(float(count)), np.asarray(q), method=method)  # type: ignore[call-overload]
    results = [
        kept(_with_nan(_between(ordered, float(v)), ordered), a, axis, False)
        for v in np.ravel(places)
    ]
    shape = np.shape(places) + _reduced_shape(a, axis, keepdims)
    return _as_numpy(np.reshape(np.stack(results), shape), q, method)


def _as_numpy(found: Any, q: Any, method: str) -> Any:
    """In the dtype that NumPy gives, which depends on the form of q."""
    dtype = np.quantile(np.zeros(1, found.dtype), q, method=method).dtype  # type: ignore[call-overload]
    return found if found.dtype == dtype else found.astype(dtype)


def _between(ordered: Any, place: float) -> Any:
    """The sorted elements at a place, which may lie between two of them."""
    low = min(math.floor(place), ordered.shape[-1] - 1)
    share = place - low
    if share == 0:
        return ordered[..., low]
    return ordered[..., low] + share * (ordered[..., low + 1] - ordered[..., low])


def _with_nan(value: Any, ordered: Any) -> Any:
    """NaN where one of the elements is; sorted, it is the last."""
    return np.where(np.isnan(ordered[..., -1]), math.nan, value)


def _reduced_shape(a: Any, axis: Axis, keepdims: bool) -> tuple[int, ...]:
    gone = range(a.ndim) if axis is None else {i % a.ndim for i in np.atleast_1d(axis)}
    return tuple(1 if i in gone else n for i, n in enumerate(a.shape) if keepdims or i not in gone)


def _nanquantile(
    a: Any, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    """The same of the elements that are not NaN, of which each row has a number of its own."""
    if method != "linear":
        raise TypeError(
            f"the derivative of np.nanquantile does not know method={method!r}; write 'linear', or "
            "call np.quantile on an array without NaN"
        )
    ordered = np.sort(rows_along(a, axis), axis=-1)
    last = np.sum(~np.isnan(ordered), axis=-1, keepdims=True, dtype=ordered.dtype) - 1
    results = []
    for share in np.ravel(np.asarray(q)).tolist():
        place = np.clip(share * last, 0, None)
        low = np.floor(place)
        high = np.clip(low + 1, None, np.clip(last, 0, None))
        at_low, at_high = (
            np.take_along_axis(ordered, i.astype(np.int64), axis=-1) for i in (low, high)
        )
        results.append(at_low + (place - low) * (at_high - at_low))
    shape = np.shape(q) + _reduced_shape(a, axis, keepdims)
    return _as_numpy(np.reshape(np.stack(results), shape), q, method)


# a Python number remains one: it leaves float32 alone
_hundredth: Any = lambda q: q / 100 if isinstance(q, (int, float)) else np.asarray(q) / 100
rewrite(np.quantile, _quantile)
rewrite(np.nanquantile, _nanquantile)
rewrite(
    np.percentile,
    lambda a, q, axis=None, *, method="linear", keepdims=False: _quantile(
        a, _hundredth(q), axis, method=method, keepdims=keepdims
    ),
)
rewrite(
    np.nanpercentile,
    lambda a, q, axis=None, *, method="linear", keepdims=False: _nanquantile(
        a, _hundredth(q), axis, method=method, keepdims=keepdims
    ),
)
rewrite(
    np.median,
    lambda a, axis=None, *, overwrite_input=False, keepdims=False: _quantile(
        a, 0.5, axis, keepdims=keepdims
    ),
)
rewrite(
    np.nanmedian,
    lambda a, axis=None, *, overwrite_input=False, keepdims=False: _nanquantile(
        a, 0.5, axis, keepdims=keepdims
    ),
)

# recorded, but constant
lexsort = primitive(lambda keys, axis=-1: np.lexsort(keys, axis), name="lexsort")
rewrite(
    np.lexsort,
    lambda keys, axis=-1: lexsort(
        np.stack(keys) if isinstance(keys, (list, tuple)) else keys, axis=axis
    ),
)
constant(np.argpartition, np.digitize, np.nanargmax, np.nanargmin)
