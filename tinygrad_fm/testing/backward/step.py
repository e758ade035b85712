"""A right gradient that is not used rightly: what several updates do to each parameter."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.examine import Examined, judge, rate_of
from tinygrad_fm.testing.backward.judge import common_factor
from tinygrad_fm.testing.backward.lines import WrongLine, source_of
from tinygrad_fm.testing.backward.pairing import last_word
from tinygrad_fm.testing.backward.places import places, snapshot, widened
from tinygrad_fm.testing.backward.problem import Problem, generator_kept
from tinygrad_fm.testing.backward.record import clean
from tinygrad_fm.testing.backward.rules import Rule, Steps, recognise
from tinygrad_fm.testing.backward.terms import terms_of
from tinygrad_fm.testing.backward.theirs import Lines, Made, files_of
from tinygrad_fm.testing.backward.truth import find_truth

STEPS = 6
MOVED = 0.2  # how far parameters are moved between steps, so that their gradients differ
LONGEST = 2000  # lines of one turn of training
VELOCITIES = ("v", "vel", "mom", "m", "delta", "update")
MOMENTUM = "v = momentum * v - rate * gradient; parameter += v"


def look_at_step(problem: Problem, found: Examined) -> None:
    """Run several steps, say which rule they follow, and what is wrong with them."""
    report, truth = found.report, found.truth
    wrong = [c for c in report.comparisons if not c.is_right and not report.convention]
    names = [n for n in truth.parameters if n not in problem.data]
    if truth.notes or {c.parameter for c in wrong} - set(found.lacking):
        return  # the gradient has to be right first
    if found.theirs.updated:
        problem = replace(problem, step=None)  # backward has done it already
    try:
        runs, lines, final = _run(problem, names)
    except Exception as error:
        if not problem.step_is_guessed:
            report.notes.append(f"the step could not be run: {type(error).__name__}: {error}")
        return
    penalties = {t.parameter: t.factor for t in terms_of(truth) if t.penalty == "L2"}
    if problem.step_is_guessed and not any(steps.changes.any() for steps in runs.values()):
        return  # it was to be given something else
    rate = rate_of(problem)
    numbers = [n for n in lines.numbers(problem.world) if n != rate]
    judged = _Judged(rate, numbers, lines.made, final)
    judged.trains = problem.step_trains and problem.step is not None
    for name, steps in runs.items():
        judged.look(name, steps, penalties.get(name, 0.0) if name in found.lacking else 0.0)
    for c in report.comparisons:
        if c.parameter in judged.completed:
            c.excused = "and the step adds the penalty"
    if judged.completed:
        report.line = None
        judge(found, problem)
    if judged.say(found):
        report.stepped = {code.co_firstlineno for code in lines.codes}


class _Judged:
    """What is found out about the steps of all parameters."""

    def __init__(self, rate: float, numbers: list[float], made: list[Made], final: dict[str, Any]):
        self.rate, self.numbers, self.made, self.final = rate, numbers, made, final
        self.rules: dict[str, Rule] = {}
        self.faults: list[tuple[str, str, Made | None]] = []
        self.notes: list[str] = []
        self.asides: list[tuple[str, str]] = []
        self.completed: list[str] = []
        self.trains = False  # of what trains by itself only descent, or ascent, is known for sure

    def look(self, name: str, steps: Steps, lacks: float) -> None:
        """Judge one parameter; `lacks` is the factor of a penalty that its gradient leaves out."""
        if self.trains and not np.isfinite(steps.changes).all():
            self.rules[name] = Rule()
        elif not np.isfinite(steps.changes).all():
            self.fault(f"the step makes {name} infinite or no number", name)
        elif not steps.changes.any():
            if steps.gradients.any():
                self.fault(f"{name} is never updated by the step", name)
        elif steps.gradients.any() and len(steps.changes) == STEPS:
            rule = recognise(steps, self.numbers, self.rate)
            if lacks and rule.name and abs(rule.decay) <= 1e-9:
                self.completed.append(name)
            elif lacks:  # what the step does with the gradient that it is given
                given = steps.gradients - lacks * steps.weights
                steps = replace(steps, gradients=given)
                rule = recognise(steps, self.numbers, self.rate)
            if self.trains and (rule.fault or rule.name != "gradient descent"):
                rule = Rule(rate=min(rule.rate, 0.0)) if rule.name else Rule()
            self.rules[name] = rule
            self._form(name, rule, steps)
            if rule.name:
                self._decay(name, rule, lacks)

    def fault(self, words: str, name: str, velocity: bool = False) -> None:
        """Note a fault, with the line that changes the parameter, or its velocity."""
        final = self.final.get(name)
        # the line that set it, and not those whose calls led there
        lines = [m for m in self.made if final is not None and _equal(m.array, final)]
        own = [m for m in lines if last_word(m.name) == last_word(name)]
        if lines and not np.isfinite(lines[0].array).all():  # what is all NaN equals much else
            lines = own or lines[-1:]
        line = lines[0] if lines else None
        if line is not None and velocity:
            at = next(i for i, m in enumerate(self.made) if m is line)
            before = [m for m in self.made[:at] if m.array.shape == line.array.shape]
            before = [m for m in before if last_word(m.name).startswith(VELOCITIES)]
            line = before[-1] if before else line
        self.faults.append((words, name, line))

    def _form(self, name: str, rule: Rule, steps: Steps) -> None:
        """Whether a rule is one of those that it looks like."""
        if rule.fault:
            self.fault(f"the step of {name} is {rule.name}, but {rule.fault}", name)
        elif rule.rate < 0 or (
            not self.trains and not rule.name and np.sum(steps.gradients * steps.changes) > 0
        ):
            entered = ", or the velocity enters with the wrong sign" if rule.momentum else ""
            self.fault(f"the step moves {name} uphill: it adds the gradient{entered}", name)
        elif rule.momentum and abs(rule.momentum - 1) < 1e-4:
            self.fault(
                f"the gradients of all earlier steps add up in {name}: set them to 0 before each "
                "backward pass, or multiply the velocity by the momentum",
                name,
                velocity=True,
            )
        elif rule.momentum < 0:
            self.fault(f"the velocity of {name} enters with the wrong sign", name, velocity=True)
        elif self.rate and rule.momentum and _same(rule.momentum, self.rate):
            self.fault(
                f"learning rate and momentum are swapped for {name}: the velocity is multiplied by "
                f"{rule.momentum:.4g}, the gradient by {rule.rate:.4g}",
                name,
                velocity=True,
            )
        elif rule.momentum > 1:
            self.fault(f"the velocity of {name} grows by itself, {rule.momentum:.4g} times", name)

    def _decay(self, name: str, rule: Rule, lacks: float) -> None:
        """Whether what the step takes away of the parameter itself is meant."""
        taken = rule.decay
        if name in self.completed:
            pass
        elif lacks and _same(taken, rule.rate * lacks):
            self.completed.append(name)
        elif abs(taken) <= 1e-9:
            pass
        elif taken < 0:
            self.fault(f"the step adds {-taken:.4g} times {name} to it: a decay's sign", name)
        elif (lacks and _same(taken, lacks)) or (
            any(_same(taken, n) for n in self.numbers)
            and not any(_same(taken / rule.rate, n) for n in self.numbers)
        ):
            self.fault(
                f"the step takes {taken:.4g} times {name} away: the decay is not scaled by the "
                f"learning rate, {rule.rate:.4g}",
                name,
            )
        else:
            words = f"the step also takes {taken:.4g} times {name} away"
            self.asides.append((f"{words}, for which the loss has no term", name))

    def say(self, found: Examined) -> bool:
        """Write it all into the report, the first fault with its line; returns whether it tells."""
        report = found.report
        rates = {
            name: rule.rate for name, rule in self.rules.items() if rule.name and rule.rate > 0
        }
        usual = float(np.median(list(rates.values()))) if rates else 0.0
        odd = {n: r for n, r in rates.items() if not _same(r, usual)}
        slow, fast = (min(rates, key=rates.get), max(rates, key=rates.get)) if rates else ("", "")  # type: ignore[arg-type]
        n = report.samples
        if n > 2 and rates and _same(rates[fast], n * rates[slow]):
            words = (
                f"{fast} learns {n} times as fast as {slow}: one gradient is a sum over the batch"
            )
            self.fault(f"{words} of {n}, and the other a mean", fast)
        elif len(rates) > 2 and len(odd) == 1 and not self.faults:
            ((name, rate),) = odd.items()
            self.notes.append(
                f"the learning rate of {name} is {rate:.4g}, that of the others {usual:.4g}"
            )
        if self.faults:
            words, _, made = self.faults[0]
            report.verdict = "wrong"
            said = _grouped([(words, name) for words, name, _ in self.faults])
            own = "infinite" in words or "the decay is not scaled" in words
            if made is not None and (report.line is None or own):
                formula = MOMENTUM if "velocity" in words or "momentum" in words else ""
                report.line = WrongLine(made, source_of(made), None, said.pop(0), formula)
            report.notes = [*said, *report.notes]
            return True
        if self.trains and not all(rule.name for rule in self.rules.values()):
            return False
        factor = None if found.updates else common_factor(report.comparisons)
        kinds = [(_in_words(rule, abs(factor or 1.0)), n) for n, rule in self.rules.items()]
        if all(words for words, _ in kinds):
            alike = len({words for words, _ in kinds}) == 1
            said = [f"the step is {kinds[0][0]}"] if alike and kinds else []
            self.notes[:0] = said or [f"the step of {name} is {words}" for words, name in kinds]
        elif self.rules and not found.updates:
            self.notes.append(
                "the step follows no one rule known here, such as momentum or Adam: not judged"
            )
        report.notes += [*self.notes, *_grouped(self.asides)]
        return True


def _grouped(said: list[tuple[str, str]]) -> list[str]:
    """What is said of several parameters once, and of the others that it holds too."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for words, name in said:
        kinds.setdefault(words.replace(name, "...") if name else words, []).append((words, name))
    lines = []
    for (words, _), *others in kinds.values():
        rest = f"; so it is for {', '.join(name for _, name in others)}" if others else ""
        lines.append(words + rest)
    return lines


