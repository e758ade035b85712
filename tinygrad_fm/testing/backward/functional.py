"""Networks written as functions: one makes the parameters, one goes forward, one goes back."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.making import CLASSES, FEATURES, HIDDEN, needed, rng
from tinygrad_fm.testing.backward.places import is_float, places
from tinygrad_fm.testing.backward.problem import (
    RATE,
    CannotRunError,
    Problem,
    generator_kept,
    holds_floats,
    takes_rate,
)
from tinygrad_fm.testing.backward.record import in_words
from tinygrad_fm.testing.backward.roles import arguments_for, role_of
from tinygrad_fm.testing.backward.solving import solved, weights_of
from tinygrad_fm.testing.backward.sources import SAMPLES, Source

FORWARD_WORDS = ("forward", "feed", "propag", "fprop", "predict")
BACKWARD_WORDS = ("back", "bprop", "grad")
MAKING_WORDS = ("init", "create", "make", "setup", "build", "param")
LOSS_WORDS = ("loss", "cost", "error", "entropy", "mse")
STEP_WORDS = ("update", "step", "sgd", "descent")
NO_LOSS = (*BACKWARD_WORDS, "prime", "deriv", "update", "plot", "train")
NO_BACKWARD = (*STEP_WORDS, *LOSS_WORDS, "train", "check", "numer", "clip")  # but have such words

# Losses of programs that only write down the error: what its derivative is that of.
IMPLIED: dict[str, Callable[[Any, Any], Any]] = {
    "half the sum of the squared errors": lambda y, t: 0.5 * np.sum((y - t) ** 2),
    "cross-entropy": lambda y, t: -np.sum(t * np.log(y + 1e-15)),
    "binary cross-entropy": lambda y, t: (
        -np.sum(t * np.log(y + 1e-15) + (1 - t) * np.log(1 - y + 1e-15))
    ),
}


@dataclass(frozen=True)
class Network:
    """The functions of one network, by name; `make` is empty where the file makes no parameters."""

    make: str
    forward: str
    backward: str


def networks(source: Source) -> Iterator[Network]:
    """The networks of a file: for each backward pass, what fits it by the names of arguments."""
    functions = {
        n: source.scope[n] for n in source.names if inspect.isfunction(source.scope.get(n))
    }
    no_maker = ("forward", "back", *STEP_WORDS)
    makers = [n for n in functions if _says(n, MAKING_WORDS) and not _says(n, no_maker)]
    forwards = [n for n in functions if _says(n, FORWARD_WORDS) and not _says(n, ("back",))]
    backwards = [n for n in functions if _says(n, BACKWARD_WORDS) and not _says(n, ("forward",))]
    for backward in backwards:
        alike = sorted(forwards, key=lambda name: -_alike(name, backward))
        for make, forward in itertools.product(makers, alike):
            made = set(returned(functions[make]))
            if not _parameters_used(functions[forward], made):
                continue
            if not _fits(functions[forward], made, ("x", "t", "parameters")):
                continue
            known = made | set(returned(functions[forward]))
            roles = ("x", "t", "parameters", "output", "cache", "lr", "samples", "penalty")
            if _fits(functions[backward], known, roles):
                yield Network(make, forward, backward)
                break
        else:
            for forward in [] if _says(backward, NO_BACKWARD) else alike:
                if _needs_labels(functions[forward], functions[backward]):
                    yield Network("", forward, backward)
                    break


def _needs_labels(forward: Any, backward: Any) -> bool:
    """Whether they are a network without its loss: labels are only known on the way back."""
    known = {*needed(forward), *returned(forward)}
    labels = {name for name in needed(backward) if role_of(name) == "t"} - known
    roles = ("x", "t", "output", "cache", "lr", "samples", "penalty", "parameters")
    return bool(weights_of(forward) and labels) and _fits(backward, known, roles)


def problems(network: Network, source: Source) -> Iterator[Problem]:
    """A network with every arrangement of data and losses that it may be meant for."""
    forward, backward = source.scope[network.forward], source.scope[network.backward]
    make = source.scope[network.make] if network.make else None
    reason = ""
    losses = [n for n in source.names if _says(n, LOSS_WORDS) and not _says(n, NO_LOSS)]
    for parameters, (x, t) in _arrangements(make, forward):
        for name, loss in [(n, source.scope[n]) for n in losses] + list(IMPLIED.items()):
            implied = name in IMPLIED
            step = _step(source, parameters, returned(backward))
            problem = _problem(parameters, (x, t), forward, backward, loss, implied, step)
            problem.title = f"{network.forward} and {network.backward}"
            fails = _fails(problem)
            if fails is not None:
                reason = reason or fails
                continue
            if implied:
                problem.notes.append(f"no loss is defined: checked as {name}")
            elif len(losses) > 1:
                problem.notes.append(f"the loss is {name}")
            yield problem
            reason = "no other inputs fit"
            if not implied:
                break  # a loss of the file's own: no other is implied


def _arrangements(make: Any, forward: Any) -> Iterator[tuple[dict[str, Any], tuple[Any, Any]]]:
    """Parameters with data that fits them.

    Raises:
        CannotRunError: the forward pass runs with none.
    """
    reason, any_ran = "", False
    for parameters in _parameters(make) if make is not None else _solved_parameters(forward):
        try:
            for data in _data(parameters, forward):
                any_ran = True
                yield parameters, data
        except CannotRunError as error:
            reason = reason or str(error)
    if not any_ran:
        name = (make or forward).__name__
        raise CannotRunError(reason or f"{name} runs with no sizes that were tried")


def _problem(
    parameters: dict[str, Any],
    data: tuple[Any, Any],
    forward: Any,
    backward: Any,
    loss: Any,
    implied: bool,
    step: Any,
) -> Problem:
    own = [*parameters]
    world = {**parameters, "x": data[0], "t": data[1]}

    def known_to(world: dict[str, Any]) -> dict[str, Any]:
        known: dict[str, Any] = {name: world[name] for name in own}
        known |= {"x": world["x"], "t": world["t"], "lr": RATE, "samples": SAMPLES, "penalty": 0.1}
        if len(own) == 1 and not is_float(world[own[0]]):
            known["parameters"] = world[own[0]]
        return known

    def through(world: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        known = known_to(world)
        result = forward(*arguments_for(forward, known))
        output, cache = output_of(result)
        names = returned(forward)
        if isinstance(result, tuple) and len(names) == len(result):
            known |= dict(zip(names, result, strict=True))
        elif names:
            known[names[0]] = result
        return {**known, "output": output, "cache": cache}, output

    def run(world: dict[str, Any]) -> tuple[Any, Any]:
        known, output = through(world)
        if implied:
            return loss(output, _like(world["t"], output)), known
        value = loss(*arguments_for(loss, known))
        return (value[0] if isinstance(value, tuple) else value), known

    def back(world: dict[str, Any], result: Any, rest: Any, upstream: Any) -> Any:
        return backward(*arguments_for(backward, rest))

    def stepped(world: dict[str, Any], gradients: Any) -> None:
        known = known_to(world) | {"upstream": gradients, "parameters": world[own[0]]}
        if isinstance(gradients, tuple):
            known |= dict(zip(returned(backward), gradients, strict=False))
        result = step(*arguments_for(step, known))
        if isinstance(result, tuple) and len(result) >= len(own):
            world.update(zip(own, result, strict=False))
        elif result is not None:
            world[own[0]] = result

    return Problem(
        step=stepped if step is not None else None,
        step_is_guessed=True,
        title=forward.__name__,
        world=world,
        forward=run,
        backward=back,
        functions=[forward, backward, *([] if implied else [loss]), *([step] if step else [])],
        data=("x", "t"),
        names=tuple(returned(backward)),
        takes_rate=takes_rate(backward) or takes_rate(step),
        samples=SAMPLES,
    )


def _step(source: Source, parameters: dict[str, Any], gradients: list[str]) -> Any:
    """The function of the file that updates the parameters, if one takes what is known."""
    known = {*parameters, *(name for name in gradients if name.isidentifier())}
    for name in source.names:
        function = source.scope.get(name)
        fits = inspect.isfunction(function) and _says(name, STEP_WORDS)
        if fits and _fits(function, known, ("parameters", "lr", "upstream")):
            return function
    return None


def output_of(result: Any) -> tuple[Any, Any]:
    """The output among what a forward function returns, and what is kept for the way back."""
    if isinstance(result, dict):
        arrays = [v for v in result.values() if is_float(v)]
        return (arrays[-1] if arrays else None), result
    if not isinstance(result, tuple):
        return result, result
    kept = [part for part in result if isinstance(part, (dict, list, tuple))]
    arrays = [part for part in result if is_float(part)]
    if not arrays:
        inner = [output_of(tuple(part))[0] for part in kept if isinstance(part, (list, tuple))]
        return (inner[-1] if inner else None), result
    return (arrays[0], kept[0]) if kept else (arrays[-1], result)


def returned(function: Any) -> list[str]:
    """The names in a function's last return statement: A2, cache."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []
    values = [n.value for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value]
    if not values:
        return []
    parts = values[-1].elts if isinstance(values[-1], ast.Tuple) else [values[-1]]
    return [ast.unparse(part) for part in parts]


