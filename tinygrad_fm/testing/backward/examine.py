"""One look at a backward pass: the gradients that it gives beside the true ones, line by line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from tinygrad_fm.testing.backward.judge import (
    TOLERANCE,
    Comparison,
    clipped_at,
    common_factor,
    compare,
    factor_of_parameters,
    name_factor,
    nearly,
)
from tinygrad_fm.testing.backward.lines import first_wrong
from tinygrad_fm.testing.backward.pairing import pair, same_shape
from tinygrad_fm.testing.backward.problem import RATE, CannotRunError, Problem
from tinygrad_fm.testing.backward.report import BackwardReport
from tinygrad_fm.testing.backward.roles import role_of
from tinygrad_fm.testing.backward.terms import Mixture, decay_beside, mixture, say, terms_of
from tinygrad_fm.testing.backward.theirs import Theirs, run_theirs
from tinygrad_fm.testing.backward.truth import Truth, find_truth


@dataclass
class Examined:
    """A report with what it was made of.

    Attributes:
        problem: what was examined, whose numbers may have been moved.
        updates: whether backward changes the parameters itself.
        lacking: parameters whose gradient is right but for penalties that are left out.
    """

    problem: Problem
    report: BackwardReport
    truth: Truth
    theirs: Theirs
    updates: bool
    lacking: tuple[str, ...] = ()


def examine(problem: Problem, pairs: dict[str, str] | None = None) -> Examined:
    """Compare all gradients; of a wrong one, find the terms of the loss, and the line."""
    truth = find_truth(problem)
    theirs = run_theirs(problem, truth.upstream, set(truth.parameters))
    report = BackwardReport(problem.title, "right", notes=[*problem.notes, *truth.notes])
    report.samples = problem.samples or (
        truth.result.shape[0] if truth.result.ndim else _samples(problem)
    )
    report.outputs = truth.result.shape[-1] if truth.result.ndim else _outputs(truth)
    rate = rate_of(problem)
    updates = _compare(problem, truth, theirs, report, pairs, rate)
    paired = any(c.place for c in report.comparisons) or not report.comparisons
    if not paired and not theirs.found:
        raise CannotRunError(
            f"no gradient was found: backward returns {theirs.returned}, and sets no array"
        )
    lacking = _of_terms(truth, report)
    found = Examined(problem, report, truth, theirs, updates, lacking)
    judge(found, problem)
    if report.verdict == "wrong":
        report.usual = _usual(report.comparisons, bool(rate)) if updates else 1.0
        if not paired:
            report.notes.append(
                f"of what backward makes, {', '.join(theirs.found)}, nothing fits by name and "
                "shape; pairs={parameter: gradient} of testing.check_backward tells"
            )
        elif not truth.notes:
            locate(truth, theirs, report, rate)
    if updates:
        what = f"minus the learning rate, {rate:g}, times" if rate else "a multiple of"
        report.notes.append(f"backward updates the parameters itself: their change is {what} this")
    return found


def _compare(
    problem: Problem,
    truth: Truth,
    theirs: Theirs,
    report: BackwardReport,
    pairs: dict[str, str] | None,
    rate: float,
) -> bool:
    """Fill in the comparisons; returns whether changes of the parameters were compared."""
    chosen = {**pair(theirs.found, truth.parameters), **(pairs or {})}
    updates = False
    if len(chosen) < len(truth.parameters) and theirs.updated:
        for name, change in theirs.updated.items():
            if name not in chosen and name in truth.parameters:
                chosen[name] = f"the change of {name}"
                theirs.found[chosen[name]] = change / -rate if rate else change
                updates = True
    for name, gradient in truth.parameters.items():
        place = chosen.get(name, "")
        if not place and (name in problem.data or name in problem.differentiated):
            continue  # the gradient by an input need not be given
        if not place and name in problem.optional:
            report.notes.append(f"backward gives no gradient by {name}: a first layer needs none")
            continue
        found = compare(name, place, theirs.found.get(place), gradient)
        if found.factor is None and place:
            most = clipped_at(found.theirs, gradient)
            found.excused = f"clipped at {most:.6g}" if most else ""
            if not most and theirs.small and (factor := nearly(found.theirs, gradient)):
                found.factor = factor
                note = f"{theirs.small:g} in the code moves the gradient by {name} a little"
                report.notes.append(note)
        if found.factor is None and place.startswith("the change of"):
            # an optimizer inside backward: not its step but the gradient that it takes is compared
            for made in theirs.made:
                kept = compare(name, f"{made.name}, line {made.line}", made.array, gradient)
                if kept.factor is not None and np.ptp(gradient) > 0:
                    found = kept
                    report.notes.append(f"{name} is updated by more than its gradient")
                    break
        report.comparisons.append(found)
    return updates


def _of_terms(truth: Truth, report: BackwardReport) -> tuple[str, ...]:
    """Say which terms of the loss are wrong in a gradient; returns those that lack penalties."""
    wrong = [c for c in report.comparisons if c.place and c.factor is None and not c.excused]
    terms = terms_of(truth) if wrong else []
    leaves = {v.name: v for v in truth.values if v.node.primitive is None}
    truth.parts = [
        replace(leaves[name], gradient=gradient)
        for term in terms
        for name, gradient in term.gradients.items()
    ]
    mixed: dict[str, Mixture] = {}
    for c in wrong:
        found = mixture(c.theirs, c.parameter, terms)
        if found is not None:
            mixed[c.parameter] = found
            c.terms = say(found, c.place, report.samples, report.outputs)
    return tuple(name for name, m in mixed.items() if m.lacks_penalties_alone)


def judge(examined: Examined, problem: Problem) -> None:
    """The verdict over all comparisons."""
    truth, report, rate = examined.truth, examined.report, rate_of(problem)
    found = report.comparisons
    report.verdict = "right"
    factor = common_factor([c for c in found if not c.excused])
    inputs = {c.parameter for c in found if role_of(c.parameter) in ("x", "output")}
    if factor is not None and abs(factor - 1) > TOLERANCE:
        report.verdict = "right up to a convention"
        if examined.updates and factor * (1 if rate else -1) < 0:
            report.verdict = "wrong"
            report.notes.append("the update goes uphill: it adds the gradient of the loss")
        report.convention = name_factor(factor, report.samples, report.outputs)
    elif all(c.is_right for c in found):
        pass
    elif (mean := factor_of_parameters(found, inputs, truth.result.shape)) is not None:
        report.verdict = "right up to a convention"
        words = name_factor(mean, round(1 / mean), round(1 / mean))
        report.convention = f"{words}, but for those of the inputs"
    elif (decay := _decay(found, truth)) is not None:
        report.verdict = "right up to a convention"
        report.notes.append(
            f"the gradients have {decay:.4g} times the weights more than the loss has terms for: "
            "a penalty that is left out of the loss, if it is meant"
        )
    else:
        report.verdict = "wrong"


def _decay(found: list[Comparison], truth: Truth) -> float | None:
    """The one factor of a weight decay that all wrong gradients have more than the loss has.

    It is that of every matrix, or it is a slip in one of them.
    """
    wrong = [c for c in found if not c.is_right]
    if truth.result.ndim or any(c.terms or not c.place for c in wrong):
        return None
    if any(c.is_right and np.ndim(c.truth) == 2 and min(c.truth.shape) > 1 for c in found):
        return None
    factors = [decay_beside(c.theirs, c.truth, truth.arrays[c.parameter]) for c in wrong]
    known = [f for f in factors if f is not None]
    if len(known) < len(factors) or max(known) - min(known) > 1e-4 * max(known):
        return None
    for c in wrong:
        c.excused = "but for the weight decay"
    return known[0]


def locate(truth: Truth, theirs: Theirs, report: BackwardReport, rate: float) -> None:
    """Find the first wrong line."""
    found = report.comparisons
    amiss = [c for c in found if c.place and not same_shape(np.asarray(c.theirs), c.truth)]
    bad = [
        scale * np.asarray(c.theirs)
        for c in amiss or found
        if c.place and not c.excused and (c.factor is None or not _as_usual(c, report.usual))
        for scale in ((1.0, -rate) if rate else (1.0,))
    ]
    line = report.line = first_wrong(truth, theirs, bad, _one_factor(found))
    if line is not None:
        for c in found:
            forms = [a for a in line.made.forms if c.terms and a.shape == np.shape(c.theirs)]
            if any(
                np.allclose(scale * a, c.theirs)
                for a in forms
                for scale in ((1.0, -1 / rate) if rate else (1.0,))
            ):
                line.slip, line.formula = c.terms, ""
                break


def _one_factor(found: list[Comparison]) -> float | None:
    """The factor that all wrong gradients have; None where they have none, or are updates."""
    wrong = [c for c in found if c.place and not c.is_right]
    known = [c.factor for c in wrong if c.factor is not None]
    updates = any("change of" in c.place for c in found)
    if not known or updates or not any(c.is_right for c in found):
        return None
    return known[0] if all(abs(f / known[0] - 1) < TOLERANCE for f in known) else None


def _as_usual(c: Comparison, usual: float) -> bool:
    return c.factor is not None and abs(c.factor / usual - 1) <= TOLERANCE


def rate_of(problem: Problem) -> float:
    """The learning rate that an update uses; 0 where it is not known."""
    for value in problem.world.values():
        for name, found in getattr(value, "__dict__", {}).items():
            if role_of(name) == "lr" and isinstance(found, (int, float)) and found > 0:
                return float(found)
    return RATE if problem.takes_rate else 0.0


def _usual(found: list[Comparison], rate_known: bool) -> float:
    """The factor of most gradients; 1 where no two have the same, unless it may be anything."""
    factors = Counter(float(f"{c.factor:.5g}") for c in found if c.factor is not None)
    if not factors:
        return 1.0
    value, times = factors.most_common(1)[0]
    enough = times > 1 or (not rate_known and value < 0)
    return value if enough and 1.0 not in factors else 1.0


def _samples(problem: Problem) -> int:
    for name in problem.data:
        value = problem.world[name]
        if getattr(value, "ndim", 0) > 1:
            return int(value.shape[0])
    return 1


def _outputs(truth: Truth) -> int:
    last = [v.array for v in truth.values if np.ndim(v.array) == 2]
    return int(last[-1].shape[-1]) if last else 1
