"""What in a file can be checked, and with which inputs: found by names, and by trying."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward import classes
from tinygrad_fm.testing.backward.beyond import aliases
from tinygrad_fm.testing.backward.check import UNUSED, check_problem, explain
from tinygrad_fm.testing.backward.functional import networks
from tinygrad_fm.testing.backward.functional import problems as problems_of
from tinygrad_fm.testing.backward.guessing import arguments_of
from tinygrad_fm.testing.backward.lent import with_globals
from tinygrad_fm.testing.backward.loops import loops
from tinygrad_fm.testing.backward.loops import problems_of as problems_in
from tinygrad_fm.testing.backward.making import (
    BACKWARD,
    FORWARD,
    LOSS,
    instances,
    is_abstract,
    method,
)
from tinygrad_fm.testing.backward.pairing import same_shape
from tinygrad_fm.testing.backward.places import is_float
from tinygrad_fm.testing.backward.problem import (
    CannotRunError,
    Problem,
    generator_kept,
    of_functions,
    of_one_function,
)
from tinygrad_fm.testing.backward.report import BackwardReport
from tinygrad_fm.testing.backward.roles import role_of
from tinygrad_fm.testing.backward.sources import SAMPLES, Source, load
from tinygrad_fm.testing.backward.updates import unseen

NOTHING = (
    "no backward pass was found in {}: it looks for x_forward and x_backward, for classes with "
    "forward and backward or with a loss and a gradient, and for functions that return (loss, "
    "gradients)"
)
Found = tuple[int, BackwardReport, Problem]  # with how many arrays the result does not depend on
ARRANGEMENTS = 8  # of inputs that are tried where the gradients are wrong


def subjects(
    source: Source, wanted: str = ""
) -> Iterator[tuple[str, Callable[[], BackwardReport]]]:
    """Everything in a file that has a backward pass, as (name, how to check it)."""
    defined = list(_defined(source, wanted))
    stepped: set[int] = set()
    for i, (name, check) in enumerate(defined):
        last = i == len(defined) - 1
        yield name, lambda check=check, last=last: _warned(check(), source, stepped, last)  # type: ignore[misc]
    for loop in [] if defined else loops(source, source.tree):
        if wanted in ("", loop.title, loop.owner):
            yield loop.title, lambda loop=loop: _best(problems_in(loop, source), loop.title)  # type: ignore[misc]


def _warned(
    report: BackwardReport, source: Source, stepped: set[int], last: bool
) -> BackwardReport:
    """A report with what is to be said of the file as a whole; the last has the updates too."""
    report.notes += aliases(source.tree)
    stepped |= report.stepped
    if last and report.is_right:
        report.notes += unseen(source.tree, stepped)
    return report


def _defined(source: Source, wanted: str) -> Iterator[tuple[str, Callable[[], BackwardReport]]]:
    """The functions and classes of a file that are or have a backward pass."""
    scope = source.scope
    whole = {network.forward: network for network in networks(source)}
    for name in source.names:
        if wanted and name != wanted:
            continue
        found = scope.get(name)
        if isinstance(found, type):
            has_loss = not method(found, BACKWARD) and _returns_two(_own_loss(found))
            if has_loss or (method(found, BACKWARD) and not is_abstract(found)):
                yield name, lambda found=found: _check_class(found, source)  # type: ignore[misc]
        elif callable(found):
            partner = _partner(name, scope)
            if name in whole:
                yield name, lambda n=whole[name]: _best(problems_of(n, source), n.backward)  # type: ignore[misc]
            elif partner is not None:
                yield name, lambda f=found, b=partner: _check_pair(f, b)  # type: ignore[misc]
            elif _returns_two(found) and any(word in name.lower() for word in LOSS):
                yield name, lambda f=found: _check_one(f)  # type: ignore[misc]


def check_file(target: str | Path) -> list[BackwardReport]:
    """Check every backward pass in a file or notebook: `net.py`, or `net.py::TwoLayerNet` of it.

        def test_my_backward():
            assert all(report.is_right for report in check_file("net.py"))

    Raises:
        CannotRunError: the file cannot be read, holds no backward pass, or one cannot run.
    """
    where, _, name = str(target).partition("::")
    source = load(Path(where))
    found = list(subjects(source, name))
    if not found:
        raise CannotRunError("; ".join([NOTHING.format(target), *source.notes]))
    return [check() for _, check in found]


def _partner(name: str, scope: dict[str, Any]) -> Any:
    """`affine_backward` for `affine_forward`."""
    for forward, backward in itertools.product(FORWARD, BACKWARD):
        for text in (forward, forward.capitalize()):
            if text in name:
                other = name.replace(text, backward if text == forward else backward.capitalize())
                if other != name and callable(scope.get(other)):
                    return scope[other]
    return scope.get(f"{name}_backward")  # relu, relu_backward


def _own_loss(kind: type) -> Any:
    """The method of a class that is its loss."""
    return getattr(kind, method(kind, LOSS) or "__init__")


def _returns_two(function: Any) -> bool:
    """Whether a function returns several values, as (loss, gradients)."""
    import ast
    import textwrap

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    returns = [n.value for n in ast.walk(tree) if isinstance(n, ast.Return)]
    return any(isinstance(value, ast.Tuple) and len(value.elts) >= 2 for value in returns)


# ---- trying inputs -------------------------------------------------------------------------------


def _best(problems: Iterator[Problem], what: str) -> BackwardReport:
    """The report of the arrangement of inputs that the code was written for.

    Of those that run, the first in which the gradients are right: an arrangement that the code is
    not meant for, such as several outputs where it has one, would make a right program look wrong.

    Raises:
        CannotRunError: none runs; the message has the first reason.
    """
    reason = ""
    found: list[Found] = []
    for problem in itertools.islice(problems, 200):
        if len(found) == ARRANGEMENTS:
            break
        try:
            with generator_kept(), np.errstate(all="ignore"):
                report = check_problem(problem)
        except CannotRunError as error:
            further = "backward pass fails" in str(error) and "backward" not in reason
            reason = str(error) if further or not reason else reason
            continue
        unused = sum(note.startswith(UNUSED) for note in report.notes)
        if report.is_right and not unused and not _is_single(problem):
            return report
        found.append((unused, report, problem))
    if found:
        _, report, problem = _meant(found)
        if report.is_right:
            return report
        return _of_one_number(problem) or explain(problem, report)
    reason = reason or "no inputs fit"
    if what in reason:
        raise CannotRunError(reason)
    raise CannotRunError(f"{what}: {reason}; call testing.check_backward with inputs of your own")


def _of_one_number(problem: Problem) -> BackwardReport | None:
    """The report of a backward that is right where one number alone of what it is given is not 0.

    So is one that looks for that number, to pass over those that are 0.
    """
    text = "".join(inspect.getsource(f) for f in problem.functions if inspect.isclass(f))
    if "== 0" not in text or "continue" not in text:
        return None
    try:
        report = check_problem(replace(problem, one_at_a_time=True))
    except CannotRunError:
        return None
    report.notes.append("it is right where all but one number of the gradient it is given are 0")
    return report if report.is_right else None


def _is_single(problem: Problem) -> bool:
    """Whether its first data are one sample, or one feature."""
    x = next((problem.world[n] for n in problem.data if is_float(problem.world[n])), None)
    return x is not None and 1 in x.shape


def _shapes_differ(report: BackwardReport) -> bool:
    given = [c for c in report.comparisons if c.place]
    return any(not same_shape(np.asarray(c.theirs), c.truth) for c in given)


def _meant(found: list[Found]) -> Found:
    """The arrangement that was meant: that of which most is used, and most is right.

    One sample alone hides what is wrong with several, and counts only where those do not fit.
    """
    several = [f for f in found if not _is_single(f[2]) and not _shapes_differ(f[1])]
    least = min(unused for unused, _, _ in found)
    if any(unused == least for unused, _, _ in several):
        found = several

    def how_wrong(f: Found) -> tuple[int, bool, int]:
        unused, report, _ = f
        return unused, not report.is_right, sum(c.factor is None for c in report.comparisons)

    return min(found, key=how_wrong)


def _check_pair(forward: Any, backward: Any) -> BackwardReport:
    problems = (
        _with_samples(with_globals(of_functions(forward, backward, arguments)))
        for arguments in arguments_of(forward)
    )
    return _best(problems, getattr(forward, "__name__", type(forward).__name__))


def _check_one(function: Any) -> BackwardReport:
    problems = (
        _with_samples(with_globals(of_one_function(function, arguments)))
        for arguments in arguments_of(function)
    )
    return _best(problems, function.__name__)


def _with_samples(problem: Problem) -> Problem:
    """A problem of guessed arguments, whose number of samples is known."""
    inputs = (value for name, value in problem.world.items() if role_of(name) == "x")
    if any(SAMPLES in np.shape(value) for value in inputs):
        problem.samples = SAMPLES
    return problem


def _check_class(kind: type, source: Source) -> BackwardReport:
    makers = list(instances(kind, source))
    working = []
    reason = ""
    for make, held in makers:
        try:
            with generator_kept():
                make()
            working.append((make, held))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
    if not working:
        raise CannotRunError(
            f"{kind.__name__} cannot be made with numbers for its arguments ({reason}); write a "
            f"function without arguments that returns one, and name that"
        )
    problems = itertools.chain.from_iterable(
        itertools.chain(
            classes.as_network(make, kind, source, held), classes.as_layer(make, kind, source)
        )
        for make, held in working
    )
    return _best(problems, kind.__name__)
