"""Why else a loss may not go down: shared arrays, layers that begin alike, overflow, no slope."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.places import is_float, places, widened
from tinygrad_fm.testing.backward.problem import Problem, generator_kept
from tinygrad_fm.testing.backward.record import clean, record
from tinygrad_fm.testing.backward.theirs import Theirs
from tinygrad_fm.testing.backward.truth import Truth

STEP = 1e-4  # of the descent that is tried, relative to the parameters
KEPT = ("best", "saved", "backup", "old", "prev", "snapshot", "checkpoint")
WEIGHTS = ("w", "weight", "weights", "params", "parameters", "theta", "b", "bias", "biases")
REMEDIES = {
    "exp": "exp overflows: subtract the largest number of each row before it",
    "log": "log meets 0: clip its argument, or add a small number to it",
    "divide": "0 / 0: subtract each row's own largest number before exp, not that of all rows",
    "power": "a power overflows",
}


def warnings_of(problem: Problem, truth: Truth, theirs: Theirs) -> Iterator[str]:
    """What a person should know beside the gradients, most telling first."""
    for name in theirs.mutated:
        yield f"{name} is changed in place by the forward pass"
    for name in theirs.overwritten:
        yield f"{name} is changed in place by the backward pass"
    for check in (_shared, _equal_layers, _accumulates, _overflow):
        yield from check(problem, truth)


def _shared(problem: Problem, truth: Truth) -> Iterator[str]:
    """Two parameters that lie in the same memory: changing one changes the other."""
    found = [(clean(p.path), p.get()) for p in places(problem.world) if is_float(p.get())]
    for (name, a), (other, b) in itertools.combinations(found, 2):
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.shares_memory(a, b):
            yield f"{name} and {other} are one array: changing one changes the other; copy it"


def aliases(tree: ast.Module) -> Iterator[str]:
    """Assignments that are to keep weights, as best_W = W, but keep the array that changes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(
            node.value, (ast.Name, ast.Attribute)
        ):
            continue
        value = ast.unparse(node.value)
        word = value.rpartition(".")[2].lower().strip("_").rstrip("0123456789")
        for target in node.targets:
            name = ast.unparse(target).rpartition(".")[2].lower()
            if word in WEIGHTS and any(name.startswith(kept) for kept in KEPT):
                yield (
                    f"line {node.lineno}: {ast.unparse(node)} keeps no copy, but the array itself, "
                    "which changes when the weights are updated in place; copy it"
                )


def _equal_layers(problem: Problem, truth: Truth) -> Iterator[str]:
    """Weights that begin alike learn alike."""
    arrays = {n: a for n, a in truth.arrays.items() if np.ndim(a) == 2 and np.size(a) > 1}
    for (name, a), (other, b) in itertools.combinations(arrays.items(), 2):
        if np.array_equal(a, b) and np.ptp(a) > 0:
            yield (
                f"{name} and {other} begin with equal numbers; is the generator seeded anew for "
                "each layer?"
            )
    for name, a in arrays.items():
        if np.shape(a)[1] > 1 and np.shape(a)[0] > 1 and np.ptp(a) == 0:
            yield f"all of {name} begins at {a.flat[0]:g}: its units stay equal for ever"


def _accumulates(problem: Problem, truth: Truth) -> Iterator[str]:
    """Gradients that a second backward pass adds to, with nothing that sets them to 0."""
    world = widened(problem.world)
    seen: list[dict[str, Any]] = []
    with generator_kept(), np.errstate(all="ignore"):
        for _ in range(2):
            try:
                result, rest = problem.forward(world)
                problem.backward(world, result, rest, truth.upstream.copy())
            except Exception:
                return
            held = {clean(p.path): np.array(p.get()) for p in places(world) if is_float(p.get())}
            seen.append(held)
    resets = any(n.startswith("zero") for value in world.values() for n in dir(value))
    for name, first in seen[0].items():
        twice = seen[1].get(name, np.zeros(0))
        known = name in truth.parameters or not np.any(first) or resets
        if not known and np.shape(twice) == first.shape and np.allclose(twice, 2 * first):
            yield f"{name} is added to by every backward pass: set it to 0 before each"
            return


def _overflow(problem: Problem, truth: Truth) -> Iterator[str]:
    """Inputs 1000 times as large, one row far above, a probability of 0: is all still finite?"""
    if not np.isfinite(truth.result).all():
        yield f"the result is not finite{_where(problem)}"
        return
    for words, change in (
        ("inputs 1,000 times as large", lambda x: x * 1000),
        ("one sample 1,000 above the others", _one_row_up),
        ("a probability of 0", _without_first),
    ):
        moved = _with_inputs(problem, change)
        if moved is None:
            continue
        try:
            with generator_kept(), np.errstate(all="ignore"):
                value = np.asarray(moved.forward(widened(moved.world))[0], float)
        except Exception:
            continue
        if not np.isfinite(value).all():
            yield f"with {words} the result is not finite{_where(moved)}"
            return


def _one_row_up(x: Any) -> Any:
    if x.ndim < 2:
        return x
    moved = x.copy()
    moved[0] += 1000
    return moved


def _without_first(x: Any) -> Any:
    """Probabilities with one that is 0 in each row; anything else as it is."""
    if x.ndim != 2 or (x < 0).any() or (x > 1).any():
        return x
    moved = x.copy()
    moved[np.arange(len(x)), np.argmax(x, axis=1)] = 0
    moved[np.arange(len(x)), np.argmin(x, axis=1)] = 0
    return moved


def _with_inputs(problem: Problem, change: Callable[[Any], Any]) -> Problem | None:
    world = widened(problem.world)
    name = next((n for n in (*problem.data, *world) if is_float(world.get(n))), None)
    if name is None:
        return None
    world[name] = change(world[name])
    return replace(problem, world=world)


def _where(problem: Problem) -> str:
    """The first operation whose result is not finite, its line and what helps."""
    try:
        arrays = record(problem).arrays
    except Exception:
        return ": exp overflows, or log meets 0"
    for node, array in arrays.items():
        if node.primitive is not None and not np.isfinite(array).all():
            line = node.line.rpartition("/")[2]
            remedy = REMEDIES.get(node.name, f"{node.name} gives no finite number")
            return f": {remedy}" + (f" ({line})" if line else "")
    return ""


def descent(problem: Problem, truth: Truth) -> str:
    """Whether a small step against the true gradient lowers a scalar loss as it predicts.

    An empty string where it does, or where the result is no number.
    """
    if np.ndim(truth.result) != 0:
        return ""
    world = widened(problem.world)
    total = sum(float(np.sum(g * g)) for g in truth.parameters.values())
    scale = max((float(np.abs(a).max(initial=0)) for a in truth.arrays.values()), default=1.0)
    if not total:
        return "every gradient is 0 here: nothing would be learned"
    step = STEP * max(scale, 1e-3) / np.sqrt(total)
    for place in list(places(world)):
        name = clean(place.path)
        if name in truth.parameters:
            place.put(place.get() - step * truth.parameters[name])
    with generator_kept(), np.errstate(all="ignore"):
        after = float(np.asarray(problem.forward(world)[0]))
    predicted = step * total
    fallen = float(truth.result) - after
    if fallen < 0.5 * predicted:
        return (
            f"a small step against the true gradient changes the loss by {-fallen:.3g} where "
            f"{-predicted:.3g} was predicted: the loss is not smooth here, or not deterministic"
        )
    return ""
