"""The settings of a training: from options and a TOML file, checked alike, and written back."""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tinygrad_fm.cli.text import CommandError, nearest

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu")
# by optimizer: the learning rate where none is given, and the settings that only it has
RATES = {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.02, "rmsprop": 1e-3, "adagrad": 0.01}
OWN_SETTINGS = {"momentum": "sgd", "weight_decay": "adamw"}
# by schedule: its numbers where none are given
SCHEDULES: dict[str, tuple[float, ...]] = {
    "constant": (),
    "step": (10, 0.1),
    "exponential": (0.95,),
    "cosine": (),
    "warmup": (500,),
    "one-cycle": (),
    "drop": (0.5,),
}


@dataclass(frozen=True)
class Settings:
    """What a run is made with; the same settings give the same weights, bit for bit."""

    data: str
    data_root: str | None
    model: str
    hidden: tuple[int, ...]
    channels: tuple[int, ...] | None
    activation: str
    batch_norm: bool
    dropout: float
    optimizer: str
    lr: float
    momentum: float | None
    weight_decay: float | None
    schedule: str
    epochs: int
    batch_size: int
    validation: float
    early_stopping: int | None
    seed: int

    @property
    def chooses(self) -> bool:
        """Whether something is decided by the validation images."""
        return self.early_stopping is not None or self.schedule.startswith("drop")

    def to_toml(self, comment: str = "") -> str:
        """The settings as a file for `--config`; what is None is left out."""
        lines = [f"# {line}" for line in comment.splitlines()]
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                # JSON writes numbers, strings, lists and booleans as TOML does
                lines.append(f"{field.name} = {json.dumps(value, ensure_ascii=False)}")
        return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------------------------
