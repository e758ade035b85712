"""Timing: the contenders of a case take turns in one process, A B C, B C A, C A B, ..."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, process_time, sleep
from typing import Any

Step = Callable[[], tuple[Any, ...]]

REFERENCE = "tinygrad_fm"
COMPILED = "tinygrad_fm, compiled"
OURS = "tinygrad_fm"  # the beginning of the names of all that are ours: each is compared with all


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
        settle: steps after a preparation that are neither timed nor taken for a typical length:
            programs are traced and compiled in them.
        anew: whether each turn starts from a contender prepared anew. Networks that are trained
            long on one batch end in denormal numbers, which processors multiply slowly; where a
            step takes a second that is no danger, and preparing is dear.
        series: for cases that differ in one size: what it is, and its value.
    """

    name: str
    contenders: Mapping[str, Callable[[], Step]]
    check: int = 1
    rtol: float = 1e-4
    turn: float = 0.02
    rounds: int = 1_000_000
    settle: int = 3
    anew: bool = True
    series: tuple[str, float] | None = None

    def measure(self, repeats: int) -> dict[str, Any]:
        """What a table and the JSON show of it."""
        return measure(self, repeats)


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
        "unit": "s",
        "series": case.series,
        "agree": {"steps": case.check, "rtol": case.rtol, "largest_difference": difference},
        "contenders": [summary(name, samples) for name in samples],
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
            skipped[name] = reason(error)
        else:
            steps[name] = prepare()
    return steps, skipped


def reason(error: Exception) -> str:
    """Why a contender is skipped, in one line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:160]


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
    """Seconds a step, one number for each contender and round."""
    steps: dict[str, Step] = {}
    counts: dict[str, int] = {}
    samples: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # the collector stays on, but nobody's collections walk what others imported
    try:
        for i in range(rounds + 1):
            for name in rotated(names, i):
                if case.anew or i == 0:
                    steps[name] = case.contenders[name]()
                    for _ in range(case.settle):
                        steps[name]()
                step = steps[name]
                gc.collect()  # nobody pays for the garbage of the contender before
                _rest()
                done, passed = _warm_up(step, case.turn / 2)
                if i == 0:  # a round for warming up, from which each learns the length of its turn
                    counts[name] = max(1, round(case.turn * done / passed))
                    continue
                count = counts[name]
                begin = perf_counter()
                for _ in range(count):
                    step()
                samples[name].append((perf_counter() - begin) / count)
    finally:
        gc.unfreeze()
    return samples


def rotated(names: list[str], i: int) -> list[str]:
    """Another one begins in each round."""
    start = i % len(names)
    return names[start:] + names[:start]


def _rest() -> None:
    """Wait until no thread works: those of OpenBLAS wait for more on their cores, for 100 ms."""
    for _ in range(100):
        begin, worked = perf_counter(), process_time()
        sleep(0.005)
        if process_time() - worked < 0.1 * (perf_counter() - begin):
            return


def _warm_up(step: Step, duration: float) -> tuple[int, float]:
    """Work for at least so long, uncounted, while caches fill."""
    begin = perf_counter()
    steps, passed = 0, 0.0
    while passed < duration:
        step()
        steps += 1
        passed = perf_counter() - begin
    return max(steps, 1), max(passed, 1e-9)


def summary(name: str, samples: Mapping[str, list[float]]) -> dict[str, Any]:
    """Quartiles of what one contender took, and of what each of ours took, over that, by rounds."""
    ratios = {
        ours: quartiles([a / b for a, b in zip(samples[ours], samples[name], strict=True)])
        for ours in samples
        if ours.startswith(OURS)
    }
    found = {"name": name, "value": quartiles(samples[name]), "ratios": ratios}
    return found | {"samples": samples[name]}


def quartiles(values: list[float]) -> dict[str, float]:
    """The median and the quartiles beside it."""
    if len(values) < 2:
        return {"median": values[0], "lower": values[0], "upper": values[0]}
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "lower": lower, "upper": upper}
