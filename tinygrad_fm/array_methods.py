"""The methods and attributes of ndarray on a Tensor: each is the NumPy function of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

from tinygrad_fm.engine import state
from tinygrad_fm.rules.elementwise import astype

if TYPE_CHECKING:
    from tinygrad_fm.tensor import Tensor


np: Any = numpy  # its stubs do not know that functions dispatch on their argument


class ArrayMethods:
    """ndarray's interface; NumPy documents what the functions of the same names take and return."""

    __slots__ = ()
    _array: Any
    _node: Any

    def __setitem__(self, index: Any, value: Any) -> None:
        raise NotImplementedError

    def _has_left(self, how: str) -> None:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self._array.strides

    @property
    def flags(self) -> Any:
        """NumPy's flags of the array: order, ownership, writeability."""
        return self._array.flags

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The transpose, all axes reversed."""
        return np.transpose(self)

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """The matrix transpose, the last two axes swapped.

        Raises:
            ValueError: fewer than two axes.
        """
        if self.ndim < 2:
            raise ValueError(f"mT needs two axes or more, not shape {self.shape}")
        return np.swapaxes(self, -1, -2)

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        if state.mode.trace is not None:
            state.mode.trace.left(self, "t.tolist()")
        if self._node is not None and state.mode.transforms:
            self._has_left("t.tolist()")
        return self._array.tolist()

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: str = "unsafe",
        subok: bool = True,
        copy: bool = True,
    ) -> Tensor:
        """Converted to another dtype; a gradient comes back in the old one.

        Raises:
            TypeError: `casting` forbids it.
        """
        if not np.can_cast(self.dtype, dtype, casting):
            raise TypeError(
                f"cannot cast {self.dtype} to {np.dtype(dtype)} by the rule {casting!r}"
            )
        if not copy and self.dtype == dtype:
            return self  # type: ignore[return-value]
        return astype(self, np.dtype(dtype))

    def copy(self, order: str = "K") -> Tensor:
        """A copy in memory of its own, still part of the graph."""
        return np.copy(self, order=order)

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        """The same elements in another shape; one length may be -1."""
        if len(shape) == 1 and not isinstance(shape[0], int):
            shape = tuple(shape[0])
        return np.reshape(self, shape, order=order)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order; reversed where none is given."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return np.transpose(self, order or None)

    def flatten(self, order: str = "C") -> Tensor:
        """A copy with one axis."""
        return self.reshape(-1, order=order).copy()

    def ravel(self, order: str = "C") -> Tensor:
        """The elements along one axis, without a copy where possible."""
        return self.reshape(-1, order=order)

    def dot(self, other: Any) -> Tensor:
        """np.dot with another array."""
        return np.dot(self, other)

    def sum(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        **others: Any,
    ) -> Tensor:
        """Sum along axes."""
        return np.sum(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims, **others)

    def mean(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        **others: Any,
    ) -> Tensor:
        """Mean along axes."""
        return np.mean(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims, **others)

    def prod(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        **others: Any,
    ) -> Tensor:
        """Product along axes."""
        return np.prod(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims, **others)

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        **others: Any,
    ) -> Tensor:
        """Variance along axes."""
        return np.var(self, axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims, **others)

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        **others: Any,
    ) -> Tensor:
        """Standard deviation along axes."""
        return np.std(self, axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims, **others)

    def max(
        self, axis: Any = None, out: Any = None, keepdims: bool = False, **others: Any
    ) -> Tensor:
        """Largest element along axes."""
        return np.max(self, axis=axis, out=out, keepdims=keepdims, **others)

    def min(
        self, axis: Any = None, out: Any = None, keepdims: bool = False, **others: Any
    ) -> Tensor:
        """Smallest element along axes."""
        return np.min(self, axis=axis, out=out, keepdims=keepdims, **others)

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
        """Running sum along an axis."""
        return np.cumsum(self, axis=axis, dtype=dtype, out=out)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
        """Running product along an axis."""
        return np.cumprod(self, axis=axis, dtype=dtype, out=out)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
        """Sum along a diagonal."""
        return np.trace(self, offset, axis1, axis2, dtype=dtype)

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Tensor:
        """Index of the largest element along an axis."""
        return np.argmax(self, axis=axis, out=out, keepdims=keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Tensor:
        """Index of the smallest element along an axis."""
        return np.argmin(self, axis=axis, out=out, keepdims=keepdims)

    def argsort(self, axis: Any = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
        """Indices that would sort along an axis."""
        return np.argsort(self, axis=axis, kind=kind, stable=stable)

    def argpartition(self, kth: Any, axis: Any = -1) -> Tensor:
        """Indices that would partition along an axis."""
        return np.argpartition(self, kth, axis=axis)

    def searchsorted(self, v: Any, side: str = "left") -> Tensor:
        """Where the elements of `v` belong in this sorted sequence."""
        return np.searchsorted(self, v, side=side)

    def nonzero(self) -> Any:
        """The indices of the elements that are not 0, as plain arrays."""
        return np.nonzero(self)

    def all(
        self, axis: Any = None, out: Any = None, keepdims: bool = False, **others: Any
    ) -> Tensor:
        """Whether all elements are true, along axes."""
        return np.all(self, axis=axis, out=out, keepdims=keepdims, **others)

    def any(
        self, axis: Any = None, out: Any = None, keepdims: bool = False, **others: Any
    ) -> Tensor:
        """Whether any element is true, along axes."""
        return np.any(self, axis=axis, out=out, keepdims=keepdims, **others)

    def round(self, decimals: int = 0, out: Any = None) -> Tensor:
        """Rounded; recorded without gradient."""
        return np.round(self, decimals=decimals, out=out)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Tensor:
        """Limited to an interval; the gradient passes inside, edges included."""
        return np.clip(self, min, max, out=out)

    def squeeze(self, axis: Any = None) -> Tensor:
        """Without axes of length 1."""
        return np.squeeze(self, axis=axis)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return np.swapaxes(self, axis1, axis2)

    def repeat(self, repeats: Any, axis: Any = None) -> Tensor:
        """Each element several times."""
        return np.repeat(self, repeats, axis=axis)

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Tensor:
        """Elements at the indices along an axis."""
        return np.take(self, indices, axis=axis, out=out, mode=mode)

    def compress(self, condition: Any, axis: Any = None) -> Tensor:
        """Elements, or slices along an axis, where the condition holds."""
        return np.compress(condition, self, axis=axis)

    def choose(self, choices: Any, mode: str = "raise") -> Tensor:
        """For each of these numbers an element of the choice of that number."""
        return np.choose(self, choices, mode=mode)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """The elements on a diagonal."""
        return np.diagonal(self, offset, axis1, axis2)

    @property
    def real(self) -> Tensor:
        """The real part: of real numbers themselves."""
        return np.real(self)

    @property
    def imag(self) -> Tensor:
        """The imaginary part: of real numbers 0."""
        return np.imag(self)

    def conj(self) -> Tensor:
        """The complex conjugate: of real numbers themselves."""
        return np.conjugate(self)

    conjugate = conj

    @property
    def flat(self) -> Tensor:
        """The elements along one axis, to read."""
        return self.reshape(-1)

    # ---- in place, as ndarray's: the Tensor is bound to the result ------------------------------

    def sort(self, axis: int = -1, kind: Any = None, *, stable: Any = None) -> None:
        """Sort in place along an axis; `np.sort(t)` gives a sorted copy."""
        self[...] = np.sort(self, axis=axis, kind=kind, stable=stable)

    def partition(self, kth: Any, axis: int = -1) -> None:
        """Partition in place along an axis; `np.partition(t, kth)` gives a copy."""
        self[...] = np.partition(self, kth, axis=axis)

    def fill(self, value: Any) -> None:
        """Set every element to a number."""
        self[...] = value

    def put(self, indices: Any, values: Any) -> None:
        """Set the elements at places counted in reading order."""
        np.put(self, indices, values)
