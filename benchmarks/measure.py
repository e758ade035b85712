"""Timing: the contenders of a case take turns in one process, A B C, B C A, C A B, ..."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

Step = Callable[[], tuple[Any, ...]]

REFERENCE = "tinygrad_fm"


@dataclass(frozen=True)
class Case:
    """One table: the same work done by several contenders.

    Args:
        name: what is done, and its sizes.
        contenders: by name, a function that prepares the work and returns a step, the piece of
            work that is timed. A step returns numbers or arrays, which must be those of all other
            contenders. Import what may be missing inside the function.
        check: over how many steps the contenders must agree before anything is timed.
        rtol: how closely, relative to the largest element.
        turn: seconds that a contender works before the next one's turn, after half as long
            uncounted; 0 for a single step.
        rounds: at most so many turns for each.
    """

    name: str
    contenders: Mapping[str, Callable[[], Step]]
    check: int = 1
    rtol: float = 1e-4
    turn: float = 0.02
    rounds: int = 1_000_000


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Prepare, compare and time the contenders of a case; what a table and the JSON show of it.

    Raises:
        AssertionError: a contender computes something else than the first one.
    """
    steps, skipped = _prepare(case)
    difference = _compare(case, steps)
    samples = _take_turns(case, list(steps), min(repeats, case.rounds))
    return {
        "case": case.name,
        "agree": {"steps": case.check, "rtol": case.rtol, "largest_difference": difference},
        "contenders": [_summary(name, times, samples) for name, times in samples.items()],
        "skipped": skipped,
    }


def _prepare(case: Case) -> tuple[dict[str, Step], dict[str, str]]:
    """The steps of those contenders that can run here, and why the others cannot."""
    steps, skipped = {}, {}
    for name, prepare in case.contenders.items():
        try:
            prepare()()
        except Exception as error:  # missing, or broken by a newer NumPy: the others go on
            if name == REFERENCE:
                raise
            skipped[name] = f"{type(error).__name__}: {error}"
        else:
            steps[name] = prepare()
    return steps, skipped


def _compare(case: Case, steps: dict[str, Step]) -> float:
    """The largest relative difference between what the contenders return."""
    import numpy as np

    largest = 0.0
    results = {name: [step() for _ in range(case.check)] for name, step in steps.items()}
    first = next(iter(results))
    for name, found in results.items():
        for i, (values, expected) in enumerate(zip(found, results[first], strict=True)):
            # a contender that does only the first part of the work returns fewer values
            for value, wanted in zip(values, expected, strict=False):
                difference = np.max(np.abs(np.subtract(value, wanted)))
                relative = float(difference / max(np.max(np.abs(wanted)), 1e-30))
                if not relative <= case.rtol:
                    raise AssertionError(
                        f"{case.name}: in step {i}, {name} returns {value} and {first} {wanted}"
                    )
                largest = max(largest, relative)
    return largest


def _take_turns(case: Case, names: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds a step, one number for each contender and round.

    Every turn starts from a contender that was prepared anew: networks that are trained long on one
    batch end in denormal numbers, which processors multiply slowly.
    """
    counts: dict[str, int] = {}
    samples: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # the collector stays on, but nobody's collections walk what others imported
    try:
        for i in range(rounds + 1):
            start = i % len(names)
            for name in names[start:] + names[:start]:
                step = case.contenders[name]()
                gc.collect()  # nobody pays for the garbage of the contender before
                steps, passed = _warm_up(step, case.turn / 2)
                if i == 0:  # a round for warming up, from which each learns the length of its turn
                    counts[name] = max(1, round(case.turn * steps / passed))
                    continue
                count = counts[name]
                begin = perf_counter()
                for _ in range(count):
                    step()
                samples[name].append((perf_counter() - begin) / count)
    finally:
        gc.unfreeze()
    return samples


def _warm_up(step: Step, duration: float) -> tuple[int, float]:
    """Work for at least so long, uncounted, while caches fill and others' threads go to sleep."""
    begin = perf_counter()
    steps, passed = 0, 0.0
    while passed < duration:
        step()
        steps += 1
        passed = perf_counter() - begin
    return max(steps, 1), max(passed, 1e-9)


def _summary(name: str, times: list[float], samples: dict[str, list[float]]) -> dict[str, Any]:
    """Quartiles of the seconds, and of the reference's time over this one's in the same round."""
    ratios = [ours / theirs for ours, theirs in zip(samples[REFERENCE], times, strict=True)]
    return {
        "name": name,
        "seconds": quartiles(times),
        "ratio": quartiles(ratios),
        "samples": times,
    }


def quartiles(values: list[float]) -> dict[str, float]:
    """The median and the quartiles beside it."""
    if len(values) < 2:
        return {"median": values[0], "lower": values[0], "upper": values[0]}
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "lower": lower, "upper": upper}
