"""One data set in memory: its images, its labels, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels for training and for testing, as plain arrays.

    Images are uint8, (N, height, width), 0 to 255; labels are int64, (N,), indices into
    `class_names`. `source` is the folder the files were read from. `unverified` names the files
    that no published checksum could be held against; it is empty where all were verified.

    Raises DataError where images and labels differ in number or a label has no class name.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    licence: str
    source: Path
    unverified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check("train", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)

    def _check(self, part: str, images: NDArray[Any], labels: NDArray[Any]) -> None:
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise DataError(
                f"{self.name}: {part}_labels are {labels.dtype} of shape {labels.shape}; expected "
                "one integer per image"
            )
        if images.ndim == 0 or len(images) != len(labels):
            raise DataError(
                f"{self.name}: {part}_images have shape {images.shape} but {part}_labels "
                f"{labels.shape}; expected one label per image. Are the files of one set?"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise DataError(
                f"{self.name}: {part}_labels run from {labels.min()} to {labels.max()}; expected "
                f"0 to {len(self.class_names) - 1}, one for each of the class names"
            )

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.train_images.shape[1:]))
        doubt = f", not verified: {', '.join(self.unverified)}" if self.unverified else ""
        return (
            f"<Dataset {self.name}: {len(self.train_images):,} training and "
            f"{len(self.test_images):,} test images of {shape} {self.train_images.dtype}, "
            f"{len(self.class_names)} classes, from {self.source}{doubt}>"
        )
