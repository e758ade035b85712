"""Why else a loss may not go down: shared arrays, layers that begin alike, overflow, no slope."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.places import is_float, places, widened
from tinygrad_fm.testing.backward.problem import Problem, generator_kept
from tinygrad_fm.testing.backward.truth import Truth, clean

STEP = 1e-4  # of the descent that is tried, relative to the parameters


def warnings_of(problem: Problem, truth: Truth) -> Iterator[str]:
    """What a person should know beside the gradients, most telling first."""
    for check in (_shared, _equal_layers, _overflow):
        yield from check(problem, truth)


def _shared(problem: Problem, truth: Truth) -> Iterator[str]:
    """Two parameters that lie in the same memory: changing one changes the other."""
    found = [(clean(p.path), p.get()) for p in places(problem.world) if is_float(p.get())]
    for (name, a), (other, b) in itertools.combinations(found, 2):
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.shares_memory(a, b):
            yield f"{name} and {other} are one array: changing one changes the other; copy it"


def _equal_layers(problem: Problem, truth: Truth) -> Iterator[str]:
    """Weights that begin alike learn alike."""
    arrays = {n: a for n, a in truth.arrays.items() if np.ndim(a) == 2 and np.size(a) > 1}
    for (name, a), (other, b) in itertools.combinations(arrays.items(), 2):
        if np.shape(a) == np.shape(b) and np.array_equal(a, b):
            yield (
                f"{name} and {other} begin with equal numbers; is the generator seeded anew for "
                "each layer?"
            )
    for name, a in arrays.items():
        if np.shape(a)[1] > 1 and np.shape(a)[0] > 1 and np.ptp(a) == 0:
            yield f"all of {name} begins at {a.flat[0]:g}: its units stay equal for ever"


def _overflow(problem: Problem, truth: Truth) -> Iterator[str]:
    """Inputs 1000 times as large, and one row far above the others: is the result still finite?"""
    for words, change in (
        ("inputs 1,000 times as large", lambda x: x * 1000),
        ("one sample 1,000 above the others", _one_row_up),
    ):
        values = _with_inputs(problem, change)
        if values is not None and not np.isfinite(values).all() and np.isfinite(truth.result).all():
            yield (
                f"with {words} the result is not finite: exp overflows, or log meets 0; subtract "
                "the largest number of each row before exp, and clip before log"
            )
            return


def _one_row_up(x: Any) -> Any:
    if x.ndim < 2:
        return x
    moved = x.copy()
    moved[0] += 1000
    return moved


def _with_inputs(problem: Problem, change: Callable[[Any], Any]) -> Any:
    world = widened(problem.world)
    name = next((n for n in (*problem.data, *world) if is_float(world.get(n))), None)
    if name is None:
        return None
    world[name] = change(world[name])
    try:
        with generator_kept(), np.errstate(all="ignore"):
            return np.asarray(problem.forward(world)[0], float)
    except Exception:
        return None


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
