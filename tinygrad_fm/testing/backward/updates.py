"""Where a person's file updates parameters: what can be run is a step, of the rest it is said."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from tinygrad_fm.testing.backward.making import STEP, TURNS, method, needed, spelling
from tinygrad_fm.testing.backward.pairing import names_gradient
from tinygrad_fm.testing.backward.problem import RATE, Problem
from tinygrad_fm.testing.backward.roles import arguments_for, role_of
from tinygrad_fm.testing.backward.sources import SAMPLES, Source

TRAIN = ("train", "fit", "learn", "train_step", "training_step", "train_one_epoch", "train_epoch")
NETWORKS = ("net", "model", "network", "nn", "mlp", "layer", "self")
WORDS = (ast.Name, ast.Attribute, ast.Subscript)
TURNING = ("epoch", "iter", "steps", "turns")  # words in the names of how often to go round
# What may wait for somebody, or leaves something behind, and is not run.
BESIDES = ("plt.", "input(", "open(", "save", "sleep")


def add_step(problem: Problem, kind: type, source: Source) -> None:
    """Give a problem of an object its update: a method of the class, or a function of the file.

    One that trains, with its own forward and backward pass, is run for one turn.
    """
    holder = "net" if "net" in problem.world else "layer"
    for function, trains in _candidates(kind, source):
        known = _known(function, problem.world, problem.world[holder], trains)
        try:
            arguments_for(function, known)
        except TypeError:
            continue

        def step(world: dict[str, Any], returned: Any, function: Any = function) -> None:
            known = _known(function, world, world[holder], problem.step_trains)
            function(*arguments_for(function, {**known, "upstream": returned}))

        problem.step, problem.step_is_guessed, problem.step_trains = step, True, trains
        problem.takes_rate = problem.takes_rate or "lr" in map(role_of, needed(function))
        if function.__name__ in source.names:
            problem.functions.append(function)
        return


def _candidates(kind: type, source: Source) -> Iterator[tuple[Any, bool]]:
    """What may be an update: (a method or a function, whether it trains), the likeliest first."""
    if method(kind, STEP):
        yield getattr(kind, method(kind, STEP)), False
    functions = [source.scope[n] for n in source.names if inspect.isfunction(source.scope.get(n))]
    own = [getattr(kind, name) for name in (method(kind, TRAIN),) if name]
    for names, trains in ((STEP, False), (TRAIN, True)):
        spelled = [spelling(name) for name in names]
        for function in [*(own if trains else []), *functions]:
            first = (needed(function) or [""])[0]
            fits = first in NETWORKS or role_of(first) == "parameters"
            if fits and spelling(function.__name__) in spelled and not _does_more(function):
                yield function, trains


def _does_more(function: Any) -> bool:
    """Whether a function may wait for somebody, or leave something behind."""
    try:
        return any(word in inspect.getsource(function) for word in BESIDES)
    except (OSError, TypeError):
        return True


def _known(function: Any, world: dict[str, Any], net: Any, trains: bool) -> dict[str, Any]:
    """What an update may be given, by role or by name."""
    known: dict[str, Any] = {**dict.fromkeys(NETWORKS, net), "upstream": None, "samples": SAMPLES}
    if "lr" in map(role_of, needed(function)):
        known["lr"] = RATE  # else the one that is written there
    held = [v for n, v in vars(net).items() if isinstance(v, dict) and role_of(n) == "parameters"]
    if held:
        known["parameters"] = held[0]
    if trains:
        known |= {role: world[role] for role in ("x", "t") if role in world}
        names = inspect.signature(function).parameters
        known |= {name: 1 for name in names if any(word in name.lower() for word in TURNING)}
        for name in TURNS:
            if name in vars(net):
                setattr(net, name, 1)
    return known


def unseen(tree: ast.Module, seen: set[int]) -> Iterator[str]:
    """What is to be said of the updates in a file that were not run.

    Args:
        seen: the first lines of the functions that were.
    """
    for name, number, body in _functions(tree):
        every = (node for part in body for node in ast.walk(part) if isinstance(node, ast.stmt))
        lines = [node.lineno for node in every if _updates(node)]
        if lines and number not in seen:
            where = f"in {name}, line" if name else "at the top of the file, line"
            yield f"the update {where} {lines[0]}, was not looked at"


def _functions(tree: ast.Module) -> Iterator[tuple[str, int, list[ast.stmt]]]:
    """Functions and methods, and the statements that are in none: (name, line, statements)."""
    definitions = (ast.FunctionDef, ast.ClassDef)
    for part in tree.body:
        if isinstance(part, ast.FunctionDef):
            yield part.name, part.lineno, part.body
        elif isinstance(part, ast.ClassDef):
            methods = [inner for inner in part.body if isinstance(inner, ast.FunctionDef)]
            yield from ((f"{part.name}.{m.name}", m.lineno, m.body) for m in methods)
    yield "", 0, [part for part in tree.body if not isinstance(part, definitions)]


def _updates(node: ast.stmt) -> bool:
    """Whether a statement adds a learning rate times something, or its gradient, to an array."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
        target, value = ast.unparse(node.target), node.value
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
        target, value = ast.unparse(node.targets[0]), node.value
        if target not in {ast.unparse(n) for n in ast.walk(value) if isinstance(n, ast.expr)}:
            return False
    else:
        return False
    words = [ast.unparse(n) for n in ast.walk(value) if isinstance(n, WORDS)]
    rate = any(role_of(word.rpartition(".")[2]) == "lr" for word in words)
    return rate or any(names_gradient(word.replace("g[", "grads["), target) for word in words)
