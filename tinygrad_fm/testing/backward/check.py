"""check_backward: is a backward pass that was written by hand right, and where is it not?"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tinygrad_fm.testing.backward.beyond import descent, warnings_of
from tinygrad_fm.testing.backward.examine import examine
from tinygrad_fm.testing.backward.kinks import beside_kinks
from tinygrad_fm.testing.backward.lent import with_globals
from tinygrad_fm.testing.backward.problem import (
    Problem,
    of_functions,
    of_layer,
    of_network,
    of_one_function,
)
from tinygrad_fm.testing.backward.report import BackwardReport
from tinygrad_fm.testing.backward.smallest import smallest_case
from tinygrad_fm.testing.backward.step import look_at_step

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
        step: of a network, `step(net)` updates it once; several updates are checked as well.
        pairs: the gradient's path by the parameter's, where the names do not tell.

    Raises:
        CannotRunError: the forward or the backward pass fails, or cannot be recorded.
        TypeError: `target` is nothing that can be called, or the inputs are missing.
    """
    _refuse_unusable(target, inputs, backward, data, loss)
    if loss is not None and backward is not None:
        problem = of_network(target, tuple(data), loss, backward)
    elif callable(target) and not isinstance(target, type) and _takes(target, len(inputs)):
        problem = with_globals(of_one_function(target, inputs))
    elif isinstance(target, tuple):
        problem = with_globals(of_functions(target[0], target[1], inputs))
    else:
        problem = of_layer(target, inputs[0])
    if step is not None:
        problem.functions.append(step)
        problem.step = lambda world, returned: step(world["net"])
    return explain(problem, check_problem(problem, pairs), pairs)


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
    """`check_backward` of a problem in its common form, without the smallest case."""
    found = beside_kinks(problem, examine(problem, pairs), pairs)
    problem, report, truth, theirs = found.problem, found.report, found.truth, found.theirs
    if problem.step is not None or theirs.updated:
        look_at_step(problem, found)
    report.notes += [f"{UNUSED} {name}" for name in truth.unused if name not in theirs.found]
    report.notes += [note for note in (descent(problem, truth),) if note]
    report.notes += list(warnings_of(problem, truth, theirs))
    return report


def explain(
    problem: Problem, report: BackwardReport, pairs: dict[str, str] | None = None
) -> BackwardReport:
    """Add the smallest case to the report of a wrong backward pass."""
    if any(not c.is_right for c in report.comparisons) and not report.is_right:
        report.smallest = smallest_case(problem, report, lambda small: examine(small, pairs))
    return report


def _takes(function: Any, count: int) -> bool:
    """Whether a function takes that many arguments: a factory takes none."""
    needed = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return 0 < len(needed) <= count
