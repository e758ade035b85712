"""Weights on disk, as safetensors: a format without code execution, read by every framework."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygrad_fm.nn import Module
from tinygrad_fm.train.files import replacing

CHECKPOINT = "tinygrad_fm.checkpoint"  # the key of a checkpoint's metadata; see resume.py
MODEL = "model."  # how the names of a checkpoint's weights begin
# endings by which other formats are known: reading such a file as one of those would fail
OTHERS = frozenset({".npz", ".npy", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".keras", ".onnx"})


def save_weights(
    model: Module, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write the parameters of a model, by their paths in it; an existing file is replaced whole.

    Args:
        model: its `state_dict()` is written.
        path: by custom it ends in `.safetensors`.
        metadata: words to keep with the weights, for people and other programs.

    Raises:
        ValueError: the name ends as that of another format, such as .npz or .pt.
        TypeError: the first argument is no model.
        OSError: the folder is missing or may not be written.
    """
    from safetensors.numpy import save

    if not hasattr(model, "state_dict"):
        raise TypeError(f"save_weights(model, path): the first argument is {model!r:.60}, no model")
    ending = Path(path).suffix.lower()
    if ending in OTHERS:
        raise ValueError(
            f"the weights are written in the format safetensors, and {os.fspath(path)!r} is named "
            f"as another; write {Path(path).with_suffix('.safetensors').name!r}"
        )
    content = save(model.state_dict(), dict(metadata) if metadata else None)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def load_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Copy weights from a safetensors file into a model; each is cast to its parameter's dtype.

    A checkpoint of the callback Checkpoint will do: its weights are taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no safetensors file, or its names or shapes are not the model's;
            the model is unchanged then.
    """
    values, metadata = load_file(path)
    if CHECKPOINT in metadata:
        values = {k.removeprefix(MODEL): v for k, v in values.items() if k.startswith(MODEL)}
    try:
        model.load_state_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays of a safetensors file by name, and its metadata.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"no weights to load: {path} {what}")
    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a safetensors file, or is damaged ({error}); save_weights writes them"
        ) from error
