"""Yields shuffled batches, ready for a network, without making a copy of the data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .prepare import whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Batch = tuple[NDArray[np.float32], NDArray[Any]]

LARGEST = float(np.finfo(np.float32).max)


class Loader:
    """Batches `(x, y)` of images and labels; each iteration over the loader is one epoch.

    `x` is a new, contiguous float32 array, (B, number of pixels), or with `flatten=False`
    (B, ...) as the images are; pass `images[:, None]` for the (B, 1, 28, 28) of a convolution.
    `y` is new as well: int64 for integer labels, float32 for floating ones (one-hot rows, or
    targets of a regression).

    uint8 images are divided by 255, as `scale` does; floating images are taken as they are. With
    a number for `scale`, either is multiplied by that number instead. The images are gathered and
    converted batch by batch: the loader keeps the array it is given, and no copy of it.

    With `shuffle`, epoch number e (from 0) takes the examples in an order that depends on `seed`
    (0 unless given) and e alone, so the same seed gives the same batches. `epoch` counts the epochs
    begun; set it to continue a run: `loader.epoch = 5`. The last batch holds what remains, or is
    left out with `drop_last`.

    Raises DataError where there are no examples, images and labels differ in number, the batch is
    larger than the data, the images are neither uint8 nor floating, or a floating array contains
    NaN, infinity or what float32 cannot hold (checked once, here); TypeError where `batch_size` or
    `seed` is no whole number.
    """

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        flatten: bool = True,
        scale: float | None = None,
    ) -> None:
        self.images = np.asarray(images)
        self.labels = np.asarray(labels)
        self.batch_size = whole_number(batch_size, "Loader: batch_size", at_least=1)
        self.shuffle = shuffle
        self.seed = whole_number(seed, "Loader: seed", at_least=0)
        self.drop_last = drop_last
        self.flatten = flatten
        self.scale = None if scale is None else float(scale)
        self.epoch = 0
        self._check()
        # At most a copy of one number, or one row of targets, for each example.
        self.labels = self.labels.astype(
            np.float32 if self.labels.dtype.kind == "f" else np.int64, order="C", copy=False
        )

    def _check(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim == 0 or labels.ndim == 0 or not images.size or not labels.size:
            raise DataError(
                f"Loader got images of shape {images.shape} and labels of shape {labels.shape}; "
                "expected (N, ...) and (N,), with at least one example"
            )
        if len(images) != len(labels):
            raise DataError(
                f"Loader got {len(images):,} images but {len(labels):,} labels; expected one label "
                "for each image"
            )
        if self.batch_size > len(images):
            raise DataError(
                f"batch_size {self.batch_size:,} is larger than the {len(images):,} examples; "
                f"expected at most {len(images):,}"
            )
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise DataError(
                f"Loader got images of {images.dtype}; expected uint8 (0 to 255) or floating; "
                "convert first, for example images.astype(np.float32)"
            )
        if labels.dtype.kind not in "iuf":
            raise DataError(
                f"Loader got labels of {labels.dtype}; expected integers (class indices) or "
                "floating numbers (one-hot rows, targets)"
            )
        _check_finite("images", images)
        _check_finite("labels", labels)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        # Not itself a generator: the epoch begins here, and not when its first batch is asked for.
        epoch = self.epoch
        self.epoch += 1
        return self._batches(self._order(epoch) if self.shuffle else None)

    def _order(self, epoch: int) -> NDArray[np.intp]:
        # spawn_key keeps the streams of all epochs apart, and apart from default_rng(seed).
        sequence = np.random.SeedSequence(self.seed, spawn_key=(epoch,))
        return np.random.default_rng(sequence).permutation(len(self.images))

    def _batches(self, order: NDArray[np.intp] | None) -> Iterator[Batch]:
        for number in range(len(self)):
            chosen = slice(number * self.batch_size, (number + 1) * self.batch_size)
            rows = chosen if order is None else order[chosen]
            x = self._converted(_gather(self.images, rows))
            yield x.reshape(len(x), -1) if self.flatten else x, _gather(self.labels, rows)

    def _converted(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Gathered rows as float32, in a contiguous array that nobody else holds."""
        x: NDArray[np.float32]
        if self.scale is not None:
            x = np.multiply(rows, np.float32(self.scale), dtype=np.float32, order="C")
        elif rows.dtype == np.uint8:
            # One pass: the ufunc converts as it divides. Dividing is exact where multiplying by
            # the rounded 1/255 is not, and takes 10 us more for 128 images.
            x = np.divide(rows, np.float32(255), dtype=np.float32, order="C")
        else:
            x = rows.astype(np.float32, order="C", copy=False)
        return x

    def __repr__(self) -> str:
        return (
            f"<Loader: {len(self)} batches of {self.batch_size} from {self.images.dtype} "
            f"{self.images.shape}, {'shuffled' if self.shuffle else 'in order'}, seed {self.seed}, "
            f"epoch {self.epoch}>"
        )


def _gather(array: NDArray[Any], rows: NDArray[np.intp] | slice) -> NDArray[Any]:
    """Those rows, always as a new array."""
    if isinstance(rows, slice):
        return array[rows].copy()
    # take() is the faster of the two, but of an array that is not contiguous it copies the whole;
    # "clip" has it skip a check, and the rows come from a permutation.
    if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
        return array.take(rows, axis=0, mode="clip")
    return array[rows]


def _check_finite(what: str, array: NDArray[Any]) -> None:
    if array.dtype.kind != "f":
        return
    # The extremes are found without a temporary array, and are NaN where there is a NaN.
    with np.errstate(all="ignore"):
        if float(array.min()) >= -LARGEST and float(array.max()) <= LARGEST:
            return
        fits = np.abs(array.astype(np.float64)) <= LARGEST
    bad = np.unravel_index(int(np.argmin(fits)), array.shape)
    raise DataError(
        f"Loader got {what} that contain {array[bad]} at index ({', '.join(map(str, bad))}); "
        "expected finite numbers that float32 can hold. Look at how they were prepared, for "
        f"example np.isfinite({what})"
    )
