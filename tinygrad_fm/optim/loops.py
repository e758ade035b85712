"""Updates by compiled loops: one pass over memory, of which each thread does a part."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_fm import fast, threads
from tinygrad_fm.optim.factored import FactoredGradients, LoopCall
from tinygrad_fm.optim.flat import SHARE, Flat, Run, Settings

# a loop over elements, and the numbers it takes after the arrays
Fused = tuple[Callable[..., None], tuple[float, ...]]


def update(
    flat: Flat,
    runs: list[Run],
    fused: Callable[[int, Settings], Fused],
    factors: FactoredGradients | None,
) -> None:
    """Update the runs of a flat buffer by the loops of `Optimizer.fused`."""
    loops = [typed(flat, fused(run.step, flat.settings)) for run in runs]
    before, made = calls(flat, runs, loops, factors)
    if before is not None:
        before()
    threads.share(_call_all, [(part,) for part in made])


def _call_all(calls: list[LoopCall]) -> None:
    for call, arrays, numbers in calls:
        call(*arrays, *numbers)


def typed(flat: Flat, fused: Fused) -> Fused:
    """The loop, with its numbers in the dtype of the arrays."""
    loop, numbers = fused
    return loop, tuple(map(flat.values.dtype.type, numbers))


def thread_count(flat: Flat) -> int:
    """How many threads share an update."""
    return threads.count() if len(flat.values) >= 2 * SHARE else 1


def calls(
    flat: Flat, runs: list[Run], loops: list[Fused], factors: FactoredGradients | None
) -> tuple[Callable[[], None] | None, list[list[LoopCall]]]:
    """For each thread the calls that update the runs, and before that what is called at all."""
    count = thread_count(flat)
    made = None if factors is None else factors.calls(runs, count, loops)
    if made is not None:
        return None, made
    before = None if factors is None else factors.multiply_out
    found: list[list[LoopCall]] = [[] for _ in range(count)]
    for run, blocks, (loop, numbers) in zip(runs, flat.blocks(runs, count), loops, strict=True):
        call = fast.compiled(loop, flat.kind, 2 + len(flat.state), len(numbers))
        for part, (start, end, w, own, _, state) in zip(found, blocks, strict=False):
            g = own if run.elsewhere is None else run.elsewhere[start:end]
            part.append((call, (w, g, *state), numbers))
    return before, found
