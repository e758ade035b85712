"""Updates by compiled loops: one pass over memory, of which each thread does a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_fm import fast, threads, workers
from tinygrad_fm.optim.factored import FactoredGradients, Loop, LoopCall
from tinygrad_fm.optim.flat import Flat, Run, Settings, worth_a_thread

# a loop over elements, and the numbers it takes after the arrays
Fused = tuple[Loop, tuple[float, ...]]


def update(
    flat: Flat,
    runs: list[Run],
    fused: Callable[[int, Settings], Fused],
    factors: FactoredGradients | None,
) -> None:
    """Update the runs of a flat buffer by the loops of `Optimizer.fused`."""
    found = [typed(flat, fused(run.step, flat.settings)) for run in runs]
    numbers = [numbers for _, numbers in found]
    before, made = calls(flat, runs, [(loop, len(n)) for loop, n in found], factors)
    make(before, made, numbers)


def make(
    before: Callable[[], None] | None,
    made: list[list[LoopCall]],
    numbers: list[tuple[Any, ...]],
) -> None:
    """Make what `calls` found, with the numbers of each run."""
    if before is not None:
        before()
    workers.share(
        [[(function, (*arrays, *numbers[run])) for function, arrays, run in part] for part in made]
    )


def typed(flat: Flat, fused: Fused) -> Fused:
    """The loop, with its numbers in the dtype of the arrays."""
    loop, numbers = fused
    return loop, tuple(map(flat.values.dtype.type, numbers))


def thread_count(flat: Flat) -> int:
    """How many threads share an update."""
    return threads.count() if len(flat.values) >= 2 * worth_a_thread(len(flat.state)) else 1


def calls(
    flat: Flat, runs: list[Run], loops: list[tuple[Loop, int]], factors: FactoredGradients | None
) -> tuple[Callable[[], None] | None, list[list[LoopCall]]]:
    """For each thread the calls that update the runs; first, what is to be called before them.

    Args:
        loops: for each run its loop, and how many numbers that takes.
    """
    count = thread_count(flat)
    made = None if factors is None else factors.calls(runs, count, loops)
    if made is not None:
        return None, made
    before = None if factors is None else factors.multiply_out
    found: list[list[LoopCall]] = [[] for _ in range(count)]
    cut = flat.blocks(runs, count)
    for i, (run, blocks, (loop, numbers)) in enumerate(zip(runs, cut, loops, strict=True)):
        function = fast.compiled(loop, flat.kind, 2 + len(flat.state), numbers)
        for part, (start, end, w, own, _, state) in zip(found, blocks, strict=False):
            g = own if run.elsewhere is None else run.elsewhere[start:end]
            part.append((function, (w, g, *state), i))
    return before, found
