"""Updates by compiled loops: one pass over memory, of which each thread does a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_fm import fast, threads
from tinygrad_fm.optim.factored import FactoredGradients
from tinygrad_fm.optim.flat import SHARE, Calls, Flat, Run, Settings

# a loop over elements, and the numbers it takes after the arrays
Fused = tuple[Callable[..., None], tuple[float, ...]]
Loops = list[tuple[Callable[..., None], tuple[Any, ...]]]


def update(
    flat: Flat,
    runs: list[Run],
    fused: Callable[[int, Settings], Fused],
    factors: FactoredGradients | None,
) -> None:
    """Update the runs of a flat buffer by the loops of `Optimizer.fused`."""
    threads.share(_call_all, _calls(flat, runs, fused, factors))


def _call_all(calls: list[tuple[Any, ...]]) -> None:
    for call, *arguments in calls:
        call(*arguments)


def _calls(
    flat: Flat,
    runs: list[Run],
    fused: Callable[[int, Settings], Fused],
    factors: FactoredGradients | None,
) -> list[Any]:
    """For each thread its calls: those of the last time, if all that they are made from is as then.

    A gradient that lies elsewhere is another array at each step, and factors that are multiplied
    out here have to be so at each step: such calls are not kept.
    """
    count = threads.count() if len(flat.values) >= 2 * SHARE else 1
    given = []
    for run in runs:
        loop, numbers = fused(run.step, flat.settings)
        given.append((loop, tuple(map(float, numbers))))
    cut = [(run.start, run.end, run.elsewhere is None) for run in runs]
    last, made_from = flat.last_calls, (factors, count, given, cut)
    if last is not None and last.made_from == made_from and last.state is flat.state:
        return last.calls
    number = flat.values.dtype.type
    loops = [(loop, tuple(map(number, numbers))) for loop, numbers in given]
    made = None if factors is None else factors.calls(runs, count, loops)
    lasting = all(here for _, _, here in cut) and (made is not None or factors is None)
    if made is None:
        if factors is not None:
            factors.multiply_out()
        made = _block_by_block(flat, runs, count, loops)
    calls = [(part,) for part in made]
    flat.last_calls = Calls(made_from, flat.state, calls) if lasting else None
    return calls


def _block_by_block(
    flat: Flat, runs: list[Run], count: int, loops: Loops
) -> list[list[tuple[Any, ...]]]:
    found: list[list[tuple[Any, ...]]] = [[] for _ in range(count)]
    for run, blocks, (loop, numbers) in zip(runs, flat.blocks(runs, count), loops, strict=True):
        call = fast.compiled(loop, flat.kind, 2 + len(flat.state), len(numbers))
        for calls, (start, end, w, own, _, state) in zip(found, blocks, strict=False):
            g = own if run.elsewhere is None else run.elsewhere[start:end]
            calls.append((call, w, g, *state, *numbers))
    return found
