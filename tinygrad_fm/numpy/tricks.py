"""np.c_ and np.r_, which join what stands between their brackets."""

from __future__ import annotations

from typing import Any

import numpy

from tinygrad_fm.numpy.lists import is_tensor, join

np: Any = numpy


class _Columns:
    """`np.c_[a, b]`: arrays as columns beside one another, Tensors included."""

    def __getitem__(self, key: Any) -> Any:
        parts = _parts(key)
        if parts is None:
            return numpy.c_[key]
        whole = [p if np.ndim(p) > 1 else np.reshape(p, (-1, 1)) for p in parts]
        return np.concatenate(whole, axis=-1)


class _Rows:
    """`np.r_[a, b]`: arrays one after the other along the first axis, Tensors included."""

    def __getitem__(self, key: Any) -> Any:
        parts = _parts(key)
        if parts is None:
            return numpy.r_[key]
        return np.concatenate([p if np.ndim(p) else np.reshape(p, (1,)) for p in parts], axis=0)


def _parts(key: Any) -> list[Any] | None:
    """What is to be joined, slices as numbers; None where no Tensor is among it.

    Raises:
        TypeError: a directive such as "0,2" together with Tensors.
    """
    parts = [join(part) for part in (key if isinstance(key, tuple) else (key,))]
    if not any(is_tensor(part) for part in parts):
        return None
    for part in parts:
        if isinstance(part, str):
            raise TypeError(
                f"np.r_ and np.c_ of Tensors know no directive {part!r}; write np.concatenate, "
                "np.stack or np.column_stack"
            )
    return [
        numpy.r_[p] if isinstance(p, slice) else p if is_tensor(p) else np.asarray(p) for p in parts
    ]


c_ = _Columns()
r_ = _Rows()
