"""A run folder that was written before: its settings, its model with weights, its history."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_fm import data, nn, train
from tinygrad_fm.cli.build import build_model
from tinygrad_fm.cli.data import checked_name
from tinygrad_fm.cli.settings import OPTIONAL, Settings, read_config
from tinygrad_fm.cli.text import CommandError


@dataclass(frozen=True)
class SavedRun:
    """What a run folder holds.

    Attributes:
        image_shape: (H, W) of the images it was trained on.
        result: result.json.
    """

    path: Path
    settings: Settings
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]
    result: dict[str, Any]

    @classmethod
    def load(cls, folder: str) -> SavedRun:
        """Read the configuration and the facts; model and history are read when asked for.

        Raises:
            CommandError: it is no run folder, or a file in it is damaged.
        """
        path = Path(folder).expanduser()
        for name in ("config.toml", "result.json", "weights.safetensors"):
            if not (path / name).is_file():
                what = "is no run folder" if path.is_dir() else "is no folder"
                raise CommandError(
                    f"{folder} {what}: {path / name} is missing; `tinygrad-fm train` writes them"
                )
        absent = dict.fromkeys(OPTIONAL)
        try:
            settings = Settings(**{**absent, **read_config(path / "config.toml")})
            result = json.loads((path / "result.json").read_text(encoding="utf-8"))
            names, shape = result["data"]["class_names"], result["data"]["image_shape"]
        except (TypeError, KeyError, ValueError, OSError) as error:
            raise CommandError(f"{folder} is damaged, or of another version: {error}") from error
        return cls(path, settings, tuple(names), tuple(shape), result)

    def model(self) -> tuple[nn.Sequential, str]:
        """The network with its weights, and its name.

        Raises:
            CommandError: the weights are not of this network.
        """
        model, name = build_model(self.settings, self.image_shape, len(self.class_names))
        try:
            train.load_weights(model, self.path / "weights.safetensors")
        except (ValueError, OSError) as error:
            raise CommandError(error) from error
        return model, name

    def history(self) -> train.History:
        """What was measured in each epoch.

        Raises:
            CommandError: history.jsonl is missing or damaged.
        """
        try:
            return train.History.load(self.path / "history.jsonl")
        except (ValueError, OSError) as error:
            raise CommandError(error) from error

    def test_data(self, name: str | None = None, root: str | None = None) -> data.Dataset:
        """The test images of the set it was trained on, or of another with the same classes.

        Raises:
            CommandError: it is not found, or has other images or another number of classes.
        """
        name = self.settings.data if name is None else checked_name(name)
        if root is None and name == self.settings.data:
            root = self.settings.data_root
        try:
            found = data.load(name, root, parts="test")
        except data.DataError as error:
            raise CommandError(error) from error
        if len(found.class_names) != len(self.class_names):
            raise CommandError(
                f"{name} has {len(found.class_names)} classes, the network of {self.path} "
                f"{len(self.class_names)}"
            )
        shape = found.test_images.shape[1:]
        if shape != self.image_shape:
            raise CommandError(
                f"{name} has images of {_size(shape)}, the network of {self.path} was trained on "
                f"{_size(self.image_shape)}"
            )
        return found


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
