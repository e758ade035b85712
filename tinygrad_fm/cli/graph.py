"""`tinygrad-fm graph`: the graph of a network, of a run, or of something in a user's file."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import sys
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm import nn
from tinygrad_fm.cli.build import build_model, model_input
from tinygrad_fm.cli.saved import SavedRun
from tinygrad_fm.cli.text import CommandError, UsageError, nearest
from tinygrad_fm.cli.train import settings_of
from tinygrad_fm.graph import Graph, RenderError, draw, graph_diff
from tinygrad_fm.tensor import Tensor

BATCH = 32  # images in the batch that a network is drawn with
MODELS = ("mlp", "cnn")


def run(arguments: argparse.Namespace) -> int:
    """Draw, write, and perhaps open; returns the exit code."""
    fold: Any = arguments.fold
    if fold not in ("auto", "none"):
        if not fold.isdecimal():
            raise UsageError(f"--fold is auto, none or a depth from 0, not {fold!r}")
        fold = int(fold)
    graph = _graph(arguments)
    if arguments.diff is not None:
        try:
            graph = graph_diff(_saved(arguments.diff), graph)
        except ValueError as error:
            raise CommandError(error) from error
    if arguments.out == "-":
        print(graph.to_text(fold), end="")
    else:
        try:
            path = graph.save(arguments.out, fold)
        except (RenderError, ValueError, OSError) as error:
            raise CommandError(error) from error
        print(f"{path} written: {graph}")
        if arguments.open:
            webbrowser.open(path.resolve().as_uri())
    if graph.error:
        where = f" ({graph.failed_at})" if graph.failed_at else ""
        print(f"the forward pass failed{where}:\n{graph.error}", file=sys.stderr)
        return 1
    return 0


def _graph(arguments: argparse.Namespace) -> Graph:
    target: str = arguments.target
    if arguments.inputs and ":" not in target:
        raise UsageError(f"--inputs is for code of your own, file.py:name, and not for {target}")
    if target in MODELS:
        settings = settings_of({"model": target}, "fashion-mnist")
        images: Any = np.random.default_rng(0).random((BATCH, 28, 28), dtype=np.float32)
        model, name = build_model(settings, (28, 28), 10)
        return _network(model, name, model_input(settings, images), arguments)
    if target.endswith(".json"):
        return _saved(target)
    if Path(target).is_dir():
        saved = SavedRun.load(target)
        model, name = saved.model()
        images = saved.test_data().test_images[:BATCH]
        return _network(model, name, model_input(saved.settings, images), arguments)
    if ":" not in target:
        near = nearest(target, MODELS)
        raise UsageError(
            f"{target!r} is no network ({', '.join(MODELS)}){near}, no run folder and no .json "
            "file; of your own code name a variable: file.py:name"
        )
    return _own(_look_up(target), target, arguments)


def _network(model: Any, name: str, images: Any, arguments: argparse.Namespace) -> Graph:
    """The graph of a network's loss."""
    criterion = nn.CrossEntropyLoss()
    classes = int(name.rpartition("-")[2])
    target = np.arange(len(images)) % classes

    def loss(images: Any) -> Any:
        return criterion(model(images), target)

    graph = draw(loss, (images,), **_options(arguments))
    graph.title = name
    return graph


def _own(found: Any, target: str, arguments: argparse.Namespace) -> Graph:
    """The graph of something of the user's."""
    rng = np.random.default_rng(0)
    inputs = tuple(
        rng.standard_normal(_shape(text)).astype(np.float32) for text in arguments.inputs
    )
    if not inputs and callable(found) and not isinstance(found, (Tensor, nn.Module)):
        needed = [
            p.name
            for p in inspect.signature(found).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if needed:
            raise UsageError(f"{target} takes {', '.join(needed)}; give shapes: --inputs 32x784")
        found = found()
    if isinstance(found, type) and inputs:
        try:
            found = found()  # a model's class
        except TypeError as error:
            raise CommandError(
                f"{target} cannot be made without arguments: {error}; make one in the file, such "
                "as model = ..., and name that"
            ) from error
    if isinstance(found, Graph):
        return found
    if isinstance(found, nn.Module) and not inputs:
        raise UsageError(f"{target} is a model; give the shape of its input: --inputs 32x784")
    try:
        return draw(found, inputs or None, **_options(arguments))
    except (ValueError, TypeError) as error:
        raise CommandError(f"{target}: {error}") from error


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "backward": {"no": False, "yes": True, "only": "only"}[arguments.backward],
        "values": arguments.values,
        "direction": arguments.direction,
    }


def _look_up(target: str) -> Any:
    """The variable of a module or file that `module:name` means."""
    where, _, names = target.rpartition(":")
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(where).stem, where)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.path.insert(0, str(Path(where).resolve().parent))  # what the file imports itself
            spec.loader.exec_module(module)
        else:
            sys.path.insert(0, "")
            module = importlib.import_module(where)
    except (ImportError, OSError, SyntaxError) as error:
        raise CommandError(f"cannot import {where}: {error}") from error
    found: Any = module
    for name in names.split("."):
        if not hasattr(found, name):
            known = [n for n in vars(module) if not n.startswith("_")]
            raise CommandError(f"{where} has no {names}{nearest(names, known)}")
        found = getattr(found, name)
    return found


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--inputs takes shapes such as 32x784, not {text!r}")
    return tuple(map(int, parts))


def _saved(path: str) -> Graph:
    try:
        return Graph.load(path)
    except (ValueError, OSError) as error:
        raise CommandError(error) from error