def _says(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name.lower() for word in words)


def _alike(forward: str, backward: str) -> int:
    """How long a beginning two names share: L_model_forward, L_model_backward."""
    pairs = enumerate(zip(forward.lower(), backward.lower(), strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(forward), len(backward)))


def _parameters_used(forward: Any, made: set[str]) -> bool:
    names = inspect.signature(forward).parameters
    return any(name in made or role_of(name) == "parameters" for name in names)


def _fits(function: Any, known: set[str], roles: tuple[str, ...]) -> bool:
    """Whether everything that a function needs is known by its name or its role."""
    return all(name in known or role_of(name) in roles for name in needed(function))


def _parameters(make: Any) -> Iterator[dict[str, Any]]:
    """What the function that makes the parameters gives, by name, for several sizes."""
    seen: set[str] = set()
    for last, rows in itertools.product((1, CLASSES), (True, False)):
        x = rng().standard_normal((SAMPLES, FEATURES) if rows else (FEATURES, SAMPLES))
        y = np.ones((SAMPLES, last) if rows else (last, SAMPLES))
        given: list[Any] = []
        at = 0
        for name in needed(make):
            sizes = [FEATURES, HIDDEN, last]
            if any(w in name.lower() for w in ("dims", "sizes", "layers", "struct", "nodes")):
                given.append(sizes)
            elif role_of(name) in ("x", "t"):
                given.append(x if role_of(name) == "x" else y)
            else:
                given.append(_size(name, sizes, at))
                at += 1
        if str(given) in seen:
            continue
        seen.add(str(given))
        try:
            with generator_kept(), np.errstate(all="ignore"):
                made = make(*given)
        except Exception:
            continue
        names = returned(make)
        parts = made if isinstance(made, tuple) else (made,)
        if len(parts) == 1:
            yield {names[0] if names and names[0].isidentifier() else "parameters": made}
        elif len(names) == len(parts):
            yield dict(zip(names, parts, strict=True))


