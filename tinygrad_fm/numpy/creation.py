"""Functions that create arrays: Tensors of floats inside a trace, plain arrays elsewhere."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from tinygrad_fm.engine import state
from tinygrad_fm.numpy.lists import is_tensor, join
from tinygrad_fm.recorded import make

np: Any = numpy  # its stubs do not know that functions dispatch on their argument


@contextmanager
def tracing() -> Iterator[None]:
    """Have functions that create arrays give Tensors of floats, in this thread.

    `tg.grad`, the other transforms and the calls of modules do so by themselves.
    """
    mode = state.mode
    mode.traces += 1
    try:
        yield
    finally:
        mode.traces -= 1


def is_traced() -> bool:
    """Whether a transform, the call of a module or a `tracing()` block is under way."""
    mode = state.mode
    return mode.traces > 0 or mode.transforms > 0 or mode.scope is not None


def _as_tensors(found: Any, every: bool = False) -> Any:
    """Arrays of floats (of numbers, if `every`) as Tensors; what is in a list or tuple too."""
    if isinstance(found, (list, tuple)):
        return type(found)(_as_tensors(part, every) for part in found)
    if type(found) is numpy.ndarray and found.dtype.kind in ("fiub" if every else "f"):
        return make(found, None)
    return found


# ---- with Tensors among the arguments: nothing of NumPy's takes part ----------------------------


def _array(
    object: Any,
    dtype: Any = None,
    *,
    copy: Any = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    like: Any = None,
) -> Any:
    """np.array of a Tensor, or of lists that hold Tensors."""
    made = join(object)
    if dtype is not None and np.dtype(dtype) != made.dtype:
        if np.dtype(dtype).kind not in "fiubc":
            raise TypeError(
                f"an array of dtype {np.dtype(dtype)} cannot hold Tensors without losing their "
                "graph; keep them in a list, or leave dtype out to join them"
            )
        made = made.astype(dtype)
    elif copy and made is object:
        made = np.copy(made)
    return made if made.ndim >= ndmin else np.reshape(made, (1,) * (ndmin - made.ndim) + made.shape)


def _asarray(a: Any, dtype: Any = None, order: Any = None, **keywords: Any) -> Any:
    return _array(a, dtype, copy=keywords.get("copy"))


def _copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    return _array(a)


def _asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    made = _array(a, dtype, copy=False)
    if not numpy.isfinite(made.data).all():
        raise ValueError("array must not contain infs or NaNs")
    return made


def _require(a: Any, dtype: Any = None, requirements: Any = None, *, like: Any = None) -> Any:
    return _array(a, dtype, copy=False)


def _full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", **keywords: Any) -> Any:
    """np.full with a Tensor as the value."""
    filled = np.copy(np.broadcast_to(join(fill_value), shape))
    return filled if dtype is None else _array(filled, dtype, copy=False)


def _full_like(a: Any, fill_value: Any, dtype: Any = None, *args: Any, **keywords: Any) -> Any:
    a = join(a)
    shape = keywords.get("shape")
    return _full(a.shape if shape is None else shape, fill_value, dtype or a.dtype)


def _fromiter(iter: Any, dtype: Any = None, count: int = -1, *, like: Any = None) -> Any:
    return _array(iter, dtype)


def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **keywords: Any,
) -> Any:
    """np.linspace between Tensors."""
    start, stop = join(start), join(stop)
    kind = np.result_type(start, stop, 0.0)
    steps = num - 1 if endpoint else num
    span = stop - start
    fractions = np.arange(num, dtype=kind) / max(steps, 1)
    fractions = np.reshape(fractions, (num,) + (1,) * span.ndim)
    points = start + fractions * span
    if axis:
        points = np.moveaxis(points, 0, axis)
    if dtype is not None:
        points = _array(points, dtype, copy=False)
    return (points, span / steps if steps else span * np.nan) if retstep else points


_OF_NUMBERS = """arange bartlett blackman empty empty_like eye fromfunction geomspace hamming
    hanning identity kaiser logspace meshgrid ones ones_like tri vander zeros zeros_like"""

# function that creates arrays -> the same where a Tensor is among its arguments; None: NumPy's own
CREATION: dict[str, Callable[..., Any] | None] = {
    "array": _array,
    "asanyarray": _asarray,
    "asarray": _asarray,
    "asarray_chkfinite": _asarray_chkfinite,
    "ascontiguousarray": functools.partial(_array, copy=False, ndmin=1),
    "asfortranarray": functools.partial(_array, copy=False, ndmin=1),
    "copy": _copy,
    "fromiter": _fromiter,
    "full": _full,
    "full_like": _full_like,
    "linspace": _linspace,
    "require": _require,
    **dict.fromkeys(_OF_NUMBERS.split()),
}


class _Creating:
    """A function of NumPy's that creates arrays; here it creates Tensors where they are wanted.

    `numpy` is the function itself; `always` makes Tensors also where nothing is traced, of integers
    as well.
    """

    def __init__(self, function: Callable[..., Any], always: bool):
        functools.update_wrapper(self, function)
        self.numpy = function
        self._always = always
        self._of_tensors = CREATION[function.__name__]

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """What NumPy's function creates, as a Tensor where one is wanted."""
        if self._of_tensors is _fromiter and args:  # an iterator can be looked at only once
            count = args[2] if len(args) > 2 else keywords.get("count", -1)
            args = (list(itertools.islice(args[0], None if count < 0 else count)), *args[1:])
        joined = tuple([join(a) for a in args])
        named = {name: join(value) for name, value in keywords.items()} if keywords else keywords
        values = (*joined, *named.values()) if named else joined
        if self._of_tensors is not None and any(map(is_tensor, values)):
            return self._of_tensors(*joined, **named)
        found = self.numpy(*joined, **named)
        if self._always or is_traced():
            return _as_tensors(found, self._always)
        return found

    def __eq__(self, other: Any) -> bool:
        return self.numpy is getattr(other, "numpy", other)

    def __hash__(self) -> int:
        return hash(self.numpy)

    def __repr__(self) -> str:
        return repr(self.numpy)

    def __reduce__(self) -> Any:
        return creating, (self.numpy, self._always)


@functools.cache
def creating(function: Callable[..., Any], always: bool) -> Any:
    """The function, which creates Tensors in a trace, or always."""
    return _Creating(function, always)
