"""A right gradient that is not used rightly: what one update does to each parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.judge import factor_between
from tinygrad_fm.testing.backward.places import places, snapshot, widened
from tinygrad_fm.testing.backward.problem import Problem, generator_kept
from tinygrad_fm.testing.backward.truth import Truth, clean


def faults_of_step(
    problem: Problem, truth: Truth, step: Callable[[Any], Any], rate: float
) -> list[str]:
    """What is wrong with the first update, `step(net)`: never updated, uphill, another factor.

    `rate` is the learning rate; 0 where it is not known, and only sign and direction are judged.
    """
    world = widened(problem.world)
    with generator_kept(), np.errstate(all="ignore"):
        result, rest = problem.forward(world)
        problem.backward(world, result, rest, 1.0)
        before = {clean(k): v for k, v in snapshot(world).items()}
        step(world["net"])
    after = {clean(place.path): np.asarray(place.get()) for place in places(world)}
    faults = []
    for name, gradient in truth.parameters.items():
        if name not in before or name in problem.data:
            continue
        change = after[name] - before[name]
        if not change.any() and gradient.any():
            faults.append(f"{name} is never updated by the step")
            continue
        taken = -change / (rate or 1.0)
        factor = factor_between(taken, gradient)
        if factor is not None and factor < 0:
            faults.append(f"the step moves {name} uphill: it adds the gradient")
        elif factor is not None and rate and abs(factor - 1) > 1e-5:
            faults.append(f"the step moves {name} by {factor:.4g} times the learning rate's share")
        elif factor is None and rate:
            decay = factor_between(taken - gradient, before[name])
            if decay is not None:
                faults.append(
                    f"the step also takes {decay * rate:.4g} times {name} away, for which the loss "
                    "has no term: a penalty missing there, or a decay not scaled by the rate"
                )
            else:
                faults.append(f"the step moves {name} in another direction than its gradient")
    return faults
