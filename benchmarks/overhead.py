"""What a compiled step takes beside its own NumPy calls, without Numba."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import mlp
from benchmarks.measure import Case, Step
from benchmarks.networks import LEARNING_RATE, MOMENTUM, REPORTS, SMALL, Problem, problem


def the_program(p: Problem) -> Step:
    """A compiled step, without a look at the loss that it returns."""
    import tinygrad_fm as tg

    compiled = tg.compile(mlp.our_training(p)[0])
    return lambda: (compiled(p.images, p.labels),)


class _Watched:
    """NumPy, or a function of it: each call is also appended to a list, to be made again."""

    def __init__(self, target: Any, calls: list[Callable[[], Any]]):
        self._target, self._calls = target, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return _Watched(found, self._calls) if callable(found) and _acts(found) else found

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        self._calls.append(partial(self._target, *args, **keywords))
        return self._target(*args, **keywords)


def _acts(found: Any) -> bool:
    """Not a dtype: these are handed on as arguments."""
    return not isinstance(found, type)


def the_calls_alone(p: Problem) -> Step:
    """The NumPy calls of the program, from a list, and those of the update, block by block.

    What one of the program's own small functions does, such as the check of the labels, counts
    as one call. The update's are written out here, because they are not in the program's source.
    """
    import tinygrad_fm as tg
    from tinygrad_fm.optim.flat import Run

    step, optimizer = mlp.our_training(p)
    compiled = tg.compile(step)
    for _ in range(4):
        compiled(p.images, p.labels)
    calls: list[Callable[[], Any]] = []
    (workspace,) = compiled.program._ready
    names = workspace.step.__globals__
    before = dict(names)
    for name, value in before.items():
        if name == "np":
            names[name] = _Watched(np, calls)
        elif callable(value) and not name.startswith(("update", "__")) and _acts(value):
            names[name] = _Watched(value, calls)
    workspace.step(p.images, p.labels)
    names.update(before)

    (flat,) = optimizer._flats
    (blocks,) = flat.blocks([Run(0, len(flat.values), 0, None)])
    for _, _, w, g, s, (v,) in blocks:
        calls += [
            partial(np.multiply, v, MOMENTUM, out=v),
            partial(np.add, v, g, out=v),
            partial(np.multiply, v, LEARNING_RATE, out=s),
            partial(np.subtract, w, s, out=w),
        ]

    def replay() -> tuple[()]:
        for call in calls:
            call()
        return ()

    return replay


CONTENDERS = {
    "tinygrad_fm": mlp.with_tinygrad_fm,
    "tinygrad_fm, compiled": the_program,
    "NumPy, its calls alone": the_calls_alone,
}


def cases(quick: bool) -> list[Case]:
    networks, batch = ([SMALL], 5) if quick else (list(REPORTS.values()), 128)
    return [
        mlp.case(
            f"{network}, batch {batch}: a compiled step and its calls",
            problem(network, batch),
            CONTENDERS,
            turn=0.001 if quick else 0.02,
        )
        for network in networks
    ]
