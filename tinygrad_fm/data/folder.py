"""Reads a folder that has one folder of images for each class: .npy, .pgm, .ppm, .png."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .examples import check_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray


def from_folder(
    path: str | os.PathLike[str], *, class_names: Sequence[str] | None = None
) -> tuple[NDArray[Any], NDArray[np.int64], tuple[str, ...]]:
    """Images, labels and class names of a folder that has a folder of images for each class.

        images, labels, class_names = from_folder("letters")      # letters/a/1.png, letters/b/7.png

    The class names are the sorted names of the folders, unless they are given: give those of the
    training set to read a test set that may lack a class. The images come class by class, sorted
    by file name. Files and folders whose names begin with a dot are skipped, as are files beside
    the class folders; folders inside them are refused.

    `.npy` files hold an array (height, width) or (channels, height, width), uint8 or floating;
    `.pgm` and `.ppm` are binary (P5, P6) with a maximum of 255; `.png` files are grey or colour,
    8 bits, without transparency, and need Pillow (`pip install "tinygrad_fm[images]"`). Colour
    images become (3, height, width).

    Returns (images, labels, class_names): images (N, height, width) or (N, channels, height,
    width), uint8 or floating as the files are; labels int64, (N,), indices into `class_names`.

    Raises DataError where there is no class folder, a class has no images, a file is none of these
    formats or damaged or contains NaN, a folder is none of `class_names`, or an image has another
    size or dtype than most (the message names it); ImportError where there are PNG files and no
    Pillow.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root} is no folder; expected one that has a folder for each class")
    folders = {entry.name: entry for entry in _visible(root) if entry.is_dir()}
    if not folders:
        raise DataError(
            f"{root} has no folders; expected one for each class, for example "
            f"{root / 'shoe' / '1.png'}"
        )
    names = tuple(sorted(folders)) if class_names is None else tuple(class_names)
    for name in sorted(folders):
        if name not in names:
            raise DataError(
                f"{root} has the folder {name!r}; expected only class names: "
                f"{', '.join(map(repr, names))}"
            )
    files, images, labels = [], [], []
    for label, name in enumerate(names):
        entries = sorted(_visible(folders[name])) if name in folders else []
        if not entries and name in folders:
            raise DataError(f"{folders[name]} has no images; expected at least one for each class")
        files += entries
        images += [_read(file) for file in entries]
        labels += [label] * len(entries)
    _check_alike(files, images)
    return np.stack(images), np.array(labels, np.int64), names


def _visible(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _check_alike(files: list[Path], images: list[NDArray[Any]]) -> None:
    kinds = Counter((image.shape, image.dtype.str) for image in images)
    usual, count = kinds.most_common(1)[0]
    for file, image in zip(files, images, strict=True):
        if (image.shape, image.dtype.str) != usual:
            raise DataError(
                f"{file} is {image.dtype} of shape {image.shape}, but {count} of the {len(files)} "
                f"images are {np.dtype(usual[1])} of shape {usual[0]}; expected all alike"
            )


def _read(file: Path) -> NDArray[Any]:
    reader = READERS.get(file.suffix.lower())
    if reader is None or not file.is_file():
        what = "a folder" if file.is_dir() else f"of the unknown kind {file.suffix!r}"
        raise DataError(f"{file} is {what}; expected images: {', '.join(READERS)}")
    try:
        image = reader(file)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    if not image.size:
        raise DataError(f"{file} has shape {image.shape}; expected at least one pixel")
    check_finite(str(file), "pixels", image, image.dtype)
    return image


def _read_npy(file: Path) -> NDArray[Any]:
    try:
        image = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{file} is no .npy file of numbers: {error}") from error
    if not isinstance(image, np.ndarray):  # an archive under this name
        image.close()
        raise DataError(f"{file} is an archive; expected one array, as np.save writes it")
    if image.ndim not in (2, 3) or (image.dtype != np.uint8 and image.dtype.kind != "f"):
        raise DataError(
            f"{file} is {image.dtype} of shape {image.shape}; expected uint8 or floating, (height, "
            "width) or (channels, height, width)"
        )
    return image


def _read_netpbm(file: Path) -> NDArray[np.uint8]:
    """Binary PGM and PPM (the netpbm manual, pages pgm and ppm); a `#` comments out a line's rest.

    The header is magic number, width, height and maximum, parted by blanks, one blank at its end.
    """
    contents = file.read_bytes()
    words: list[bytes] = []
    at = 0
    while len(words) < 4 and at < len(contents):
        if contents[at : at + 1] == b"#":
            end = contents.find(b"\n", at)
            at = len(contents) if end < 0 else end
        elif contents[at : at + 1].isspace():
            at += 1
        else:
            start = at
            while at < len(contents) and contents[at] not in b" \t\r\n\v\f#":
                at += 1
            words.append(contents[start:at])
    if len(words) < 4 or words[0] not in (b"P5", b"P6") or not all(w.isdigit() for w in words[1:]):
        raise DataError(
            f"{file} has no header of a binary PGM or PPM file; expected P5 or P6, width, height "
            f"and 255, but it starts with {contents[:16]!r}"
        )
    width, height, maximum = (int(word[:9]) for word in words[1:])
    if maximum != 255:
        raise DataError(f"{file} has the maximum {maximum}; expected 255, one byte for each number")
    channels = 3 if words[0] == b"P6" else 1
    pixels = contents[at + 1 :]
    if len(pixels) != width * height * channels:
        raise DataError(
            f"{file} has {len(pixels):,} bytes of pixels; expected {width * height * channels:,} "
            f"for {width}x{height}"
        )
    image = np.frombuffer(pixels, np.uint8).reshape(height, width, channels)
    return image[:, :, 0] if channels == 1 else image.transpose(2, 0, 1)


def _read_png(file: Path) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f'reading {file} needs Pillow: pip install "tinygrad_fm[images]", or save the images '
            "as .npy or .pgm"
        ) from error
    try:
        with Image.open(file, formats=["PNG"]) as opened:
            mode = opened.mode
            if mode == "1":
                image = np.asarray(opened.convert("L"))
            elif mode in ("L", "RGB"):
                image = np.asarray(opened)
            elif mode == "P" and "transparency" not in opened.info:
                image = np.asarray(opened.convert("RGB"))
            else:
                raise DataError(
                    f"{file} is a PNG of mode {mode}; expected 8-bit grey (L) or colour (RGB) "
                    'without transparency: save it after convert("L") or convert("RGB")'
                )
    except DataError:
        raise
    except (SyntaxError, ValueError, OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} is no PNG that Pillow can read: {error}") from error
    return image if image.ndim == 2 else image.transpose(2, 0, 1)


READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".pgm": _read_netpbm,
    ".ppm": _read_netpbm,
    ".png": _read_png,
}
