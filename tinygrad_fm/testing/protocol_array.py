"""An array that speaks NumPy's two protocols and nothing else: finds what leaves the dispatch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class ProtocolArray(NDArrayOperatorsMixin):
    """For testing that a function or rule stays inside NumPy's dispatch: an array, but no ndarray.

    It stands for any array library that implements `__array_ufunc__` and `__array_function__`, as
    CuPy does for arrays in GPU memory. A function that works on it works on those:

        x = Tensor(ProtocolArray(np.ones((2, 3))), requires_grad=True)
        np.sum(np.tanh(x)).backward()
        x.grad.data.numpy()

    It refuses conversion by `np.asarray`, `float` and `math.exp`, and operands that are plain
    ndarrays: those were made outside the dispatch, by `np.zeros`, `np.arange`, `np.asarray`. Write
    `np.zeros_like(x)` or a Python number instead. An index may hold plain arrays of integers or
    booleans: like a shape, it describes, and is not data.

    Args:
        values: the elements, an ndarray (whose memory is shared), a number, or nested lists.
    """

    __slots__ = ("_array",)

    def __init__(self, values: Any):
        self._array: np.ndarray[Any, Any] = (
            values._array if isinstance(values, ProtocolArray) else np.asarray(values)
        )

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements as an ndarray, which shares memory."""
        return self._array

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
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

    def astype(self, dtype: Any) -> ProtocolArray:
        """Converted to another dtype."""
        return ProtocolArray(self._array.astype(dtype))

    @property
    def T(self) -> ProtocolArray:  # noqa: N802
        """The transpose, as the array API standard names it."""
        return ProtocolArray(self._array.T)

    def reshape(self, *shape: Any) -> ProtocolArray:
        """The same elements in another shape."""
        return ProtocolArray(self._array.reshape(*shape))

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises:
            ValueError: there are several.
        """
        return self._array.item()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        if method not in ("__call__", "at"):
            raise TypeError(
                f"np.{ufunc.__name__}.{method} does not dispatch to every array library"
            )
        operands = inputs[::2] if method == "at" else inputs  # at(array, index, values)
        for operand in operands:
            if isinstance(operand, np.ndarray):
                raise TypeError(_beside(ufunc, operand))
            if hasattr(operand, "__array_ufunc__") and not isinstance(
                operand, (ProtocolArray, np.generic)
            ):
                return NotImplemented  # a Tensor, which knows what to do
        return _wrap(getattr(ufunc, method)(*_unwrap(inputs), **_unwrap(keywords)))

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        for kind in types:
            if issubclass(kind, np.ndarray):
                raise TypeError(_beside(function, None))
            if not issubclass(kind, ProtocolArray):
                return NotImplemented
        return _wrap(function(*_unwrap(args), **_unwrap(keywords)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError(
            f"a ProtocolArray of shape {self.shape} was converted to an ndarray: this left NumPy's "
            "dispatch (np.asarray, np.array, an assignment into a plain array, or a function that "
            "does not dispatch)"
        )

    def __getitem__(self, index: Any) -> ProtocolArray:
        return ProtocolArray(self._array[_unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise TypeError(_beside("an assignment", value))
        self._array[_unwrap(index)] = _unwrap(value)

    def __len__(self) -> int:
        return len(self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __repr__(self) -> str:
        return f"ProtocolArray({self._array!r})"


def _unwrap(value: Any) -> Any:
    if isinstance(value, ProtocolArray):
        return value._array
    if isinstance(value, (tuple, list)):
        return type(value)(_unwrap(v) for v in value)
    if isinstance(value, dict):
        return {k: _unwrap(v) for k, v in value.items()}
    return value


def _wrap(result: Any) -> Any:
    if isinstance(result, (np.ndarray, np.generic)):
        return ProtocolArray(result)
    if isinstance(result, (tuple, list)):
        parts = [_wrap(part) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def _beside(function: Any, operand: Any) -> str:
    name = function if isinstance(function, str) else f"np.{function.__name__}"
    shape = "" if operand is None else f" of shape {operand.shape}"
    return (
        f"{name} got a plain ndarray{shape} beside a ProtocolArray; it was made outside NumPy's "
        "dispatch (np.zeros, np.ones, np.arange, np.asarray): write np.zeros_like(x) and the like, "
        "a Python number, or pass the array in as a ProtocolArray"
    )
