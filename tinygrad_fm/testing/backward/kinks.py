"""Kinks: where the forward pass has no slope, any value between those of its two sides is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.examine import Examined, examine, judge, locate, rate_of
from tinygrad_fm.testing.backward.judge import TOLERANCE, Comparison, common_factor
from tinygrad_fm.testing.backward.pairing import same_shape
from tinygrad_fm.testing.backward.places import is_float, places, widened
from tinygrad_fm.testing.backward.problem import CannotRunError, Problem
from tinygrad_fm.testing.backward.record import clean
from tinygrad_fm.testing.backward.truth import Truth, result_beside

STEP = 1e-6  # to either side, relative to the number that is moved
SMALL, LARGE = 0.1, 1.0  # weights below the first hide slips: a tanh of them is a line
CONSTANT = 1e-4  # how far a factor that is one may be off
CORNER = 1e-3  # two slopes that differ by more, relative to the largest, are those of a kink
MOST = 400  # numbers of one gradient that are looked at
BESIDE = 0.05  # how far the arrays are moved to be beside all kinks, relative to their numbers


def beside_kinks(problem: Problem, found: Examined, pairs: dict[str, str] | None) -> Examined:
    """Judge gradients at kinks by what the code does beside them.

    Where all that differs sits on a kink, and the code is right beside it, it is right. Where a
    start in zeros hides what the code does, as zero weights make every gradient before them zero,
    what it does beside the zeros counts.
    """
    report, truth = found.report, found.truth
    off = [c for c in report.comparisons if not c.is_right]
    if not off and not report.convention:
        return _unhidden(problem, found, pairs)
    if not all(_sits_on_kinks(problem, truth, c) for c in off):
        return _of_other_numbers(problem, found, pairs)
    moved = _examined_beside(problem, truth, pairs)
    if moved is None or not moved.report.is_right:
        if moved is not None:
            moved.report.notes.append("some inputs sit on a kink: this is what is wrong beside it")
        return moved or found
    if moved.report.convention:
        return found
    report.verdict, report.line, report.convention = "right", None, ""
    for c in off:
        c.excused = "at a kink, where any slope between those of both sides is"
    judge(found, problem)
    return found


def _of_other_numbers(problem: Problem, found: Examined, pairs: dict[str, str] | None) -> Examined:
    """A common factor is a convention if it is the same with other numbers, or the norm is.

    A gradient of one number always is some multiple of the true one.
    """
    report = found.report
    factor = common_factor([c for c in report.comparisons if not c.excused])
    if factor is None or report.verdict == "wrong":
        return found
    moved = _examined_beside(problem, found.truth, pairs)
    there = None if moved is None else common_factor(moved.report.comparisons)
    if moved is None or (there is not None and abs(there / factor - 1) <= CONSTANT):
        return found
    if there is None:
        if moved.report.verdict == "wrong":
            moved.report.notes.append("the numbers at the start hide the mistake")
        return moved
    norm, norm_there = _norm(report.comparisons), _norm(moved.report.comparisons)
    if (
        abs(norm_there / norm - 1) <= CONSTANT
        and sum(np.size(c.truth) for c in report.comparisons) > 1
    ):
        report.convention = f"{factor:.4g}, which brings their norm to {norm:.4g}"
        return found
    report.verdict, report.convention = "wrong", ""
    report.notes.append(
        f"that is {factor:.4g} times the true gradient, and {there:.4g} times with other numbers"
    )
    for c in report.comparisons:
        c.factor = None
    locate(found.truth, found.theirs, report, rate_of(problem))
    return found


def _norm(found: list[Comparison]) -> float:
    """Of all gradients together."""
    return float(np.sqrt(sum(np.sum(np.square(c.theirs)) for c in found)))


def _unhidden(problem: Problem, found: Examined, pairs: dict[str, str] | None) -> Examined:
    """What is found beside a start in zeros or equal numbers, where that is wrong."""
    truth = found.truth
    zero = [name for name, g in truth.parameters.items() if not g.any()]
    equal = [n for n, a in truth.arrays.items() if a.size > 1 and not np.ptp(a)]
    small = [n for n, a in truth.arrays.items() if _is_small(a)]
    if not zero and not equal and not small:
        return found
    moved = _examined_beside(problem, truth, pairs)
    if moved is None or moved.report.is_right:
        return found
    what = (
        f"all of {equal[0]} begins equal"
        if equal
        else f"the gradient by {zero[0]} is all 0"
        if zero
        else f"{small[0]} begins with small numbers"
    )
    moved.report.notes.append(f"{what}, which hides the mistake at the start itself")
    return moved


def _examined_beside(
    problem: Problem, truth: Truth, pairs: dict[str, str] | None
) -> Examined | None:
    try:
        return examine(replace(problem, world=_moved(problem, truth)), pairs)
    except CannotRunError:
        return None


def _moved(problem: Problem, truth: Truth) -> dict[str, Any]:
    """A world whose parameters, and the inputs that are differentiated by, are a little moved."""
    world: dict[str, Any] = widened(problem.world)
    rng = np.random.default_rng(1)
    moved: dict[int, Any] = {}
    for place in list(places(world)):
        array = place.get()
        if clean(place.path) in truth.arrays and is_float(array) and array.size:
            if id(array) not in moved:
                largest = float(np.abs(array).max()) or 1.0
                if _is_small(array):
                    array = array * (LARGE / largest)
                    largest = LARGE
                size = np.where(array == 0, largest, array) * BESIDE
                moved[id(array)] = array + size * rng.standard_normal(array.shape)
            place.put(moved[id(array)])
    return world


def _is_small(array: Any) -> bool:
    """Whether a matrix is so small that what it is multiplied by stays next to 0."""
    return np.ndim(array) > 1 and 0 < float(np.abs(array).max(initial=0.0)) < SMALL


def _sits_on_kinks(problem: Problem, truth: Truth, c: Comparison) -> bool:
    """Whether every number that is off sits on a kink, and is between the slopes of both sides."""
    if not c.place or not same_shape(np.asarray(c.theirs), c.truth):
        return False
    theirs = np.reshape(c.theirs, c.truth.shape)
    largest = float(np.abs(c.truth).max(initial=0.0))
    off = np.argwhere(~(np.abs(theirs - c.truth) <= TOLERANCE * max(largest, 1e-9)))
    if not np.isfinite(theirs).all() or not len(off):
        return False
    start = truth.result
    for index in map(tuple, off[:MOST]):
        step = STEP * max(1.0, abs(float(truth.arrays[c.parameter][index])))
        after, before = (
            result_beside(problem, c.parameter, index, h) - start for h in (step, -step)
        )
        slopes = np.sum(after * truth.upstream) / step, -np.sum(before * truth.upstream) / step
        low, high = min(slopes), max(slopes)
        if not high - low > CORNER * max(abs(low), abs(high), largest):
            return False
        alone = np.count_nonzero(after) <= 1 and np.count_nonzero(before) <= 1 and start.ndim
        slack = CORNER * (high - low)
        if alone and not low - slack <= theirs[index] <= high + slack:
            return False
    return True
