"""The options of every command; what they do is imported when one runs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import tinygrad_fm
from tinygrad_fm.cli.text import nearest

COMMAND = "COMMAND"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are short and suggest what was meant."""

    def __init__(self, **options: Any):
        # an abbreviation that works today could mean another option tomorrow
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2, naming the command, the problem, and where to read more."""
        self.exit(2, f"{self.prog}: {message}\nSee {self.prog} --help\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            message = f"{value!r} is none of {', '.join(known)}{nearest(str(value), known)}"
            if action.metavar == COMMAND:
                raise argparse.ArgumentError(None, f"unknown command: {message}")
            raise argparse.ArgumentError(action, message)


def unknown_words(command: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """The message for options or words that a command does not know."""
    options = [option for action in command._actions for option in action.option_strings]
    messages = []
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("-"):
            messages.append(f"unknown option {name}{nearest(name, options)}")
    return "\n".join(messages) or f"one word too many: {words[0]!r}"


def make_parser() -> Parser:
    """The parser of all commands; after parsing, `run(arguments)` is the command itself."""
    parser = Parser(
        prog="tinygrad-fm",
        description="Train a network on images with an autograd framework you can read.",
        epilog="Exit codes: 0 all is well, 1 it failed, 2 wrong usage, 130 interrupted.",
    )
    parser.add_argument(
        "--version", action="version", version=f"tinygrad-fm {tinygrad_fm.__version__}"
    )
    commands = parser.add_subparsers(title="commands", metavar=COMMAND, parser_class=Parser)
    _add_train(commands)
    _add_data(commands)
    _add_doctor(commands)
    return parser


def _add(commands: Any, name: str, help: str, run: Any = None, **options: Any) -> Parser:
    made: Parser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", **options
    )
    made.set_defaults(parser=made, **({"run": run} if run else {}))
    return made


def _add_train(commands: Any) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.train import run

        return run(arguments)

    train = _add(
        commands,
        "train",
        "train a network on Fashion-MNIST and write a run folder",
        run,
        epilog="Defaults in parentheses; where there are two, the second is for "
        "fashion-mnist-mini. Ctrl-C stops early and writes what was learned.",
    )
    train.add_argument(
        "--data",
        metavar="NAME",
        help="data set (fashion-mnist where it is found, otherwise the shipped fashion-mnist-mini)",
    )
    train.add_argument("--data-root", metavar="DIR", help="look for the data set there only")
    train.add_argument(
        "--epochs", type=at_least(1), metavar="N", help="times through the images (20; 15)"
    )
    train.add_argument(
        "--batch-size", type=at_least(1), metavar="N", help="images for each update (128; 32)"
    )
    train.add_argument(
        "--lr", type=positive, metavar="X", help="learning rate (0.001 for adam, 0.02 for sgd)"
    )
    train.add_argument(
        "--hidden",
        type=widths,
        default=(128, 64),
        metavar="N,N",
        help='widths of the hidden layers (128,64); "" for none',
    )
    train.add_argument("--optimizer", choices=("adam", "sgd"), default="adam", help="(adam)")
    train.add_argument("--momentum", type=share, metavar="X", help="for sgd (0.9)")
    train.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="of weights and batches (0)"
    )
    train.add_argument(
        "--out", metavar="DIR", help="run folder, new or empty (the next free of runs/001, ...)"
    )


def _add_data(commands: Any) -> None:
    def info(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.data import info

        return info(arguments)

    def fetch(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.data import fetch

        return fetch(arguments)

    data = _add(commands, "data", "look at data sets, or download one")
    actions = data.add_subparsers(title="commands", metavar=COMMAND, parser_class=Parser)
    described = _add(actions, "info", "list the data sets, or check and describe one", info)
    described.add_argument("name", nargs="?", metavar="NAME", help="data set to describe")
    fetched = _add(actions, "fetch", "download a data set and verify it", fetch)
    fetched.add_argument("name", metavar="NAME", help="data set to download")
    fetched.add_argument("--to", metavar="DIR", help="folder for its files (the user's cache)")


def _add_doctor(commands: Any) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.doctor import run

        return run(arguments)

    doctor = _add(
        commands, "doctor", "say what is installed, what was found, and whether it works", run
    )
    doctor.add_argument("--json", action="store_true", help="the same for programs")


# --------------------------------------------------------------------------------------------------
# Values of options
# --------------------------------------------------------------------------------------------------


def at_least(least: int) -> Callable[[str], int]:
    """A whole number, not below `least`."""

    def whole_number(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number, at least {least}, not {text!r}"
            )
        return number

    return whole_number


def positive(text: str) -> float:
    """A number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, not {text!r}")
    return number


def share(text: str) -> float:
    """A number from 0, and below 1."""
    number = _number(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 and below 1, not {text!r}")
    return number


def widths(text: str) -> tuple[int, ...]:
    """Whole numbers above 0, with commas between them."""
    try:
        numbers = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        numbers = (0,)
    if any(number < 1 for number in numbers):
        raise argparse.ArgumentTypeError(
            f"expected whole numbers above 0 with commas between, as in 128,64, not {text!r}"
        )
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
