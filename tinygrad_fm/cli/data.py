"""`tinygrad-fm data`: which data sets there are and where, and downloading one."""

from __future__ import annotations

import argparse

import numpy as np

from tinygrad_fm import data
from tinygrad_fm.cli.text import CommandError, UsageError, bold, table
from tinygrad_fm.data.known import KNOWN, KnownDataset, look_up


def checked_name(name: str) -> str:
    """The name of a known data set.

    Raises:
        UsageError: it is none; the message suggests the nearest.
    """
    try:
        return look_up(name).name
    except data.DataError as error:
        raise UsageError(str(error)) from error


def info(arguments: argparse.Namespace) -> int:
    """List all data sets, or read, verify and describe one."""
    if arguments.name is None:
        rows = [("name", "training", "test", "where")]
        rows += [(k.name, *_counts(k), where(k)) for k in KNOWN.values()]
        first, *rest = table(rows).splitlines()
        print("\n".join([bold(first), *rest]))
        return 0
    try:
        found = data.load(checked_name(arguments.name))
    except data.DataError as error:
        raise CommandError(error) from error
    print(_description(found))
    return 0


def fetch(arguments: argparse.Namespace) -> int:
    """Download a data set."""
    known = look_up(checked_name(arguments.name))
    if known.shipped:
        print(f"{known.name} is shipped with tinygrad_fm: there is nothing to fetch")
        return 0
    try:
        folder = data.fetch(known.name, arguments.to)
    except data.DataError as error:
        raise CommandError(error) from error
    print(f"{known.name} is in {folder}, verified")
    if data.find(known.name) != folder:
        print(f"to use it from there: tinygrad-fm train --data {known.name} --data-root {folder}")
    return 0


def where(known: KnownDataset) -> str:
    """The folder of a data set in a few words, or how to get it."""
    folder = data.find(known.name)
    if known.shipped:
        return "shipped with tinygrad_fm" if folder else "missing: reinstall tinygrad_fm"
    return str(folder) if folder else f"not found; get it with: tinygrad-fm data fetch {known.name}"


def checked(dataset: data.Dataset) -> str:
    """Whether its files were held against published checksums."""
    if not dataset.unverified:
        return "checksums verified"
    return f"not verified: {', '.join(dataset.unverified)}, of which no checksum is published"


def _counts(known: KnownDataset) -> tuple[str, str]:
    """Numbers of examples: of a label file's bytes, the first eight are its header."""
    files = (known.train_labels, known.test_labels)
    train, test = (f"{file.payload_bytes - 8:,}" for file in files)
    return train, test


def _description(dataset: data.Dataset) -> str:
    images = dataset.train_images
    size = "x".join(map(str, images.shape[1:]))
    mean, std = images.mean() / 255, images.std() / 255
    lines = [
        ("name", dataset.name),
        ("read from", f"{dataset.source}, {checked(dataset)}"),
        ("training", f"{len(images):,} images of {size}, {images.dtype}"),
        ("test", f"{len(dataset.test_images):,} images"),
        ("pixels", f"mean {mean:.4f}, standard deviation {std:.4f}, on the scale 0 to 1"),
        ("licence", dataset.licence),
    ]
    rows = [("class", "name", "training", "test")]
    counts = [np.bincount(y, minlength=len(dataset.class_names)) for y in _labels(dataset)]
    for i, (name, train, test) in enumerate(zip(dataset.class_names, *counts, strict=True)):
        rows.append((str(i), name, f"{train:,}", f"{test:,}"))
    facts = "\n".join(f"{bold(f'{key:<9}')}  {text}" for key, text in lines)
    return f"{facts}\n\n{table(rows)}"


def _labels(dataset: data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return dataset.train_labels, dataset.test_labels
