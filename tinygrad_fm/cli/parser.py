"""The options of every command; what they do is imported when one runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

import tinygrad_fm
from tinygrad_fm.cli.settings import FLAG, OPTIONS
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
    _add_evaluate(commands)
    _add_predict(commands)
    _add_plot(commands)
    _add_graph(commands)
    _add_check(commands)
    _add_report(commands)
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
        "--config",
        metavar="FILE",
        help="a TOML file with settings, such as a run's config.toml; options win over it",
    )
    for option in OPTIONS:
        if option.kind is FLAG:
            train.add_argument(
                option.flag, action=argparse.BooleanOptionalAction, default=None, help=option.help
            )
        else:
            train.add_argument(
                option.flag, type=option.kind.of_text, metavar=option.metavar, help=option.help
            )
    train.add_argument(
        "--out", metavar="DIR", help="run folder, new or empty (the next free of runs/001, ...)"
    )


def _add_evaluate(commands: Any) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.evaluate import run

        return run(arguments)

    evaluate = _add(commands, "evaluate", "measure the network of a run on test images", run)
    evaluate.add_argument("folder", metavar="RUN", help="run folder, such as runs/001")
    evaluate.add_argument(
        "--data", metavar="NAME", help="data set with the same classes (that of the run)"
    )
    evaluate.add_argument("--data-root", metavar="DIR", help="look for the data set there only")
    evaluate.add_argument("--json", action="store_true", help="the same for programs")


def _add_predict(commands: Any) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.predict import run

        return run(arguments)

    predict = _add(
        commands,
        "predict",
        "say what is on images, with probabilities",
        run,
        epilog="An image is a PNG or another picture file of the size that the network was trained "
        "on, which needs Pillow (it comes with matplotlib), or a .npy file of one image (H, W) or "
        "several (N, H, W): bytes from 0 to 255, or numbers from 0 to 1. Images are not resized.",
    )
    predict.add_argument("folder", metavar="RUN", help="run folder, such as runs/001")
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="PNG or .npy file")
    predict.add_argument(
        "--invert", action="store_true", help="swap light and dark before looking at them"
    )
    predict.add_argument("--json", action="store_true", help="all probabilities, for programs")


def _add_plot(commands: Any) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.plot import run

        return run(arguments)

    plot = _add(
        commands,
        "plot",
        "draw pictures of a run, or of several on top of each other",
        run,
        epilog="Of one run: learning curves, confusion matrix, mistakes, first-layer weights, "
        "biases and hidden activations. Of several: their learning curves in one picture.",
    )
    plot.add_argument("folders", metavar="RUN", nargs="+", help="run folder, such as runs/001")
    plot.add_argument(
        "--out", metavar="DIR", help="folder for the pictures (that of the run; of several: .)"
    )
    plot.add_argument("--format", choices=("png", "svg"), default="png", help="(png)")


def _add_graph(commands: Any) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.graph import run

        return run(arguments)

    graph = _add(
        commands,
        "graph",
        "draw the computation graph of a network or of a function of yours",
        run,
        epilog="TARGET is mlp or cnn, a run folder, a graph that was saved as .json, or a variable "
        "of a module or file: package.module:name or file.py:name. That is a Tensor, a Graph, a "
        "function without arguments that returns one, or with --inputs a model or a function of "
        "arrays. Exit code 1 where the forward pass failed; it is drawn up to there.",
    )
    graph.add_argument("target", metavar="TARGET", help="what to draw")
    graph.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        default="graph.html",
        help=".html, .svg, .png, .pdf, .dot, .json, .mmd or .txt; - prints text (graph.html)",
    )
    graph.add_argument(
        "--inputs",
        metavar="SHAPE",
        nargs="+",
        default=[],
        help="shapes of the inputs, such as 32x784; random numbers of a fixed seed",
    )
    graph.add_argument(
        "--backward", choices=("no", "yes", "only"), default="no", help="draw gradients (no)"
    )
    graph.add_argument(
        "--values", action="store_true", help="with statistics of values and gradients, and times"
    )
    graph.add_argument(
        "--fold", metavar="DEPTH", default="auto", help="auto, none, or a depth from 0 (auto)"
    )
    graph.add_argument(
        "--direction", choices=("TB", "LR"), default="TB", help="top to bottom or left to right"
    )
    graph.add_argument("--diff", metavar="FILE", help="a graph saved as .json to compare with")
    graph.add_argument("--open", action="store_true", help="open the file when it is written")


def _add_check(commands: Any) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from tinygrad_fm.cli.check import run

        return run(arguments)

    check = _add(
        commands,
        "check",
        "hold a backward pass written by hand against the derivative of its forward pass",
        run,
        epilog="It looks for x_forward and x_backward, for classes with forward and backward or "
        "with a loss and a gradient, and for functions that return (loss, gradients); inputs are "
        "made up. Definitions are executed, top-level work is not. Exit codes: 0 right, 1 wrong, 2 "
        "could not run.",
    )
    check.add_argument(
        "target", metavar="FILE[::NAME]", help="a .py file, a notebook, or a folder of them"
    )
    check.add_argument(
        "--format", choices=("text", "markdown", "json", "junit"), default="text", help="(text)"
    )


def _add_report(commands: Any) -> None:
    def command(name: str) -> Any:
        def run(arguments: argparse.Namespace) -> int:
            from tinygrad_fm.cli import report

            code: int = getattr(report, name)(arguments)
            return code

        return run

    report = _add(commands, "report", "repeat the experiments of five published student reports")
    actions = report.add_subparsers(title="commands", metavar=COMMAND, parser_class=Parser)
    made = {
        "list": _add(
            actions, "list", "list them, with about how long each takes", command("show_list")
        ),
        "run": _add(
            actions,
            "run",
            "train as a report says, and print its numbers beside those measured",
            command("run"),
            epilog="What is done is kept and not done again; Ctrl-C keeps what is under way up to "
            "its last whole epoch. --epochs, --images and --data are for a look: their results are "
            "kept apart, and not compared.",
        ),
        "compare": _add(
            actions, "compare", "hold all that was run against the reports", command("compare")
        ),
        "page": _add(actions, "page", "write it on one page, with pictures", command("page")),
    }
    for action in made.values():
        action.add_argument(
            "--folder", metavar="DIR", default="runs/reports", help="of results (runs/reports)"
        )
    run = made["run"]
    run.add_argument(
        "experiments",
        metavar="NAME",
        nargs="+",
        help="all, a report (zheng), an experiment (zheng/Z2), or a case of it (zheng/Z5/0.01)",
    )
    form = run.add_mutually_exclusive_group()
    form.add_argument("--as-meant", action="store_true", help="without the slips of the report")
    form.add_argument("--both", action="store_true", help="as printed, and as meant")
    run.add_argument("--seed", type=int, metavar="N", nargs="+", help="(those of the recipe)")
    run.add_argument("--jobs", type=int, metavar="N", default=1, help="trainings at a time (1)")
    run.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's")
    run.add_argument("--images", type=int, metavar="N", help="train on the first N only")
    run.add_argument("--data", metavar="NAME", help="data set instead of the recipe's")
    made["compare"].add_argument(
        "--out", metavar="FILE", help="write it as Markdown: tinygrad_fm/reports/RESULTS.md"
    )
    made["page"].add_argument(
        "--out", metavar="FILE", default="reports.html", help="(reports.html)"
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
