"""Standardises images to mean 0 and deviation 1, with statistics learned once and used again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .examples import check_finite

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

MODES = ("pixel", "image", "global")
EXAMPLES_AT_ONCE = 2048  # bounds the float64 temporaries


class ZScore:
    """z = (x - mean) / deviation, the statistics taken by `mode`.

    "pixel": one mean and deviation for each position of an example, over all examples; "global":
    one for all numbers together; "image": those of each example by itself, so nothing is fitted.

        prepare = ZScore("pixel").fit(train_images)
        train, test = prepare(train_images), prepare(test_images)

    x is (N, ...), uint8 or floating. uint8 is divided by 255 first, as `scale` does, so bytes and
    scaled bytes may be mixed. The deviation is the square root of the mean squared difference
    (divided by N, not N - 1), computed in float64. Where all numbers are equal it is zero, and 1 is
    used in its place: such a pixel or image becomes 0 where it was fitted, and x - mean elsewhere.

    The result is a new array of x's shape, of the floating `dtype`.

    Attributes: `mean` and `deviation`, float64, of an example's shape for "pixel" and () for
    "global"; None before `fit` and always for "image".

    Raises DataError for an unknown mode, use before `fit`, an x of another shape than the fitted
    one, no examples, and NaN or infinity.
    """

    def __init__(self, mode: str = "pixel", dtype: DTypeLike = np.float32) -> None:
        if mode not in MODES:
            raise DataError(
                f"ZScore: mode is {mode!r}; expected one of {', '.join(map(repr, MODES))}"
            )
        self.mode = mode
        self.dtype = np.dtype(dtype)
        if self.dtype.kind != "f":
            raise DataError(f"ZScore to {self.dtype}; expected a floating dtype, as np.float32")
        self.mean: NDArray[np.float64] | None = None
        self.deviation: NDArray[np.float64] | None = None

    def fit(self, x: ArrayLike) -> ZScore:
        """Learn the statistics of x, (N, ...), and return this object; "image" learns nothing."""
        x = self._checked(np.asarray(x), "fit()")
        if self.mode == "image":
            return self
        axes = 0 if self.mode == "pixel" else None
        count = len(x) if self.mode == "pixel" else x.size
        mean = sum(part.sum(axes) for part in _parts(x)) / count
        squares = sum(np.square(part - mean).sum(axes) for part in _parts(x)) / count
        low, high = x.min(axes), x.max(axes)
        equal = low == high
        # The mean of equal numbers may differ from them in the last digit, and so deviate.
        low = low.astype(np.float64) / (255 if x.dtype == np.uint8 else 1)
        self.mean = np.asarray(np.where(equal, low, mean), np.float64)
        self.deviation = np.asarray(np.where(equal, 1.0, np.sqrt(squares)), np.float64)
        return self

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """The standardised x, (N, ...)."""
        x = self._checked(np.asarray(x), "call")
        if self.mode != "image":
            if self.mean is None or self.deviation is None:
                raise DataError(
                    f'ZScore("{self.mode}") was called before fit(); fit it on the training data '
                    f'first: prepare = ZScore("{self.mode}").fit(train_images)'
                )
            if self.mode == "pixel" and x.shape[1:] != self.mean.shape:
                raise DataError(
                    f"ZScore was fitted on examples of shape {self.mean.shape} but got x of shape "
                    f"{x.shape}; expected (N, {', '.join(map(str, self.mean.shape))})"
                )
        z = np.empty(x.shape, self.dtype)
        start = 0
        for part in _parts(x):
            stop = start + len(part)
            z[start:stop] = self._standardised(part)
            start = stop
        return z

    def _standardised(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.mode != "image":
            assert self.mean is not None
            assert self.deviation is not None
            return (x - self.mean) / self.deviation
        axes = tuple(range(1, x.ndim))
        low, high = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
        mean = np.where(low == high, low, x.mean(axes, keepdims=True))
        return (x - mean) / np.where(low == high, 1.0, x.std(axes, keepdims=True))

    def _checked(self, x: NDArray[Any], what: str) -> NDArray[Any]:
        if x.dtype != np.uint8 and x.dtype.kind != "f":
            raise DataError(
                f"ZScore got x of {x.dtype}; expected uint8 (0 to 255) or floating; convert "
                "first, for example x.astype(np.float32)"
            )
        if x.ndim < 2 or not x.size:
            raise DataError(
                f"ZScore {what} got x of shape {x.shape}; expected (N, ...), with at least one "
                "example of at least one number"
            )
        check_finite("ZScore", "x", x, self.dtype)
        return x

    def state_dict(self) -> dict[str, NDArray[np.float64]]:
        """The statistics, copied, as {"mean": ..., "deviation": ...}; empty where none are fitted.

        The mode and the dtype are not in it: they are the constructor's.
        """
        if self.mean is None or self.deviation is None:
            return {}
        return {"mean": self.mean.copy(), "deviation": self.deviation.copy()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over the statistics that `state_dict` gave.

        Raises DataError where the keys or shapes are not this mode's, or a number is not finite or
        a deviation not positive; the statistics then stay as they were.
        """
        expected: set[str] = set() if self.mode == "image" else {"mean", "deviation"}
        if state and set(state) != expected:
            raise DataError(
                f'ZScore("{self.mode}") got a state with {sorted(state)}; expected '
                f"{sorted(expected) or 'none: this mode has no statistics'}"
            )
        if not state:
            self.mean = self.deviation = None
            return
        mean, deviation = (np.array(state[key], np.float64) for key in ("mean", "deviation"))
        if mean.shape != deviation.shape or (mean.ndim == 0) != (self.mode == "global"):
            raise DataError(
                f'ZScore("{self.mode}") got a mean of shape {mean.shape} and a deviation of shape '
                f"{deviation.shape}; expected "
                f"{'()' if self.mode == 'global' else 'the shape of an example'} for both"
            )
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
            raise DataError(
                "ZScore got a state whose numbers are not finite or whose deviation is not "
                "positive; expected what state_dict() gave"
            )
        self.mean, self.deviation = mean, deviation

    def __repr__(self) -> str:
        fitted = (
            "" if self.mode == "image" else ", fitted" if self.mean is not None else ", unfitted"
        )
        return f"<ZScore {self.mode}, {self.dtype}{fitted}>"


def _parts(x: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """A few examples at a time, in float64; bytes on the scale 0 to 1."""
    for start in range(0, len(x), EXAMPLES_AT_ONCE):
        part = x[start : start + EXAMPLES_AT_ONCE]
        if part.dtype == np.uint8:
            yield np.divide(part, 255.0, dtype=np.float64)
        else:
            yield part.astype(np.float64)
