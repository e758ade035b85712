"""The methods and attributes of ndarray on a Tensor: each is the NumPy function of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm.rules.elementwise import astype

if TYPE_CHECKING:
    from tinygrad_fm.tensor import Tensor


class ArrayMethods:
    """ndarray's interface; what the methods take and return is documented with NumPy's functions."""

    __slots__ = ()
    _data: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._data.size  # type: ignore[no-any-return]

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._data.nbytes  # type: ignore[no-any-return]

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self._data.strides  # type: ignore[no-any-return]

    @property
    def flags(self) -> Any:
        """NumPy's flags of the array: order, ownership, writeability."""
        return self._data.flags

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The transpose, all axes reversed."""
        return np.transpose(self)  # type: ignore[arg-type,return-value]

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """The matrix transpose, the last two axes swapped.

        Raises:
            ValueError: fewer than two axes.
        """
        if self.ndim < 2:
            raise ValueError(f"mT needs two axes or more, not shape {self.shape}")
        return np.swapaxes(self, -1, -2)  # type: ignore[arg-type,return-value]

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._data.tolist()

    def astype(self, dtype: Any) -> Tensor:
        """Converted to another dtype; a gradient comes back in the old one."""
        return astype(self, np.dtype(dtype))  # type: ignore[no-any-return]

    def copy(self, order: str = "K") -> Tensor:
        """A copy in memory of its own, still part of the graph."""
        return np.copy(self, order=order)  # type: ignore[call-overload,no-any-return]

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        """The same elements in another shape; one length may be -1."""
        if len(shape) == 1 and not isinstance(shape[0], int):
            shape = tuple(shape[0])
        return np.reshape(self, shape, order=order)  # type: ignore[call-overload,no-any-return]

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order; reversed where none is given."""
        if len(axes) == 1 and (axes[0] is None or not isinstance(axes[0], int)):
            axes = axes[0]
        return np.transpose(self, axes or None)  # type: ignore[arg-type,return-value]

    def flatten(self, order: str = "C") -> Tensor:
        """A copy with one axis."""
        return self.reshape(-1, order=order).copy()

    def ravel(self, order: str = "C") -> Tensor:
        """The elements along one axis, without a copy where possible."""
        return self.reshape(-1, order=order)

    def dot(self, other: Any) -> Tensor:
        """np.dot with another array."""
        return np.dot(self, other)  # type: ignore[arg-type,return-value]

    def sum(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Tensor:
        """Sum along axes."""
        return np.sum(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)  # type: ignore

    def mean(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Tensor:
        """Mean along axes."""
        return np.mean(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)  # type: ignore

    def prod(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Tensor:
        """Product along axes."""
        return np.prod(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)  # type: ignore

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
    ) -> Tensor:
        """Variance along axes."""
        return np.var(self, axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)  # type: ignore

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
    ) -> Tensor:
        """Standard deviation along axes."""
        return np.std(self, axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)  # type: ignore

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Tensor:
        """Largest element along axes."""
        return np.max(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Tensor:
        """Smallest element along axes."""
        return np.min(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
        """Running sum along an axis."""
        return np.cumsum(self, axis=axis, dtype=dtype, out=out)  # type: ignore

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Tensor:
        """Index of the largest element along an axis."""
        return np.argmax(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Tensor:
        """Index of the smallest element along an axis."""
        return np.argmin(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore

    def argsort(self, axis: Any = -1) -> Tensor:
        """Indices that would sort along an axis."""
        return np.argsort(self, axis=axis)  # type: ignore

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Tensor:
        """Whether all elements are true, along axes."""
        return np.all(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Tensor:
        """Whether any element is true, along axes."""
        return np.any(self, axis=axis, out=out, keepdims=keepdims)  # type: ignore

    def round(self, decimals: int = 0, out: Any = None) -> Tensor:
        """Rounded; recorded without gradient."""
        return np.round(self, decimals=decimals, out=out)  # type: ignore

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Tensor:
        """Limited to an interval; the gradient passes inside, edges included."""
        return np.clip(self, min, max, out=out)  # type: ignore

    def squeeze(self, axis: Any = None) -> Tensor:
        """Without axes of length 1."""
        return np.squeeze(self, axis=axis)  # type: ignore

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return np.swapaxes(self, axis1, axis2)  # type: ignore

    def repeat(self, repeats: Any, axis: Any = None) -> Tensor:
        """Each element several times."""
        return np.repeat(self, repeats, axis=axis)  # type: ignore

    def take(self, indices: Any, axis: Any = None) -> Tensor:
        """Elements at the indices along an axis."""
        return np.take(self, indices, axis=axis)  # type: ignore
