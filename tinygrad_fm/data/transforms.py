"""Random changes to the images of a batch: shift, flip, crop, erase, and several in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .prepare import whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class RandomTransform:
    """What the transforms share: `transform(images, rng)`, or `transform(images)` with a seed.

    Images are (B, height, width) or (B, channels, height, width), of any dtype; the result is a
    new array of that dtype. `rng` decides alone where it is given, as `Loader` does; without it
    the transform's own generator goes on from `seed`.

    Raises DataError where there is neither, or the images have another number of dimensions.
    """

    def __init__(self, seed: int | None) -> None:
        name = type(self).__name__
        self._own = None
        if seed is not None:
            self._own = np.random.default_rng(whole_number(seed, f"{name}: seed", at_least=0))

    def __call__(self, images: ArrayLike, rng: np.random.Generator | None = None) -> NDArray[Any]:
        """The changed images."""
        images = np.asarray(images)
        name = type(self).__name__
        if images.ndim not in (3, 4):
            raise DataError(
                f"{name} got images of shape {images.shape}; expected (B, height, width) or "
                "(B, channels, height, width): give it images that are not flattened (a Loader "
                "flattens after its transform)"
            )
        rng = self._own if rng is None else rng
        if rng is None:
            raise DataError(f"{name} has no generator; write {name}(..., seed=0) or pass rng")
        return self._apply(images, rng)

    def _apply(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        raise NotImplementedError


class RandomShift(RandomTransform):
    """Moves each image by up to `pixels` up or down and left or right; `fill` comes in.

    Both offsets are drawn uniformly from -pixels to pixels, for each image. The size stays.
    """

    def __init__(self, pixels: int, *, fill: float = 0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.pixels = whole_number(pixels, "RandomShift: pixels", at_least=0)
        self.fill = fill

    def _apply(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        height, width = images.shape[-2:]
        return _crop(images, (height, width), self.pixels, self.fill, rng)

    def __repr__(self) -> str:
        return f"RandomShift({self.pixels}, fill={self.fill})"


class RandomCrop(RandomTransform):
    """Cuts a window out of each image, at a random place, after padding it on all sides.

    `size` is the side of the window in pixels, or (height, width); `padding` is the number of
    pixels of value `fill` that are put around the image first. All places are equally likely.

    Raises DataError, when called, where the window is larger than the padded image.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int = 0,
        *,
        fill: float = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        height, width = size if isinstance(size, tuple) else (size, size)
        self.size = (
            whole_number(height, "RandomCrop: size", at_least=1),
            whole_number(width, "RandomCrop: size", at_least=1),
        )
        self.padding = whole_number(padding, "RandomCrop: padding", at_least=0)
        self.fill = fill

    def _apply(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        height, width = (n + 2 * self.padding for n in images.shape[-2:])
        if self.size[0] > height or self.size[1] > width:
            raise DataError(
                f"RandomCrop of {self.size[0]}x{self.size[1]} got images of {images.shape[-2]}x"
                f"{images.shape[-1]}, with padding {self.padding} {height}x{width}; expected a "
                "size that fits into it"
            )
        return _crop(images, self.size, self.padding, self.fill, rng)

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding}, fill={self.fill})"


class RandomFlip(RandomTransform):
    """Mirrors each image left to right, with the given `probability`.

    Raises DataError for a probability outside 0 to 1.
    """

    def __init__(self, probability: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__(seed)
        self.probability = _share(probability, "RandomFlip")

    def _apply(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        flipped = images.copy(order="C")
        chosen = rng.random(len(images)) < self.probability
        flipped[chosen] = images[chosen, ..., ::-1]
        return flipped

    def __repr__(self) -> str:
        return f"RandomFlip({self.probability})"


class RandomErase(RandomTransform):
    """Covers a rectangle of each image by `fill`, with the given `probability`.

    Height and width are drawn from the first to the second number of `sides`, both included, and
    the middle is any pixel: what lies outside of the image is cut off. Zhong, Zheng, Kang, Li,
    Yang: Random erasing data augmentation (2020).

    Raises DataError for a probability outside 0 to 1, and for sides that are no such pair.
    """

    def __init__(
        self,
        sides: tuple[int, int],
        probability: float = 0.5,
        *,
        fill: float = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        if not isinstance(sides, tuple) or len(sides) != 2:
            raise DataError(
                f"RandomErase: sides is {sides!r}; expected the smallest and the largest side of "
                "the rectangle in pixels: RandomErase((5, 12))"
            )
        shortest, longest = (whole_number(n, "RandomErase: sides", at_least=1) for n in sides)
        if shortest > longest:
            raise DataError(f"RandomErase: sides is {sides}; expected the smaller number first")
        self.sides = shortest, longest
        self.probability = _share(probability, "RandomErase")
        self.fill = fill

    def _apply(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        count, (height, width) = len(images), images.shape[-2:]
        chosen = rng.random(count) < self.probability
        down = self._inside(height, count, rng)[:, :, None]
        across = self._inside(width, count, rng)[:, None, :]
        covered = chosen[:, None, None] & down & across
        if images.ndim == 4:
            covered = covered[:, None]
        return np.where(covered, np.asarray(self.fill, images.dtype), images)

    def _inside(self, length: int, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Along one axis, which pixels the rectangle covers: (count, length)."""
        side = rng.integers(*self.sides, count, endpoint=True)
        first = rng.integers(0, length, count) - side // 2
        pixels = np.arange(length)
        return (pixels >= first[:, None]) & (pixels < (first + side)[:, None])

    def __repr__(self) -> str:
        return f"RandomErase({self.sides}, {self.probability}, fill={self.fill})"


class Compose:
    """Several transforms in a row, which all draw from one generator, in their order.

    Each is called as `transform(images, rng)`; without `rng` each uses its own seed. Raises
    TypeError where one cannot be called.
    """

    def __init__(self, *transforms: Callable[..., NDArray[Any]]) -> None:
        for transform in transforms:
            if not callable(transform):
                raise TypeError(
                    f"Compose got {transform!r:.80}; expected functions of (images, rng), one "
                    "after the other: Compose(RandomShift(2), RandomFlip())"
                )
        self.transforms = transforms

    def __call__(self, images: ArrayLike, rng: np.random.Generator | None = None) -> NDArray[Any]:
        """The images after the last transform; a copy where there is none."""
        changed = np.array(images)
        for transform in self.transforms:
            changed = transform(changed, rng)
        return changed

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


def _share(probability: float, name: str) -> float:
    if not 0 <= probability <= 1:
        raise DataError(f"{name}: probability is {probability}; expected a number from 0 to 1")
    return float(probability)


def _crop(
    images: NDArray[Any],
    size: tuple[int, int],
    padding: int,
    fill: float,
    rng: np.random.Generator,
) -> NDArray[Any]:
    height, width = images.shape[-2:]
    around = (*images.shape[:-2], height + 2 * padding, width + 2 * padding)
    padded = np.full(around, fill, images.dtype)
    padded[..., padding : padding + height, padding : padding + width] = images
    top = rng.integers(0, around[-2] - size[0], len(images), endpoint=True)
    left = rng.integers(0, around[-1] - size[1], len(images), endpoint=True)
    # All windows are views; indexing with one place for each image copies just those.
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(-2, -1))
    windows = np.moveaxis(windows, (-4, -3), (1, 2))  # (B, top, left, [channels,] height, width)
    return np.ascontiguousarray(windows[np.arange(len(images)), top, left])
