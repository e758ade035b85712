"""`tinygrad-fm predict`: what the network of a run sees on images from files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm import train
from tinygrad_fm.cli.build import model_input
from tinygrad_fm.cli.saved import SavedRun
from tinygrad_fm.cli.text import CommandError, bold, table

SHOWN = 3  # classes of each image


def run(arguments: argparse.Namespace) -> int:
    """Read the images, and print the most probable classes; returns the exit code."""
    saved = SavedRun.load(arguments.folder)
    names, images = [], []
    for path in arguments.images:
        for name, image in read_images(Path(path), saved.image_shape):
            names.append(name)
            images.append(1 - image if arguments.invert else image)
    model, _ = saved.model()
    x = model_input(saved.settings, np.stack(images))
    probabilities = train.predict(model, x, output="probabilities")
    light = [name for name, image in zip(names, images, strict=True) if is_light(image)]
    if arguments.json:
        print(json.dumps(_as_json(names, probabilities, saved.class_names), indent=2))
    else:
        print(_as_table(names, probabilities, saved.class_names))
    if light:
        trained_on = saved.settings.data
        print(
            f"note: {', '.join(light)}: light background; {trained_on}, on which the network was "
            "trained, is light on dark: try --invert",
            file=sys.stderr,
        )
    return 0


def read_images(path: Path, shape: tuple[int, ...]) -> list[tuple[str, Any]]:
    """The images of a file, (H, W) float32 from 0 to 1, with their names.

    Raises:
        CommandError: it cannot be read, is no image, or has another size.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CommandError(f"cannot read an image: {path} {what}")
    array = _read_npy(path) if path.suffix.lower() == ".npy" else _read_picture(path)
    size = "x".join(map(str, array.shape))
    names = [str(path)] if array.ndim == 2 else [f"{path}[{i}]" for i in range(len(array))]
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 3 or array.shape[1:] != shape or not len(array):
        wanted = "x".join(map(str, shape))
        raise CommandError(
            f"{path} is {size}, but the network was trained on images of {wanted} (height x "
            "width); images are not resized here: crop it to the object and resize it first, for "
            f"example with Pillow: image.convert('L').resize(({shape[1]}, {shape[0]}))"
        )
    return list(zip(names, array, strict=True))


def is_light(image: Any) -> bool:
    """Whether the border of an image is lighter than half."""
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    return float(border.mean()) > 0.5


def _read_npy(path: Path) -> Any:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} is no .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
        raise CommandError(f"{path} is no .npy file of numbers")
    if array.dtype.kind == "f":
        if not array.size or not (np.min(array) >= 0 and np.max(array) <= 1):
            raise CommandError(
                f"{path} holds {array.dtype} that are not all from 0 to 1, as floating images are; "
                "images of 0 to 255 are saved as uint8"
            )
        return array.astype(np.float32)
    if array.size and not 0 <= array.min() <= array.max() <= 255:
        raise CommandError(
            f"{path} holds numbers from {array.min()} to {array.max()}, not 0 to 255"
        )
    return array.astype(np.float32) / np.float32(255)


def _read_picture(path: Path) -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise CommandError(
            f'to read {path} needs Pillow; get it with: pip install "tinygrad_fm[images]", or save '
            "the image as .npy"
        ) from error
    try:
        with Image.open(path) as opened:
            opened.load()
            image: Any = opened
            if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise CommandError(
                    f"{path} has pixels of mode {image.mode}; expected 8 bits, grey or in colour"
                )
            if image.mode in ("LA", "RGBA") or "transparency" in image.info:
                image = image.convert("RGBA")
                black = Image.new("RGBA", image.size, "black")  # Fashion-MNIST's background
                image = Image.alpha_composite(black, image)
            return np.asarray(image.convert("L"), np.float32) / np.float32(255)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise CommandError(f"{path} is no picture that can be read: {error}") from error


def _as_table(names: list[str], probabilities: Any, class_names: tuple[str, ...]) -> str:
    rows = [("image", "class", "probability", "otherwise")]
    for name, row in zip(names, probabilities, strict=True):
        first, *others = np.argsort(-row, kind="stable")[:SHOWN]
        otherwise = ", ".join(f"{class_names[i]} {row[i]:.1%}" for i in others)
        rows.append((name, class_names[first], f"{row[first]:>11.1%}", otherwise))
    head, *rest = table(rows).splitlines()
    return "\n".join([bold(head), *rest])


def _as_json(names: list[str], probabilities: Any, class_names: tuple[str, ...]) -> Any:
    return [
        {
            "image": name,
            "class": class_names[int(row.argmax())],
            "label": int(row.argmax()),
            "probabilities": dict(zip(class_names, map(float, row), strict=True)),
        }
        for name, row in zip(names, probabilities, strict=True)
    ]
