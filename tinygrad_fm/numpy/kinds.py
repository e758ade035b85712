"""np.ndarray, of which a Tensor is an instance too."""

from __future__ import annotations

from typing import Any

import numpy

from tinygrad_fm.tensor import Tensor


class _ArrayOrTensor(type):
    """Makes `isinstance(x, np.ndarray)` true of Tensors, and `np.ndarray(shape)` NumPy's own."""

    def __instancecheck__(cls, value: Any) -> bool:
        if cls is not ndarray:
            return type.__instancecheck__(cls, value)
        return isinstance(value, (numpy.ndarray, Tensor))

    def __subclasscheck__(cls, kind: type) -> bool:
        if cls is not ndarray:
            return type.__subclasscheck__(cls, kind)
        return issubclass(kind, (numpy.ndarray, Tensor))

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        if cls is not ndarray:
            return type.__call__(cls, *args, **keywords)
        return numpy.ndarray(*args, **keywords)


class ndarray(numpy.ndarray, metaclass=_ArrayOrTensor):  # noqa: N801
    """NumPy's ndarray; a Tensor is an instance of it as well."""
