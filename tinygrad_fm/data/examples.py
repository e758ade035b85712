"""Images and labels that batches are taken from: what is checked once, and how rows become (x, y).

`Loader` and `RandomBatches` differ in which rows they choose; all else is here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .prepare import whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Batch = tuple[NDArray[Any], NDArray[Any]]


class Examples:
    """The arrays and what is done to the rows of a batch; see `Loader`, which documents it."""

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        batch_size: int,
        flatten: bool,
        scale: float | None,
        dtype: DTypeLike,
        classes: int | None,
    ) -> None:
        self.images = np.asarray(images)
        self.labels = np.asarray(labels)
        self.batch_size = whole_number(batch_size, f"{self._name}: batch_size", at_least=1)
        self.flatten = flatten
        self.scale = None if scale is None else float(scale)
        if self.scale is not None and not math.isfinite(self.scale):
            raise DataError(f"{self._name}: scale is {scale!r}; expected a finite number")
        self.dtype = np.dtype(dtype)
        self._check()
        if classes is not None:
            self._check_classes(whole_number(classes, f"{self._name}: classes", at_least=1))
        # At most a copy of one number, or one row of targets, for each example.
        self.labels = self.labels.astype(
            self.dtype if self.labels.dtype.kind == "f" else np.int64, order="C", copy=False
        )

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self) -> None:
        images, labels = self.images, self.labels
        if self.dtype.kind != "f":
            raise DataError(
                f"{self._name} got dtype={self.dtype}; expected a floating one, for example "
                "np.float32"
            )
        if images.ndim == 0 or labels.ndim == 0 or not images.size or not labels.size:
            raise DataError(
                f"{self._name} got images of shape {images.shape} and labels of shape "
                f"{labels.shape}; expected (N, ...) and (N,), with at least one example"
            )
        if len(images) != len(labels):
            raise DataError(
                f"{self._name} got {len(images):,} images but {len(labels):,} labels; expected one "
                "label for each image"
            )
        if self.batch_size > len(images):
            raise DataError(
                f"batch_size {self.batch_size:,} is larger than the {len(images):,} examples; "
                f"expected at most {len(images):,}"
            )
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise DataError(
                f"{self._name} got images of {images.dtype}; expected uint8 (0 to 255) or "
                "floating; convert first, for example images.astype(np.float32)"
            )
        if labels.dtype.kind not in "iuf":
            raise DataError(
                f"{self._name} got labels of {labels.dtype}; expected integers (class indices) or "
                "floating numbers (one-hot rows, targets)"
            )
        check_finite(self._name, "images", images, self.dtype)
        check_finite(self._name, "labels", labels, self.dtype)

    def _check_classes(self, classes: int) -> None:
        labels = self.labels
        if labels.dtype.kind == "f":
            if labels.ndim != 2 or labels.shape[1] != classes:
                raise DataError(
                    f"{self._name} got labels of shape {labels.shape} and classes={classes}; "
                    f"expected one-hot rows (N, {classes}), or integers"
                )
            return
        outside = np.argwhere((labels < 0) | (labels >= classes))
        if outside.size:
            where = tuple(outside[0])
            raise DataError(
                f"{self._name} got the label {labels[where]} at index "
                f"({', '.join(map(str, where))}); expected 0 to {classes - 1}, for "
                f"classes={classes}"
            )

    def _converted(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Gathered rows as `dtype`, in a contiguous array that nobody else holds."""
        if self.scale is not None:
            factor = np.asarray(self.scale, self.dtype)
            return np.multiply(rows, factor, dtype=self.dtype, order="C")
        if rows.dtype == np.uint8:
            # One pass: the ufunc converts as it divides. Dividing is exact where multiplying by
            # the rounded 1/255 is not, and takes 10 us more for 128 images.
            return np.divide(rows, self.dtype.type(255), dtype=self.dtype, order="C")
        return rows.astype(self.dtype, order="C", copy=False)

    def _flattened(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.reshape(len(x), -1) if self.flatten else x


def gather(array: NDArray[Any], rows: NDArray[np.intp] | slice) -> NDArray[Any]:
    """Those rows, always as a new array."""
    if isinstance(rows, slice):
        return array[rows].copy()
    # take() is the faster of the two, but of an array that is not contiguous it copies the whole;
    # "clip" has it skip a check, and the rows come from a permutation or a choice.
    if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
        return array.take(rows, axis=0, mode="clip")
    return array[rows]


def check_finite(who: str, what: str, array: NDArray[Any], dtype: DTypeLike = np.float32) -> None:
    """DataError where a floating array has NaN, infinity or more than `dtype` can hold."""
    if array.dtype.kind != "f" or not array.size:
        return
    largest = float(np.finfo(np.dtype(dtype)).max)
    # The extremes are found without a temporary array, and are NaN where there is a NaN.
    with np.errstate(all="ignore"):
        if float(array.min()) >= -largest and float(array.max()) <= largest:
            return
        fits = np.abs(array.astype(np.float64)) <= largest
    bad = np.unravel_index(int(np.argmin(fits)), array.shape)
    raise DataError(
        f"{who} got {what} that contain {array[bad]} at index ({', '.join(map(str, bad))}); "
        f"expected finite numbers that {np.dtype(dtype)} can hold. Look at how they were prepared, "
        f"for example np.isfinite({what})"
    )