# Kinds of values
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of value: what is expected, how text becomes one, and what is one.

    `parse` and `check` raise ValueError or TypeError for what is none.
    """

    expected: str
    parse: Callable[[str], Any]
    check: Callable[[Any], Any]
    words: tuple[str, ...] = ()  # to suggest the nearest of

    def of_text(self, text: str) -> Any:
        """The value that an option gives.

        Raises:
            argparse.ArgumentTypeError: it is none.
        """
        try:
            return self.check(self.parse(text))
        except (ValueError, TypeError):
            message = f"expected {self.expected}, not {text!r}"
            raise argparse.ArgumentTypeError(message + self._hint(text)) from None

    def of_toml(self, value: Any) -> Any:
        """The value that a file gives.

        Raises:
            ValueError: it is none; the message says what was expected.
        """
        try:
            return self.check(value)
        except (ValueError, TypeError):
            message = f"expected {self.expected}, not {value!r}"
            raise ValueError(message + self._hint(value)) from None

    def _hint(self, value: Any) -> str:
        return nearest(value, self.words) if isinstance(value, str) else ""


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError
    return value


def _number(value: Any, allowed: Callable[[float], bool]) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not allowed(value):
        raise ValueError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def at_least(least: int) -> Kind:
    """A whole number, not below `least`."""
    return Kind(f"a whole number, at least {least}", int, lambda v: _whole(v, least))


def one_of(*words: str) -> Kind:
    """One of some words."""

    def check(value: Any) -> Any:
        if value not in words:
            raise ValueError
        return value

    return Kind(f"one of {', '.join(words)}", str, check, words)


def _check_widths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError
    return tuple(_whole(v, 1) for v in value)


def schedule_parts(text: str) -> tuple[str, tuple[float, ...]]:
    """A schedule's name and numbers, such as step:10,0.5.

    Raises:
        ValueError: it is none.
    """
    name, colon, rest = text.partition(":")
    if name not in SCHEDULES:
        raise ValueError(text)
    defaults = SCHEDULES[name]
    numbers = tuple(float(part) for part in rest.split(",")) if colon else defaults
    if len(numbers) != len(defaults) or not all(0 < n < math.inf for n in numbers):
        raise ValueError(text)
    if name in ("step", "warmup") and (numbers[0] < 1 or numbers[0] % 1):
        raise ValueError(text)
    if name in ("drop", "step") and numbers[-1] >= 1:
        raise ValueError(text)
    return name, numbers


def _check_schedule(value: Any) -> str:
    schedule_parts(_text(value))
    return str(value)


POSITIVE = Kind("a number above 0", float, lambda v: _number(v, lambda x: 0 < x < math.inf))
NOT_NEGATIVE = Kind("a number, at least 0", float, lambda v: _number(v, lambda x: 0 <= x < 1e9))
SHARE = Kind("a number from 0 and below 1", float, lambda v: _number(v, lambda x: 0 <= x < 1))
TEXT = Kind("some text", str, _text)
FLAG = Kind("true or false", lambda text: {"true": True, "false": False}[text], _flag)
WIDTHS = Kind(
    "whole numbers above 0 with commas between, as in 128,64",
    lambda text: [int(part) for part in text.split(",")] if text.strip() else [],
    _check_widths,
)
SCHEDULE = Kind(
    "constant, step:EPOCHS,FACTOR, exponential:FACTOR, cosine, warmup:STEPS, one-cycle or "
    "drop:FACTOR",
    str,
    _check_schedule,
    tuple(SCHEDULES),
)

# --------------------------------------------------------------------------------------------------
# The table: every setting, for options and files alike
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """One setting: in a file by its name, on the command line with -- and hyphens."""

    name: str
    kind: Kind
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """As it is spelled on the command line."""
        return f"--{self.name.replace('_', '-')}"


OPTIONS = [
    Option(
        "data",
        TEXT,
        "NAME",
        "data set (fashion-mnist where it is found, otherwise the shipped fashion-mnist-mini)",
    ),
    Option("data_root", TEXT, "DIR", "look for the data set there only"),
    Option(
        "model", one_of("mlp", "cnn"), "KIND", "mlp, a perceptron, or cnn, with convolutions (mlp)"
    ),
    Option(
        "hidden", WIDTHS, "N,N", 'widths of the hidden layers (128,64; none for cnn); "" for none'
    ),
    Option("channels", WIDTHS, "N,N", "for cnn: channels of its 3x3 convolutions (16,32)"),
    Option("activation", one_of(*ACTIVATIONS), "NAME", f"{', '.join(ACTIVATIONS)} (relu)"),
    Option("batch_norm", FLAG, "", "normalise over the batch before each activation (no)"),
    Option("dropout", SHARE, "P", "share of the hidden units that are dropped in training (0)"),
    Option("optimizer", one_of(*RATES), "NAME", f"{', '.join(RATES)} (adam)"),
    Option(
        "lr",
        POSITIVE,
        "X",
        f"learning rate ({', '.join(f'{rate:g} for {name}' for name, rate in RATES.items())})",
    ),
    Option("momentum", SHARE, "X", "for sgd (0.9)"),
    Option("weight_decay", NOT_NEGATIVE, "X", "for adamw (0.01)"),
    Option(
        "schedule",
        SCHEDULE,
        "NAME",
        "of the learning rate: constant, step:EPOCHS,FACTOR, exponential:FACTOR (each epoch), "
        "cosine, warmup:STEPS (then cosine), one-cycle, drop:FACTOR (when the validation accuracy "
        "drops) (constant)",
    ),
    Option("epochs", at_least(1), "N", "times through the images (20; 15)"),
    Option("batch_size", at_least(1), "N", "images for each update (128; 32)"),
    Option(
        "validation",
        SHARE,
        "SHARE",
        "of the training images, held out to choose by (0.1 with --early-stopping or drop, else 0: "
        "the test images are measured after each epoch, and nothing is chosen by them)",
    ),
    Option(
        "early_stopping",
        at_least(1),
        "N",
        "stop after N epochs without a lower validation loss, and keep the best weights (no)",
    ),
    Option("seed", at_least(0), "S", "of weights and batches (0)"),
]

# which of them have no value in some runs, and are left out of their files
OPTIONAL = ("data_root", "channels", "momentum", "weight_decay", "early_stopping")


def read_config(path: Path) -> dict[str, Any]:
    """The settings that a file gives, checked.

    Raises:
        CommandError: it cannot be read, is no TOML, or has an unknown key or a wrong value.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"cannot read the configuration: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is no TOML file: {error}") from error
    kinds = {option.name: option.kind for option in OPTIONS}
    settings = {}
    for key, value in found.items():
        if key not in kinds:
            hint = nearest(key, kinds) or f"; expected {', '.join(kinds)}"
            raise CommandError(f"{path}: unknown key {key!r}{hint}")
        try:
            settings[key] = kinds[key].of_toml(value)
        except ValueError as error:
            raise CommandError(f"{path}: {key}: {error}") from None
    return settings
