"""Looking at arrays: whether they are finite, and how to describe them in a line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_fm.engine import Node
from tinygrad_fm.tensor import Tensor


def plain(value: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return value.data if isinstance(value, Tensor) else value


def flat(values: Any) -> Iterator[Any]:
    """The arguments of an operation, those in lists and tuples too."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from flat(value)
        else:
            yield plain(value)


def all_finite(value: Any) -> bool:
    """Whether an array (or number) holds neither NaN nor infinity; True for what is no float."""
    if isinstance(value, float):
        return math.isfinite(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind not in ("f", "c") or isinstance(value, Node) or bool(np.isfinite(value).all())


def has_nan(value: Any) -> bool:
    """Whether an array (or number) of floats holds a NaN."""
    return not all_finite(value) and bool(np.isnan(value).any())


def first_bad(array: Any) -> tuple[int, ...]:
    """The index of the first NaN or infinity in an array that has one."""
    place = np.unravel_index(int(np.argmax(~np.isfinite(array))), np.shape(array))
    return tuple(int(i) for i in place)


def describe_nonfinite(array: Any) -> str:
    """The first bad value, its index, and how many there are: `nan at [0, 4], 12 of 320 values`."""
    array = np.asarray(array)
    if array.ndim == 0:
        return f"{array[()]}"
    index, count = first_bad(array), int(np.sum(~np.isfinite(array)))
    return f"{array[index]} at {list(index)}, {count:,} of {array.size:,} values"


def describe(value: Any) -> str:
    """An array's dtype, shape and range: `float32 (32, 10), -2.31 to 1.9`."""
    if isinstance(value, Node):
        return f"{value.dtype} {value.shape}, values not kept"
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        return f"{value!r:.60}"
    text = f"{value.dtype} {value.shape}"
    if not value.size or value.dtype.kind not in "fiub":
        return text
    if not all_finite(value):
        return f"{text}, {describe_nonfinite(value)}"
    if value.size == 1:
        return f"{text}, {value.item():.6g}"
    return f"{text}, {value.min():.6g} to {value.max():.6g}"


def largest(value: Any) -> float:
    """The largest finite magnitude in an array of floats; 0 for anything else."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind != "f" or isinstance(value, Node) or not value.size:
        return 0.0
    return float(np.max(np.abs(value), where=np.isfinite(value), initial=0))
