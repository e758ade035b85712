"""Yields shuffled batches, ready for a network, without making a copy of the data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .examples import Examples, gather
from .prepare import whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from .examples import Batch

    Transform = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]


class Loader(Examples):
    """Batches `(x, y)` of images and labels; each iteration over the loader is one epoch.

    `x` is a new, contiguous float32 array, (B, number of pixels), or with `flatten=False`
    (B, ...) as the images are; pass `images[:, None]` for the (B, 1, 28, 28) of a convolution.
    `y` is new as well: int64 for integer labels, float32 for floating ones (one-hot rows, or
    targets of a regression). `dtype` is the floating dtype of both, if not float32.

    uint8 images are divided by 255, as `scale` does; floating images are taken as they are. With
    a number for `scale`, either is multiplied by that number instead. The images are gathered and
    converted batch by batch: the loader keeps the array it is given, and no copy of it.

    With `shuffle`, epoch number e (from 0) takes the examples in an order that depends on `seed`
    (0 unless given) and e alone, so the same seed gives the same batches. `epoch` counts the epochs
    begun; set it to continue a run: `loader.epoch = 5`. The last batch holds what remains, or is
    left out with `drop_last`.

    `transform(images, rng)` changes the scaled images of a batch, (B, ...) before they are
    flattened, into as many others, for example `RandomShift(2)`. Its generator depends on the
    seed, the epoch and the number of the batch alone: neither threads nor a left epoch change it.

    With `classes`, integer labels must be 0 to classes - 1, and floating ones rows of that width.

    Raises DataError where there are no examples, images and labels differ in number, the batch is
    larger than the data, the images are neither uint8 nor floating, a floating array contains
    NaN, infinity or what `dtype` cannot hold, or labels do not fit `classes` (checked once, here),
    and where a transform returns what is no batch of as many floating images; TypeError where
    `batch_size` or `seed` is no whole number or the transform cannot be called.
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
        transform: Transform | None = None,
        dtype: DTypeLike = np.float32,
        classes: int | None = None,
    ) -> None:
        super().__init__(images, labels, batch_size, flatten, scale, dtype, classes)
        self.shuffle = shuffle
        self.seed = whole_number(seed, "Loader: seed", at_least=0)
        self.drop_last = drop_last
        if transform is not None and not callable(transform):
            raise TypeError(
                f"Loader: transform is {transform!r:.80}; expected a function of (images, rng), "
                "for example data.RandomShift(2)"
            )
        self.transform = transform
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        # Not itself a generator: the epoch begins here, and not when its first batch is asked for.
        epoch = self.epoch
        self.epoch += 1
        return self._batches(epoch, self._order(epoch) if self.shuffle else None)

    def _rng(self, *key: int) -> np.random.Generator:
        # spawn_key keeps the streams apart: (epoch,) orders an epoch, (epoch, batch) transforms.
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def _order(self, epoch: int) -> NDArray[np.intp]:
        return self._rng(epoch).permutation(len(self.images))

    def _batches(self, epoch: int, order: NDArray[np.intp] | None) -> Iterator[Batch]:
        for number in range(len(self)):
            chosen = slice(number * self.batch_size, (number + 1) * self.batch_size)
            rows = chosen if order is None else order[chosen]
            x = self._converted(gather(self.images, rows))
            if self.transform is not None:
                x = self._transformed(x, self._rng(epoch, number))
            yield self._flattened(x), gather(self.labels, rows)

    def _transformed(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        assert self.transform is not None
        count = len(x)
        x = np.asarray(self.transform(x, rng))
        if x.ndim == 0 or len(x) != count or x.dtype.kind != "f":
            raise DataError(
                f"the transform {self.transform!r:.80} returned {x.dtype} of shape {x.shape}; "
                f"expected {count} floating images"
            )
        return x.astype(self.dtype, order="C", copy=False)

    def __repr__(self) -> str:
        return (
            f"<Loader: {len(self)} batches of {self.batch_size} from {self.images.dtype} "
            f"{self.images.shape}, {'shuffled' if self.shuffle else 'in order'}, seed {self.seed}, "
            f"epoch {self.epoch}>"
        )
