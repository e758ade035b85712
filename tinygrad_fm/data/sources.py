"""Loads a data set by its name, from wherever on this machine its files already are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .dataset import Dataset
from .download import fetch
from .errors import DatasetNotFoundError
from .known import KnownDataset, KnownFile, look_up, read_verified
from .places import VARIABLE, locate, missing, places


def load(
    name: str, root: str | os.PathLike[str] | None = None, *, download: bool = False
) -> Dataset:
    """Load a data set: `load("fashion-mnist-mini")` works always, `load("fashion-mnist")` if found.

    The places looked in, in this order: `root`, if given; `$TINYGRAD_FM_DATA`; the user's cache
    folder; Debian's `/usr/share/datasets`; torchvision's `./data` and `~/data`; Keras's
    `~/.keras/datasets`. `root` and `$TINYGRAD_FM_DATA` may name the folder with the files, or a
    folder above it as this library or torchvision lay them out. Each file may be plain or `.gz`.
    The sha256 of every decompressed file is verified.

    A `root` that lacks the files is an error: the other places are not tried then.

    `download=True` fetches the files when no place has them (see `fetch`): to a subfolder of `root`
    if that is given, otherwise to `fetch`'s default. Nothing is ever downloaded without it.

    Returns a `Dataset` with uint8 images (N, 28, 28) and int64 labels (N,).

    Raises DatasetNotFoundError where the files are in none of the places (the message lists them,
    and how to get the files) and DataError for an unknown name and for files that are damaged or
    belong to another set.
    """
    known = look_up(name)
    folder = _search(known, root)
    if folder is None and download and not known.shipped:
        folder = fetch(name, None if root is None else Path(root) / name)
    if folder is None:
        raise DatasetNotFoundError(_not_found(known, root))

    def read(file: KnownFile) -> np.ndarray:
        path = locate(folder, file)
        if path is None:  # removed since it was found
            raise DatasetNotFoundError(_not_found(known, root))
        return read_verified(known, file, path)

    return Dataset(
        name=known.name,
        train_images=read(known.train_images),
        train_labels=read(known.train_labels).astype(np.int64),
        test_images=read(known.test_images),
        test_labels=read(known.test_labels).astype(np.int64),
        class_names=known.class_names,
        licence=known.licence,
        source=folder,
    )


def find(name: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder that `load` would read, or None. Looks for the files' names; reads nothing.

    Raises DataError for an unknown name.
    """
    return _search(look_up(name), root)


def _search(known: KnownDataset, root: str | os.PathLike[str] | None) -> Path | None:
    for place in places(known, root):
        if not missing(place.folder, known):
            return place.folder
    return None


def _not_found(known: KnownDataset, root: str | os.PathLike[str] | None) -> str:
    lines = [f"{known.name} was not found. Expected, each plain or .gz:"]
    lines += [f"    {file.name}" for file in known.files]
    lines.append("Looked in:")
    for place in places(known, root):
        lacks = missing(place.folder, known)
        if not place.folder.is_dir():
            state = "no such folder"
        elif len(lacks) == len(known.files):
            state = "has none of them"
        else:
            state = f"lacks {', '.join(lacks)}"
        lines.append(f"    {place.folder} ({place.reason}): {state}")
    if root is not None:
        lines.append("An explicit root is the only place looked in; without it, others are tried.")
    elif not known.shipped and not os.environ.get(VARIABLE):
        lines.append(f"    ${VARIABLE} is not set")
    if known.shipped:
        return "\n".join([*lines, "It is part of tinygrad_fm: reinstall the package."])
    lines.append("To get it, one of:")
    if known.debian_package:
        lines.append(f"    apt install {known.debian_package}   (Debian, Ubuntu)")
    lines.append(f"    tinygrad-fm data fetch {known.name}")
    lines.append(f'    data.load("{known.name}", download=True)')
    lines.append('Or use data.load("fashion-mnist-mini"), which is always there.')
    return "\n".join(lines)