def _solved_parameters(forward: Any) -> Iterator[dict[str, Any]]:
    """Parameters of a forward pass, as those that it runs with, of several shapes."""
    for arguments in solved(forward):
        yield {n: v for n, v in arguments.items() if role_of(n) != "x" and holds_floats(v)}


def _size(name: str, sizes: list[int], at: int) -> int:
    word = name.lower()
    if word.endswith(("_x", "_in")) or "input" in word or "feature" in word:
        return sizes[0]
    if word.endswith(("_y", "_out")) or "output" in word or "class" in word:
        return sizes[2]
    if word.endswith("_h") or "hidden" in word:
        return sizes[1]
    return sizes[min(at, 2)]


def _data(parameters: dict[str, Any], forward: Any) -> Iterator[tuple[Any, Any]]:
    """Inputs that fit the parameters, with labels that fit the output."""
    first = next((p.get() for p in places(parameters) if np.ndim(p.get()) == 2), None)
    if first is None:
        return
    a, b = first.shape
    failed, ran = "", False
    for shape in dict.fromkeys([(b, SAMPLES), (SAMPLES, a), (a, SAMPLES), (SAMPLES, b)]):
        x = rng().standard_normal(shape)
        known = {**parameters, "x": x, "t": np.ones(SAMPLES)}
        if len(parameters) == 1:
            known["parameters"] = next(iter(parameters.values()))
        try:
            with generator_kept(), np.errstate(all="ignore"):
                output = output_of(forward(*arguments_for(forward, known)))[0]
        except Exception as error:
            failed = failed or f"the forward pass fails: {in_words(error)}"
            continue
        ran = True
        if np.ndim(output) != 2 or SAMPLES not in output.shape:
            continue
        columns = output.shape[-1] == SAMPLES
        n = output.shape[0] if columns else output.shape[1]
        labels = rng().integers(0, max(n, 2), SAMPLES)
        labels[0] = max(n, 2) - 1  # every class is counted by its largest number
        if n == 1:
            whole = labels.astype(float).reshape(output.shape)
            yield from ((x, whole), (x, labels.astype(float)))
        else:
            one_hot = np.eye(n)[labels]
            yield from ((x, one_hot.T if columns else one_hot), (x, labels))
    if not ran:
        raise CannotRunError(failed)


def _like(t: Any, output: Any) -> Any:
    """Labels in the form of the output: one-hot, in rows or columns."""
    if np.ndim(t) == 1 and t.dtype.kind in "iu":
        columns = output.shape[-1] == len(t)
        one_hot = np.eye(output.shape[0] if columns else output.shape[-1])[t]
        return one_hot.T if columns else one_hot
    return np.reshape(t, output.shape)


def _fails(problem: Problem) -> str | None:
    """Why the forward pass gives no number with this data and this loss; None where it does."""
    try:
        with generator_kept(), np.errstate(all="ignore"):
            value, _ = problem.forward(problem.world)
    except Exception as error:
        return f"the forward pass fails: {in_words(error)}"
    return None if np.ndim(value) == 0 and np.isfinite(value) else "the loss is no finite number"