def _in_words(rule: Rule, factor: float) -> str:
    """A rule with the learning rate that is written: of gradients with a factor, such as a sum."""
    linear = rule.name == "gradient descent" or "momentum" in rule.name
    rate = rule.rate / factor if linear else rule.rate
    more = f" {rule.momentum:.4g}" if rule.momentum and rule.name != "gradient descent" else ""
    return rule.name and f"{rule.name}{more}, learning rate {rate:.4g}"


def _run(problem: Problem, names: list[str]) -> tuple[dict[str, Steps], Lines, dict[str, Any]]:
    """Several steps, with the true gradient before each, and the lines of the last one."""
    world = widened(problem.world)
    rng = np.random.default_rng(2)
    history: dict[str, list[tuple[Any, Any, Any]]] = {name: [] for name in names}
    lines = Lines(files_of(problem), STEPS * LONGEST if problem.step_trains else 0)
    for number in range(STEPS):
        at = {clean(p.path): p for p in places(world)}
        for name in names if number else ():
            array = at[name].get()
            size = float(np.abs(array).max(initial=0.0)) or 1.0
            array += MOVED * size * rng.standard_normal(array.shape)
        truth = find_truth(replace(problem, world=world), seed=number)
        before = {clean(k): v for k, v in snapshot(world).items()}
        lines.made.clear()
        with generator_kept(), np.errstate(all="ignore"):
            result, rest = problem.forward(world)
            given = truth.upstream.copy() if np.ndim(result) else 1.0
            old_trace = sys.gettrace()
            sys.settrace(lines.call)
            try:
                _set_to_zero(world)
                with generator_kept():
                    returned = problem.backward(world, result, rest, given)
                if problem.step is not None:
                    problem.step(world, returned)
            finally:
                sys.settrace(old_trace)
        after = {clean(k): v for k, v in snapshot(world).items()}
        for name in names:
            gradient = truth.parameters.get(name, np.zeros(before[name].shape))
            history[name].append((before[name], gradient, after[name] - before[name]))
        if not all(np.isfinite(after[name]).all() for name in names):
            break
    rows = {n: [np.stack([np.ravel(p) for p in part]) for part in zip(*h, strict=True)]
            for n, h in history.items()}  # fmt: skip
    return {name: Steps(*parts) for name, parts in rows.items()}, lines, after


def _set_to_zero(world: dict[str, Any]) -> None:
    """Call what sets gradients to 0, where an object has it, as a training loop would."""
    for value in world.values():
        for name in ("zero_grad", "zero_grads", "zero_gradients"):
            if callable(getattr(value, name, None)):
                getattr(value, name)()


def _equal(a: Any, b: Any) -> bool:
    return bool(a.shape == b.shape and np.array_equal(a, b, equal_nan=True))


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-4 * abs(b)
