"""Loads a data set by its name, from wherever on this machine its files already are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .dataset import Dataset
from .download import fetch
from .errors import DatasetNotFoundError
from .known import KnownDataset, KnownFile, look_up
from .places import VARIABLE, locate, missing, places
from .verify import read_checked


def load(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    parts: str = "all",
) -> Dataset:
    """Load a data set: `load("fashion-mnist-mini")` works always, the larger ones if found.

    The places looked in, in this order: `root`, if given; `$TINYGRAD_FM_DATA`; the user's cache
    folder; Debian's `/usr/share/datasets`; torchvision's `./data` and `~/data`; Keras's
    `~/.keras/datasets`. `root` and `$TINYGRAD_FM_DATA` may name the folder with the files, or a
    folder above it as this library or torchvision lay them out. Each file may be plain or `.gz`;
    for "kmnist" also the official `.npz` (kmnist-train-imgs.npz and so on).

    Every file is verified: by the sha256 of its decompressed bytes or, for KMNIST's training files,
    of which only the archives' checksums are published, by that of the .gz (sha256) or .npz (md5).
    Such a file that is plain or was compressed anew cannot be verified; it is read if its type and
    size are right, and the `Dataset` names it in `unverified`.

    `parts` is "all", "train" or "test"; only those files are needed and read, and the other part
    of the `Dataset` has no examples.

    A `root` that lacks the files is an error: the other places are not tried then.

    `download=True` fetches the files when no place has them (see `fetch`): to a subfolder of `root`
    if that is given, otherwise to `fetch`'s default. Nothing is ever downloaded without it.

    Returns a `Dataset` with uint8 images (N, 28, 28) and int64 labels (N,).

    Raises DatasetNotFoundError where the files are in none of the places (the message lists them,
    and how to get the files) and DataError for an unknown name or part and for files that are
    damaged or belong to another set.
    """
    known = look_up(name)
    needed = known.files_of(parts)
    folder = _search(known, root, parts)
    if folder is None and download and not known.shipped:
        folder = fetch(name, None if root is None else Path(root) / name)
    if folder is None:
        raise DatasetNotFoundError(_not_found(known, root, parts))
    unverified = []

    def read(file: KnownFile) -> np.ndarray:
        path = locate(folder, file)
        if path is None:  # removed since it was found
            raise DatasetNotFoundError(_not_found(known, root, parts))
        array, verified = read_checked(known, file, path)
        if not verified:
            unverified.append(path.name)
        return array

    def read_part(images: KnownFile, labels: KnownFile) -> tuple[np.ndarray, np.ndarray] | None:
        return (read(images), read(labels).astype(np.int64)) if images in needed else None

    train = read_part(known.train_images, known.train_labels)
    test = read_part(known.test_images, known.test_labels)
    read_parts = train or test
    assert read_parts is not None
    none = tuple(array[:0] for array in read_parts)
    (train_images, train_labels), (test_images, test_labels) = train or none, test or none
    return Dataset(
        name=known.name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=known.class_names,
        licence=known.licence,
        source=folder,
        unverified=tuple(unverified),
    )


def find(name: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder that `load` would read, or None. Looks for the files' names; reads nothing.

    Raises DataError for an unknown name.
    """
    return _search(look_up(name), root)


def _search(
    known: KnownDataset, root: str | os.PathLike[str] | None, parts: str = "all"
) -> Path | None:
    for place in places(known, root):
        if not missing(place.folder, known, parts):
            return place.folder
    return None


def _not_found(known: KnownDataset, root: str | os.PathLike[str] | None, parts: str) -> str:
    needed = known.files_of(parts)
    which = "" if parts == "all" else f" ({parts} part)"
    lines = [f"{known.name}{which} was not found. Expected, each plain or .gz:"]
    lines += [
        f"    {file.name}{f' (or {file.npz_name})' if file.npz_name else ''}" for file in needed
    ]
    lines.append("Looked in:")
    for place in places(known, root):
        lacks = missing(place.folder, known, parts)
        if not place.folder.is_dir():
            state = "no such folder"
        elif len(lacks) == len(needed):
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
    for part in ("train", "test") if parts == "all" else ():
        if found := _search(known, root, part):
            lines.append(f"The {part} part alone is in {found}:")
            lines.append(f'    data.load("{known.name}", parts="{part}")')
    lines.append("To get it, one of:")
    if known.debian_package:
        lines.append(f"    apt install {known.debian_package}   (Debian, Ubuntu)")
    lines.append(f"    tinygrad-fm data fetch {known.name}")
    lines.append(f'    data.load("{known.name}", download=True)')
    lines.append('Or use data.load("fashion-mnist-mini"), which is always there.')
    return "\n".join(lines)
