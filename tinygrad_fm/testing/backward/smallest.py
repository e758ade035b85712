"""The smallest case that shows a mistake: the same code, on arrays cut down to two or three."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.examine import Examined
from tinygrad_fm.testing.backward.places import is_float, places, whole_numbers, widened
from tinygrad_fm.testing.backward.problem import Problem
from tinygrad_fm.testing.backward.report import LONG, BackwardReport
from tinygrad_fm.testing.backward.truth import Truth

SMALL = (2, 3)  # lengths that an axis is cut to, the first with which the mistake is still there
TRIES = 24  # of cuts
LONGEST = 3.0  # seconds of looking
SHOWN = 8  # arrays of the input
WIDE = 76  # columns of a line
MOST = 16  # numbers of an array that are shown
GATES = (2, 3, 4)  # an axis may hold a number of gates, each as long as another axis
Sizes = dict[int, int]


@dataclass
class Smallest:
    """A small example of a mistake.

    Attributes:
        inputs: what the forward pass is given, by name.
        what: what the wrong gradient is of.
        theirs: the gradient written by hand; None where there is none.
        truth: the true one.
    """

    inputs: dict[str, Any]
    what: str
    theirs: Any
    truth: Any

    def to_lines(self) -> list[str]:
        """The arrays, one a line where they fit."""
        shown = dict(list(self.inputs.items())[:SHOWN])
        what, theirs, truth = self.what, self.theirs, self.truth
        if theirs is not None and _is_large(truth) and np.shape(theirs) == np.shape(truth):
            worst = np.unravel_index(int(np.argmax(np.abs(theirs - truth))), np.shape(truth))
            what += f" at {tuple(map(int, worst))}"
            theirs, truth = theirs[worst], truth[worst]
        named = {
            **shown,
            f"{what}, by hand": "none" if theirs is None else theirs,
            f"{what}, truly": truth,
        }
        width = max(map(len, named))
        lines = [f"{name:<{width}}  {_text(array, width)}" for name, array in named.items()]
        hidden = len(self.inputs) - len(shown)
        if hidden:
            lines.insert(len(shown), f"and {hidden} more")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The arrays as lists."""
        return {
            "inputs": {name: np.asarray(a).tolist() for name, a in self.inputs.items()},
            "gradient": self.what,
            "by hand": None if self.theirs is None else np.asarray(self.theirs).tolist(),
            "truly": np.asarray(self.truth).tolist(),
        }


def smallest_case(
    problem: Problem, report: BackwardReport, examine: Callable[[Problem], Examined]
) -> Smallest | None:
    """Cut and round the arrays for as long as the same gradients are wrong at the same line."""
    wanted = _signature(report)
    exactly = len(wanted)

    def attempt(sizes: Sizes, rounded: bool, alike: int) -> tuple[Problem, Examined] | None:
        try:
            small = replace(problem, world=_cut(problem.world, sizes, rounded))
            found = examine(small)
        except Exception:  # the code was not written for these sizes
            return None
        same = _signature(found.report)[:alike] == wanted[:alike]
        return (small, found) if same else None

    reached: Sizes = {}
    small, seen = problem, None
    until = time.perf_counter() + LONGEST
    for sizes, loosely in _cuts(problem, reached):
        if time.perf_counter() > until:
            break
        if loosely:  # the line may look right by chance where the arrays are small
            exactly = min(exactly, 2)
        found = attempt(sizes, False, exactly)
        if found is not None:
            small, seen = found
            reached.update(sizes)
    found = attempt(reached, True, exactly) or (None if seen is None else (small, seen))
    if found is None:
        return None
    small, seen = found
    if report.line is None:
        report.line = seen.report.line  # at the full size the arrays may be too large to look at
    same_line = _signature(seen.report)[2:] == wanted[2:]
    return _shown(small, seen.report, seen.truth, same_line)


