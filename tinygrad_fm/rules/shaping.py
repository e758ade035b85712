"""The calculus of moving elements around: each function's gradient moves them back."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_fm.engine import defvjp, primitive, rewrite, sum_to
from tinygrad_fm.rules.indexing import getitem

reshape = defvjp(
    np.reshape,
    lambda g, _y, _x, _shape, order="C": np.reshape(g, _x.shape, order=order),
)
defvjp(
    np.transpose,
    lambda g, _y, _x, axes=None: np.transpose(
        g, None if axes is None else sorted(range(_x.ndim), key=lambda i: axes[i] % _x.ndim)
    ),
)
defvjp(np.swapaxes, lambda g, _y, _x, _a, _b: np.swapaxes(g, _a, _b))
defvjp(
    np.moveaxis,
    lambda g, _y, _x, _source, _destination: np.moveaxis(g, _destination, _source),
)
defvjp(np.squeeze, lambda g, _y, _x, axis=None: np.reshape(g, _x.shape))
defvjp(np.expand_dims, lambda g, _y, _x, _axis: np.reshape(g, _x.shape))
defvjp(np.broadcast_to, lambda g, _y, _x, _shape: sum_to(g, _x.shape))
defvjp(np.flip, lambda g, _y, _x, axis=None: np.flip(g, axis=axis))
defvjp(
    np.roll,
    lambda g, _y, _x, _shift, axis=None: np.roll(g, _negated(_shift), axis=axis),
)


def _reshape(a: Any, /, shape: Any, order: str = "C") -> Any:
    if order not in ("C", "F"):
        raise TypeError(
            f"the derivative of reshape and ravel does not know order={order!r}, which depends on "
            "where the elements lie in memory; write order='C' or 'F'"
        )
    return reshape(a, shape) if order == "C" else reshape(a, shape, order=order)


rewrite(np.reshape, _reshape)
rewrite(np.ravel, lambda a, order="C": np.reshape(a, (-1,), order=order))


def _negated(shift: Any) -> Any:
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift


# joining and cutting


def _parts(g: Any, arrays: Sequence[Any], axis: int) -> tuple[Any, ...]:
    """The pieces of `g` that came from each array."""
    along = axis % g.ndim
    ends = list(itertools.accumulate(a.shape[along] for a in arrays))
    before = (slice(None),) * along
    return tuple(
        g[(*before, slice(end - a.shape[along], end))] for a, end in zip(arrays, ends, strict=True)
    )


concatenate = primitive(
    lambda *arrays, axis=0: np.concatenate(arrays, axis=axis),
    joint=lambda g, _y, *_arrays, axis=0: _parts(g, _arrays, axis),
    name="concatenate",
)


def _concatenate(
    arrays: Sequence[Any], axis: int | None = 0, *, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    parts = [a if hasattr(a, "shape") else np.asarray(a) for a in arrays]
    if axis is None:
        parts, axis = [np.reshape(a, (-1,)) for a in parts], 0
    if dtype is not None:
        for part in parts:
            if not np.can_cast(part.dtype, dtype, casting):
                raise TypeError(f"cannot join {part.dtype} into {dtype} by the rule {casting!r}")
        parts = [part.astype(dtype) for part in parts]
    return concatenate(*parts, axis=axis)


def _stack(
    arrays: Sequence[Any], axis: int = 0, *, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    shapes = {np.shape(a) for a in arrays}
    if len(shapes) > 1:
        raise ValueError(f"stack joins arrays of one shape, not of {sorted(shapes)}")
    apart = [np.expand_dims(a, axis) for a in arrays]
    return _concatenate(apart, axis, dtype=dtype, casting=casting)


rewrite(np.concatenate, _concatenate)
rewrite(np.stack, _stack)

defvjp(
    np.split,
    lambda g, _y, _x, _sections, axis=0: np.concatenate(g, axis=axis),
    multiple=True,
)

# repeating


def _repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    if axis is None:
        a, axis = np.reshape(a, (-1,)), 0
    source = np.repeat(np.arange(a.shape[axis]), repeats)
    return getitem(a, *(slice(None),) * (axis % a.ndim), source)


def _tile(A: Any, reps: Any) -> Any:
    reps = (reps,) if np.ndim(reps) == 0 else tuple(reps)
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    apart = np.reshape(A, [n for size in shape for n in (1, size)])
    repeated = np.broadcast_to(
        apart, [n for rep, size in zip(reps, shape, strict=True) for n in (rep, size)]
    )
    return np.reshape(repeated, [rep * size for rep, size in zip(reps, shape, strict=True)])


rewrite(np.repeat, _repeat)
rewrite(np.tile, _tile)

# padding


def _inside(width: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where an array of `shape` lies after padding."""
    return tuple(slice(before, before + n) for (before, _), n in zip(width, shape, strict=True))


def _pad_constant(x: Any, width: Sequence[tuple[int, int]], value: Any) -> Any:
    """np.pad, but in the memory order of x, which np.pad does not keep."""
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, width, strict=True))
    padded = np.full_like(x, value, shape=shape)
    padded[_inside(width, x.shape)] = x
    return padded


pad_constant = primitive(
    _pad_constant,
    lambda g, _y, _x, _width, _value: g[_inside(_width, _x.shape)],
    name="pad",
)
_PAD_BY_INDEX = ("edge", "reflect", "symmetric", "wrap")


def _pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Any:
    """Constants are put around; the other modes repeat elements, so they are an indexing."""
    if isinstance(pad_width, dict):
        pairs = [(0, 0)] * array.ndim
        for axis, width in pad_width.items():
            pairs[axis] = (width, width) if isinstance(width, int) else tuple(width)
    else:
        pairs = [tuple(p) for p in np.broadcast_to(pad_width, (array.ndim, 2)).tolist()]
    if mode == "constant":
        value = options.pop("constant_values", 0)
        if not options and np.ndim(value) == 0:
            return pad_constant(array, tuple(pairs), value)
    elif mode in _PAD_BY_INDEX and not options:
        for axis, pair in enumerate(pairs):
            if pair != (0, 0):
                source = np.pad(np.arange(array.shape[axis]), pair, mode=mode)  # type: ignore[call-overload]
                array = getitem(array, *(slice(None),) * axis, source)
        return array
    raise TypeError(
        f"np.pad of a Tensor knows mode='constant' with one value and {_PAD_BY_INDEX}, "
        f"not mode={mode!r} with {options}"
    )


rewrite(np.pad, _pad)
