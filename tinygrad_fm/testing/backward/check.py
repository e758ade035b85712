"""check_backward: is a backward pass that was written by hand right, and where is it not?"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.beyond import descent, warnings_of
from tinygrad_fm.testing.backward.judge import (
    Comparison,
    common_factor,
    compare,
    factor_of_parameters,
    name_factor,
)
from tinygrad_fm.testing.backward.lines import first_wrong
from tinygrad_fm.testing.backward.pairing import pair, same_shape
from tinygrad_fm.testing.backward.problem import (
    RATE,
    Problem,
    of_functions,
    of_layer,
    of_network,
    of_one_function,
)
from tinygrad_fm.testing.backward.report import BackwardReport
from tinygrad_fm.testing.backward.roles import role_of
from tinygrad_fm.testing.backward.step import faults_of_step
from tinygrad_fm.testing.backward.theirs import run_theirs
from tinygrad_fm.testing.backward.truth import find_truth

UNUSED = "the result does not depend on"


def check_backward(
    target: Any,
    *inputs: Any,
    backward: Callable[..., Any] | None = None,
    data: Any = None,
    loss: Callable[..., Any] | None = None,
    step: Callable[[Any], Any] | None = None,
    pairs: dict[str, str] | None = None,
) -> BackwardReport:
    """Hold a backward pass written by hand against the derivative of the same person's forward.

        check_backward((affine_forward, affine_backward), x, w, b)
        check_backward(lambda: Dense(3, 4), x)                      # forward(x), backward(dout)
        check_backward(make, data=(x, t), loss=lambda net, x, t: net.loss(x, t),
                       backward=lambda net, x, t: net.gradient(x, t))

    Args:
        target: a pair (forward, backward) of functions; a class or factory of layers; or, with
            `data`, `loss` and `backward`, a factory of networks.
        *inputs: the arguments of forward, or the layer's x.
        backward, data, loss: of a network, see above.
        step: of a network, `step(net)` updates it once; what that does is checked as well.
        pairs: the gradient's path by the parameter's, where the names do not tell.

    Raises:
        CannotRunError: the forward or the backward pass fails, or cannot be recorded.
        TypeError: `target` is nothing that can be called, or the inputs are missing.
    """
    _refuse_unusable(target, inputs, backward, data, loss)
    if loss is not None and backward is not None:
        problem = of_network(target, tuple(data), loss, backward)
    elif callable(target) and not isinstance(target, type) and _takes(target, len(inputs)):
        problem = of_one_function(target, inputs)
    elif isinstance(target, tuple):
        problem = of_functions(target[0], target[1], inputs)
    else:
        problem = of_layer(target, inputs[0])
    report = check_problem(problem, pairs)
    if step is not None:
        faults = faults_of_step(problem, find_truth(problem), step, _rate(problem))
        if faults:
            report.verdict = "wrong"
            report.notes = [*faults, *report.notes]
    return report


def _refuse_unusable(target: Any, inputs: Any, backward: Any, data: Any, loss: Any) -> None:
    """Say what to write where the arguments fit none of the forms of `check_backward`."""
    pair_given = isinstance(target, tuple)
    parts = target if pair_given else (target,)
    if len(parts) != 1 + pair_given or not all(callable(part) for part in parts):
        raise TypeError(
            f"check_backward was given {target!r}; write check_backward((forward, backward), x, w) "
            "for two functions, or check_backward(lambda: Dense(3, 4), x) for a layer"
        )
    network = {"data": data, "loss": loss, "backward": backward}
    missing = [name for name, value in network.items() if value is None]
    if len(missing) < 3 and missing and not inputs:
        raise TypeError(
            f"check_backward of a network needs {' and '.join(missing)} too; write "
            "check_backward(make, data=(x, t), loss=lambda net, x, t: net.loss(x, t), "
            "backward=lambda net, x, t: net.gradient(x, t))"
        )
    if not inputs and missing:
        raise TypeError(
            "check_backward was given no inputs to run forward with; write the arrays after the "
            "functions or the layer, as in check_backward((forward, backward), x, w)"
        )


def check_problem(problem: Problem, pairs: dict[str, str] | None = None) -> BackwardReport:
    """`check_backward` of a problem in its common form."""
    truth = find_truth(problem)
    theirs = run_theirs(problem, truth.upstream, set(truth.parameters))
    report = BackwardReport(problem.title, "right", notes=list(problem.notes))
    report.notes += truth.notes
    report.samples = problem.samples or (
        truth.result.shape[0] if truth.result.ndim else _samples(problem)
    )
    report.outputs = truth.result.shape[-1] if truth.result.ndim else _outputs(truth)
    chosen = {**pair(theirs.found, truth.parameters), **(pairs or {})}
    rate = _rate(problem)
    updated = False
    if len(chosen) < len(truth.parameters) and theirs.updated:
        for name, change in theirs.updated.items():
            if name not in chosen and name in truth.parameters:
                chosen[name] = f"the change of {name}"
                theirs.found[chosen[name]] = change / -rate if rate else change
                updated = True
    for name, gradient in truth.parameters.items():
        place = chosen.get(name, "")
        if not place and (name in problem.data or name in problem.differentiated):
            continue  # the gradient by an input need not be given
        found = compare(name, place, theirs.found.get(place), gradient)
        if found.factor is None and place.startswith("the change of"):
            # an optimizer inside backward: not its step but the gradient that it takes is compared
            for made in theirs.made:
                kept = compare(name, f"{made.name}, line {made.line}", made.array, gradient)
                if kept.factor is not None and np.ptp(gradient) > 0:
                    found = kept
                    report.notes.append(f"{name} is updated by more than its gradient")
                    break
        report.comparisons.append(found)
    factor = common_factor(report.comparisons)
    inputs = {c.parameter for c in report.comparisons if role_of(c.parameter) in ("x", "output")}
    if factor is not None and abs(factor - 1) > 1e-5:
        report.verdict = "right up to a convention"
        words = name_factor(factor, report.samples, report.outputs)
        if updated and factor * (1 if rate else -1) < 0:
            report.verdict = "wrong"
            report.notes.append("the update goes uphill: it adds the gradient of the loss")
        report.convention = words
    elif all(c.is_right for c in report.comparisons):
        pass
    elif (mean := factor_of_parameters(report.comparisons, inputs, truth.result.shape)) is not None:
        report.verdict = "right up to a convention"
        words = name_factor(mean, round(1 / mean), round(1 / mean))
        report.convention = f"{words}, but for those of the inputs"
    else:
        report.verdict = "wrong"
        report.usual = _usual(report.comparisons) if updated else 1.0
        amiss = [c for c in report.comparisons if c.place and not same_shape(c.theirs, c.truth)]
        bad = [
            scale * np.asarray(c.theirs)
            for c in amiss or report.comparisons
            if c.place and (c.factor is None or abs(c.factor / report.usual - 1) > 1e-5)
            for scale in ((1.0, -rate) if rate else (1.0,))
        ]
        if not truth.notes:
            report.line = first_wrong(truth, theirs, bad)
    if updated:
        what = f"minus the learning rate, {rate:g}, times" if rate else "a multiple of"
        report.notes.append(f"backward updates the parameters itself: their change is {what} this")
    report.notes += [f"{name} is changed in place by the forward pass" for name in theirs.mutated]
    report.notes += [f"{UNUSED} {name}" for name in truth.unused if name not in theirs.found]
    report.notes += [note for note in (descent(problem, truth),) if note]
    report.notes += list(warnings_of(problem, truth))
    return report


def _rate(problem: Problem) -> float:
    """The learning rate that an update inside backward uses; 0 where it is not known."""
    for value in problem.world.values():
        for name, found in getattr(value, "__dict__", {}).items():
            if role_of(name) == "lr" and isinstance(found, (int, float)) and found > 0:
                return float(found)
    return RATE if problem.takes_rate else 0.0


def _usual(found: list[Comparison]) -> float:
    """The factor of most gradients; 1 where no two have the same."""
    factors = Counter(float(f"{c.factor:.5g}") for c in found if c.factor is not None)
    if not factors:
        return 1.0
    value, times = factors.most_common(1)[0]
    return value if times > 1 and 1.0 not in factors else 1.0


def _takes(function: Any, count: int) -> bool:
    """Whether a function takes that many arguments: a factory takes none."""
    needed = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return 0 < len(needed) <= count


def _samples(problem: Problem) -> int:
    for name in problem.data:
        value = problem.world[name]
        if getattr(value, "ndim", 0) > 1:
            return int(value.shape[0])
    return 1


def _outputs(truth: Any) -> int:
    last = [v.array for v in truth.values if np.ndim(v.array) == 2]
    return int(last[-1].shape[-1]) if last else 1
