"""Draws the small data set that is shipped, fashion-mnist-mini, from the official files.

Run it as `python -m tinygrad_fm.data.make_mini`.

All images of a part are put in random order, the first of each class are kept (600 for training,
100 for testing), and these are put in random order again. An order sorts the raw output of a PCG64,
a stream that NumPy guarantees not to change, so the draw is the same everywhere; the compressed
bytes may differ with the version of zlib, their contents may not.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .dataset import Dataset
from .idx import read_payload, write_idx
from .known import FASHION_MNIST_MINI
from .places import SHIPPED_FOLDER
from .sources import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 2017  # the year Fashion-MNIST was published
TRAIN_PER_CLASS = 600
TEST_PER_CLASS = 100


def draw(labels: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.intp]:
    """Indices of `per_class` examples of every class, in random order."""
    bits = np.random.PCG64(seed)
    order = np.argsort(bits.random_raw(len(labels)), kind="stable")
    shuffled = labels[order]
    kept = np.concatenate([order[shuffled == label][:per_class] for label in np.unique(labels)])
    # Shuffled anew: in the first order, the classes that fill up early are rare towards the end.
    return kept[np.argsort(bits.random_raw(len(kept)), kind="stable")]


def mini_arrays(full: Dataset) -> dict[str, NDArray[Any]]:
    """The four arrays of the small set, by the names of their files."""
    train = draw(full.train_labels, TRAIN_PER_CLASS, SEED)
    test = draw(full.test_labels, TEST_PER_CLASS, SEED + 1)
    files = FASHION_MNIST_MINI
    return {
        files.train_images.name: full.train_images[train],
        files.train_labels.name: full.train_labels[train].astype(np.uint8),
        files.test_images.name: full.test_images[test],
        files.test_labels.name: full.test_labels[test].astype(np.uint8),
    }


def main() -> None:
    """Write the four files and print the checksums for the table in known.py."""
    parser = argparse.ArgumentParser(description="Draw fashion-mnist-mini from fashion-mnist.")
    parser.add_argument("--root", help="where the official files are, as in data.load")
    parser.add_argument("--into", type=Path, default=SHIPPED_FOLDER, help="default: %(default)s")
    given = parser.parse_args()
    full = load("fashion-mnist", given.root)
    given.into.mkdir(parents=True, exist_ok=True)
    for name, array in mini_arrays(full).items():
        path = given.into / f"{name}.gz"
        write_idx(path, array)
        digest = hashlib.sha256()
        payload = read_payload(path, 2**30, "", digest.update)
        print(f"{path.name}: {payload.shape}, payload sha256 {digest.hexdigest()}")


if __name__ == "__main__":
    main()