def _cuts(problem: Problem, reached: Sizes) -> Iterator[tuple[Sizes, bool]]:
    """All axes cut at once; where that does not show the mistake, one after the other.

    `reached` is filled in by the caller, with the cuts that show it.
    """
    lengths = _lengths(problem)
    if not lengths:
        return
    for loosely, small in itertools.product((False, True), SMALL):
        yield {n: small for n in lengths if n > small}, loosely
        if reached:
            return
    for n in lengths[: TRIES // 2]:
        for small in SMALL:
            if n > small and n not in reached:
                yield {**reached, n: small}, True
            multiples = {k * n: k * small for k in GATES if k * n in lengths}
            if n > small and n not in reached and multiples:
                yield {**reached, **multiples, n: small}, True


def _lengths(problem: Problem) -> list[int]:
    """The lengths of axes that may be cut, the longest first."""
    arrays = [place.get() for place in places(problem.world)]
    lengths = {n for array in arrays for n in np.shape(array) if n > min(SMALL)}
    return sorted(lengths - set(problem.fixed), reverse=True)


def _cut(world: dict[str, Any], sizes: Sizes, rounded: bool) -> dict[str, Any]:
    """A copy of the world with every axis of these lengths cut, and its integers that are sizes."""
    made: dict[str, Any] = widened(world)
    least = min(sizes.values(), default=0)
    kept: dict[int, tuple[Any, Any]] = {}
    for place in list(places(made)):
        array = place.get()
        if id(array) not in kept:  # what is held twice stays one array
            kept[id(array)] = array, _smaller(array, sizes, least, rounded)
        if not isinstance(place.holder, tuple):
            place.put(kept[id(array)][1])
    for name, value in made.items():
        if _is_tokens(value):
            made[name] = [token % least for token in value[:least]] if least else value
    for place in list(whole_numbers(made)):
        if (
            not _is_tokens(place.holder)
            and place.get() in sizes
            and not isinstance(place.holder, tuple)
        ):
            place.put(sizes[place.get()])
    return made


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(n) is int for n in value)


def _smaller(array: Any, sizes: Sizes, least: int, rounded: bool) -> Any:
    index = tuple(slice(sizes.get(n, n)) for n in np.shape(array))
    part = np.array(array[index])
    if not is_float(array):
        return part % least if least and part.ndim and array.dtype.kind in "iu" else part
    if array.ndim == 2 and min(array.shape) > 1 and (array >= 0).all():
        for axis in (1, 0):  # rows or columns of probabilities stay such
            if np.allclose(array.sum(axis=axis), 1):
                return _probabilities(array, part, axis)
    largest = float(np.abs(part).max(initial=0.0))
    if 0 < largest < 0.5:  # small weights would leave the slope of a tanh at 1
        part = part / largest
    if rounded and part.size and np.isfinite(part).all() and np.any(part):
        places_kept = 1 - int(np.floor(np.log10(np.abs(part).max())))
        part = np.round(part, places_kept)
    return part


def _probabilities(array: Any, part: Any, axis: int) -> Any:
    if set(np.unique(array)) <= {0.0, 1.0}:
        n = part.shape[axis]
        labels = np.argmax(array, axis=axis)[: part.shape[1 - axis]] % n
        made = np.eye(n)[labels]
        return made if axis == 1 else made.T
    part = np.round(part / part.sum(axis=axis, keepdims=True), 2)
    return part / part.sum(axis=axis, keepdims=True)


def _signature(report: BackwardReport) -> Any:
    """What has to stay: which gradients are wrong, and at which line by which slip."""
    kinds = [(c.parameter, c.is_right, c.factor is None) for c in report.comparisons]
    if report.line is None:
        return report.verdict, kinds
    made = report.line.made
    return report.verdict, kinds, (made.file, made.line, bool(report.line.slip))


def _shown(
    problem: Problem, report: BackwardReport, truth: Truth, same_line: bool
) -> Smallest | None:
    """The inputs, and the gradient that is wrong: that of the line, else a parameter's."""
    inputs = {name: problem.world[name] for name in problem.data}
    inputs = {n: a for n, a in inputs.items() if isinstance(a, np.ndarray) or _is_tokens(a)}
    inputs |= truth.arrays
    if truth.result.ndim:
        inputs["the gradient given to backward"] = truth.upstream
    line = report.line if same_line else None
    if line is not None and line.expected is not None and line.slip:
        expected = line.expected.gradient
        name = line.expected.name
        for array in line.made.forms:
            if np.shape(array) == np.shape(expected) and not np.allclose(array, expected):
                what = f"d{name.rpartition('.')[2]}" if name in truth.arrays else line.made.name
                return Smallest(inputs, what, array, expected)
    for c in report.comparisons:
        if not c.is_right:
            named = c.place and len(c.place) <= LONG
            what = c.place if named else f"the gradient of {c.parameter}"
            return Smallest(inputs, what, c.theirs, c.truth)
    return None


def _is_large(array: Any) -> bool:
    return bool(np.size(array) > (MOST if np.ndim(array) < 3 else MOST // 2))


def _text(array: Any, indent: int) -> str:
    """An array in one line, else in several."""
    if isinstance(array, str):
        return array
    shape = " × ".join(map(str, np.shape(array)))
    if _is_large(array):
        return f"{shape} numbers"
    if np.ndim(array) == 2 and np.shape(array)[1] == 1 and np.size(array) > SMALL[-1]:
        array = np.ravel(array)  # a column lies down
    text = np.array2string(np.asarray(array), precision=3, separator=", ", suppress_small=True)
    whole = " ".join(text.split())
    if len(whole) + indent <= WIDE:
        return whole
    lines = [line for line in text.splitlines() if line.strip()]
    return ("\n" + " " * (indent + 8)).join(lines)
