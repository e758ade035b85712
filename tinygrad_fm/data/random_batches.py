"""Batches chosen anew at every step, as report 000 draws them: no permutation, no epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .examples import Examples, gather
from .prepare import whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from .examples import Batch


class Chooser(Protocol):
    """What draws: a `numpy.random.Generator`, a legacy `RandomState`, or the module `np.random`."""

    def choice(self, a: Any, size: Any = ..., replace: Any = ...) -> Any:
        """`size` elements of `a`."""


class RandomBatches(Examples):
    """`steps` batches `(x, y)`, each drawn by `rng.choice(arange(N), batch_size, replace=False)`.

    No example comes twice in a batch, but one may come in several batches and another in none: an
    iteration over this is `steps` draws and no pass over the data. Iterating again draws on.

    `rng` is a Generator, or for the digits of older programs a `np.random.RandomState` or the
    module `np.random` itself. It is used once for each batch, at the moment the batch is asked
    for, so that other draws may come between; nothing here reseeds or copies it.

    `x` and `y` are new arrays as `Loader` makes them, with the same `flatten`, `scale`, `dtype`
    and `classes`. Report 000 trains on raw bytes in float64: `scale=1, dtype=np.float64`.

    Raises what `Loader` raises, DataError where `steps` is below 1, and TypeError where `rng` has
    no `choice`.

    Source: report 000, whose code calls `np.random.choice(np.arange(N), 64, replace=False)` a step.
    """

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        batch_size: int,
        steps: int,
        rng: Chooser,
        flatten: bool = True,
        scale: float | None = None,
        dtype: DTypeLike = np.float32,
        classes: int | None = None,
    ) -> None:
        super().__init__(images, labels, batch_size, flatten, scale, dtype, classes)
        self.steps = whole_number(steps, "RandomBatches: steps", at_least=1)
        if not callable(getattr(rng, "choice", None)):
            raise TypeError(
                f"RandomBatches: rng is {rng!r:.80}; expected a generator, for example "
                "np.random.default_rng(0), or np.random.RandomState(0) for legacy digits"
            )
        self.rng = rng

    def __len__(self) -> int:
        """The number of batches in an iteration."""
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        everything = np.arange(len(self.images))
        for _ in range(self.steps):
            rows = self.rng.choice(everything, self.batch_size, replace=False)
            x = self._converted(gather(self.images, rows))
            yield self._flattened(x), gather(self.labels, rows)

    def __repr__(self) -> str:
        return (
            f"<RandomBatches: {self.steps} of {self.batch_size} from {self.images.dtype} "
            f"{self.images.shape}>"
        )
