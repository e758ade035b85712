"""Learning rates over time: each schedule is a function from the step (0, 1, ...) to a rate."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is above 0, not {value!r}")


def constant(lr: float) -> Schedule:
    """The same rate for ever."""
    return lambda step: lr


def step(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """lr, times `factor` after each `every` steps.

    Raises:
        ValueError: `every` below 1.
    """
    if every < 1:
        raise ValueError(f"every is at least 1, not {every!r}")
    return lambda step: lr * factor ** (step // every)


def exponential(lr: float, factor: float) -> Schedule:
    """lr times factor^step (report 000: factor 0.9 at the end of each epoch).

    Raises:
        ValueError: a factor that is not above 0.
    """
    _positive("factor", factor)
    return lambda step: lr * factor**step


def cosine(lr: float, steps: float, end: float = 0.0) -> Schedule:
    """From lr down to `end` over `steps`, along half a cosine; `end` afterwards.

    Loshchilov and Hutter: SGDR (2017), eq. 5, without restarts.

    Raises:
        ValueError: `steps` not above 0.
    """
    _positive("steps", steps)

    def at(step: float) -> float:
        share = min(step / steps, 1.0)
        return end + (lr - end) * (1 + math.cos(math.pi * share)) / 2

    return at


def warmup(steps: int, then: Schedule) -> Schedule:
    """In a straight line from near 0 to the start of another schedule, and then that schedule.

    Raises:
        ValueError: `steps` not above 0.
    """
    _positive("steps", steps)
    return lambda step: then(0) * (step + 1) / steps if step < steps else then(step - steps)


def one_cycle(
    peak: float, steps: int, rise: float = 0.3, start: float | None = None, end: float | None = None
) -> Schedule:
    """Up to `peak` in the first `rise` of the steps, and down to `end`, along half cosines.

    Smith and Topin: Super-convergence (2018). As in PyTorch, start is peak / 25 and end is start /
    10,000 unless given.

    Raises:
        ValueError: `steps` not above 0, or `rise` outside 0 to 1.
    """
    _positive("steps", steps)
    if not 0 <= rise <= 1:
        raise ValueError(f"rise is a share between 0 and 1, not {rise!r}")
    low = peak / 25 if start is None else start
    last = low / 1e4 if end is None else end
    top = max(rise * steps - 1, 0)  # where there is no step to rise in, it begins at the peak
    down = cosine(peak, max(steps - 1 - top, 1), last)

    def at(step: float) -> float:
        if step < top:
            return low + (peak - low) * (1 - math.cos(math.pi * step / top)) / 2
        return down(step - top)

    return at
