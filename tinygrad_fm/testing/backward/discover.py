"""What in a file can be checked, and with which inputs: found by names, and by trying."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.check import UNUSED, check_problem
from tinygrad_fm.testing.backward.places import is_float, places
from tinygrad_fm.testing.backward.problem import (
    RATE,
    CannotRunError,
    Problem,
    generator_kept,
    of_functions,
    of_layer,
    of_network,
    of_one_function,
    result_of,
    takes_rate,
)
from tinygrad_fm.testing.backward.report import BackwardReport
from tinygrad_fm.testing.backward.roles import arguments_for
from tinygrad_fm.testing.backward.sources import Source, load

NOTHING = (
    "no backward pass was found in {}: it looks for x_forward and x_backward, for classes with "
    "forward and backward or with a loss and a gradient, and for functions that return (loss, "
    "gradients)"
)
SAMPLES, FEATURES, CLASSES = 5, 4, 3
ARRANGEMENTS = 8  # of inputs that are tried where the gradients are wrong
FORWARD = ("forward", "fwd", "feedforward", "propagate", "forward_pass", "forward_propagation")
BACKWARD = (
    "backward", "bwd", "backprop", "back_prop", "backpropagation", "back_propagation",
    "backward_pass", "backward_propagation", "gradient", "gradients", "grad", "grads",
    "compute_gradients", "compute_gradient", "calculate_gradients",
)  # fmt: skip
LOSS = ("loss", "cost", "error", "compute_loss", "compute_cost", "calculate_loss", "loss_function")
TARGETS = ("t", "y", "target", "targets", "labels", "label", "y_true", "y_label", "yt")


def subjects(
    source: Source, wanted: str = ""
) -> Iterator[tuple[str, Callable[[], BackwardReport]]]:
    """Everything in a file that has a backward pass, as (name, how to check it)."""
    scope = source.scope
    for name in source.names:
        if wanted and name != wanted:
            continue
        found = scope.get(name)
        if isinstance(found, type):
            if _method(found, BACKWARD):
                yield name, lambda found=found: _check_class(found, source)  # type: ignore[misc]
        elif callable(found):
            partner = _partner(name, scope)
            if partner is not None:
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
    return None


def _returns_two(function: Any) -> bool:
    import ast
    import textwrap

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    returns = [n.value for n in ast.walk(tree) if isinstance(n, ast.Return)]
    return any(isinstance(value, ast.Tuple) and len(value.elts) >= 2 for value in returns)


def _method(kind: type, names: tuple[str, ...]) -> str:
    """The name of a class's method that is one of these."""
    # not getattr: every class has the __call__ of its metaclass
    own = {name for base in kind.__mro__ if base is not object for name in vars(base)}
    return next((n for n in names if n in own and callable(getattr(kind, n))), "")


# ---- trying inputs -------------------------------------------------------------------------------


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _arguments(function: Any) -> Iterator[tuple[Any, ...]]:
    """Arguments for a function of arrays: guessed by their names, in several arrangements."""
    names = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    choices = itertools.product((False, True), (False, True), (False, True), (False, True))
    for image, single, columns, one_hot in choices:
        rng = _rng()
        yield tuple(_guess(name, rng, columns, one_hot, image, single) for name in names)


def _guess(
    name: str, rng: np.random.Generator, columns: bool, one_hot: bool, image: bool, single: bool
) -> Any:
    word = name.lower().strip("_")
    if single and not image:  # one output, so that weights and targets are vectors
        if word in TARGETS:
            return rng.standard_normal(SAMPLES)
        if word.startswith(("w", "theta", "b")) and word != "beta":
            return rng.standard_normal(1 if word.startswith("b") else FEATURES)
    wide: tuple[int, ...] = (3, 6, 6) if image else (FEATURES,)
    if word in TARGETS:
        labels = rng.integers(0, CLASSES, SAMPLES)
        return np.eye(CLASSES)[labels] if one_hot else labels
    if word.startswith(("w", "theta", "kernel")):
        shape: Any = (
            (2, 3, 3, 3) if image else (CLASSES, FEATURES) if columns else (FEATURES, CLASSES)
        )
        return rng.standard_normal(shape)
    if word in ("gamma", "beta"):
        return rng.uniform(0.5, 1.5, FEATURES)
    if word.startswith("b"):
        return rng.standard_normal((CLASSES, 1) if columns else 2 if image else CLASSES)
    if word.startswith(("score", "logit")):
        return rng.standard_normal((SAMPLES, CLASSES))
    if columns and not image:
        return rng.standard_normal((FEATURES, SAMPLES))
    return rng.standard_normal((SAMPLES, *wide))


def _best(problems: Iterator[Problem], what: str) -> BackwardReport:
    """The report of the arrangement of inputs that the code was written for.

    Of those that run, the first in which the gradients are right: an arrangement that the code is
    not meant for, such as several outputs where it has one, would make a right program look wrong.

    Raises:
        CannotRunError: none runs; the message has the first reason.
    """
    reason = ""
    wrong: list[tuple[int, BackwardReport]] = []
    for problem in itertools.islice(problems, 200):
        if len(wrong) == ARRANGEMENTS:
            break
        try:
            with generator_kept(), np.errstate(all="ignore"):
                report = check_problem(problem)
        except CannotRunError as error:
            reason = reason or str(error)
            continue
        unused = sum(note.startswith(UNUSED) for note in report.notes)
        if report.is_right and not unused:
            return report
        wrong.append((unused, report))
    if wrong:
        return min(wrong, key=_how_wrong)[1]
    reason = reason or "no inputs fit"
    raise CannotRunError(f"{what}: {reason}; call testing.check_backward with inputs of your own")


def _how_wrong(found: tuple[int, BackwardReport]) -> tuple[int, bool, int]:
    """The arrangement that was meant is that of which most is used, and most is right."""
    unused, report = found
    return unused, not report.is_right, sum(c.factor is None for c in report.comparisons)


def _check_pair(forward: Any, backward: Any) -> BackwardReport:
    problems = (of_functions(forward, backward, arguments) for arguments in _arguments(forward))
    return _best(problems, forward.__name__)


def _check_one(function: Any) -> BackwardReport:
    problems = (of_one_function(function, arguments) for arguments in _arguments(function))
    return _best(problems, function.__name__)


# ---- classes -------------------------------------------------------------------------------------


def _instances(kind: type) -> Iterator[Callable[[], Any]]:
    """Ways to make an object: without arguments, or with small numbers for what it needs."""
    needed = [
        p
        for p in list(inspect.signature(kind).parameters.values())
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    sizes = [FEATURES, 6, CLASSES, 2, 3]
    choices: list[list[Any]] = []
    for i, parameter in enumerate(needed):
        word = parameter.name.lower()
        if any(
            w in word for w in ("lr", "rate", "eta", "alpha", "reg", "lambda", "momentum", "std")
        ):
            choices.append([0.1])
        elif any(w in word for w in ("sizes", "layers", "dims", "shape", "units")):
            choices.append([[FEATURES, 6, CLASSES], (FEATURES, 6, CLASSES), 6])
        elif "activation" in word:
            choices.append(["sigmoid", "relu", "tanh"])
        else:
            choices.append([sizes[min(i, len(sizes) - 1)]])
    for arguments in itertools.islice(itertools.product(*choices), 9):
        yield lambda arguments=arguments: kind(*arguments)  # type: ignore[misc]


def _check_class(kind: type, source: Source) -> BackwardReport:
    makers = list(_instances(kind))
    working = []
    reason = ""
    for make in makers:
        try:
            with generator_kept():
                make()
            working.append(make)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
    if not working:
        raise CannotRunError(
            f"{kind.__name__} cannot be made with numbers for its arguments ({reason}); write a "
            f"function without arguments that returns one, and name that"
        )
    problems = itertools.chain.from_iterable(
        itertools.chain(_as_network(make, kind, source), _as_layer(make, kind)) for make in working
    )
    return _best(problems, kind.__name__)


def _inputs(make: Callable[[], Any]) -> list[tuple[int, ...]]:
    """Shapes that the input of an object may have, judged by its first parameters."""
    shapes: list[tuple[int, ...]] = []
    with generator_kept():
        made = make()
    for place in places(made):
        value = place.get()
        if is_float(value) and value.ndim == 2:
            a, b = value.shape
            shapes += [(SAMPLES, a), (SAMPLES, b), (b, SAMPLES), (a, SAMPLES)]
        elif is_float(value) and value.ndim == 3:  # filters of a convolution of one image
            side = value.shape[-1] + 3
            shapes += [(side, side + 1), (2, side, side + 1)]
        elif is_float(value) and value.ndim == 4:
            shapes += [(2, value.shape[1], 6, 6), (2, 6, 6, value.shape[2])]
        elif is_float(value) and value.ndim == 1 and value.size > 1:
            shapes += [(SAMPLES, value.size)]
    single = [(1, n) for _, n in [s for s in shapes if len(s) == 2 and s[0] == SAMPLES]]
    column = [(n, 1) for n, _ in [s for s in shapes if len(s) == 2 and s[1] == SAMPLES]]
    usual = [(SAMPLES, FEATURES), (2, 3, 6, 6)]
    return list(dict.fromkeys([*shapes, *usual, *single, *column]))


def _as_layer(make: Callable[[], Any], kind: type) -> Iterator[Problem]:
    forward, backward = _method(kind, (*FORWARD, "__call__")), _method(kind, BACKWARD)
    if not forward or not backward:
        return
    for shape in _inputs(make):
        yield of_layer(make, _rng().standard_normal(shape), forward, backward)


# Losses of programs that only write down the error: what its derivative is that of.
IMPLIED: dict[str, Callable[[Any, Any], Any]] = {
    "half the sum of the squared errors": lambda y, t: 0.5 * np.sum((y - t) ** 2),
    "cross-entropy": lambda y, t: -np.sum(t * np.log(y + 1e-15)),
    "binary cross-entropy": lambda y, t: (
        -np.sum(t * np.log(y + 1e-15) + (1 - t) * np.log(1 - y + 1e-15))
    ),
}


def _as_network(make: Callable[[], Any], kind: type, source: Source) -> Iterator[Problem]:
    """A class with a loss: its own, a function of the file, or the one its error implies."""
    back = _method(kind, BACKWARD)
    forward, own = _method(kind, FORWARD), _method(kind, LOSS)

    def output(net: Any, x: Any) -> Any:
        return result_of(net, forward, _given(getattr(net, forward), {"x": x}))[0]

    losses: list[tuple[str, Callable[..., Any]]] = []
    if own:
        losses.append(("", lambda net, x, t: _call(getattr(net, own), {"x": x, "t": t})))
        if forward:
            losses.append(("", lambda net, x, t: getattr(net, own)(output(net, x), t)))
            losses.append(("", lambda net, x, t: getattr(net, own)(t, output(net, x))))
    for name in source.names:
        if name.lower() in LOSS and callable(source.scope.get(name)) and forward:
            f = source.scope[name]
            losses.append(("", lambda net, x, t, f=f: _call(f, {"output": output(net, x), "t": t})))
    if not losses and forward:
        losses += [
            (name, lambda net, x, t, f=f: f(output(net, x), t)) for name, f in IMPLIED.items()
        ]

    def backward(net: Any, x: Any, t: Any) -> Any:
        known = {"x": x, "t": t, "lr": RATE, "samples": len(x)}
        if forward:
            known["output"] = output(net, x)
        return _call(getattr(net, back), known)

    for shape, (implied, loss) in itertools.product(_inputs(make), losses):
        if len(shape) != 2:
            continue
        for target in _targets(make, shape):
            data = (_rng().standard_normal(shape), target)
            if _runs(make, data, loss, backward):
                problem = of_network(make, data, loss, backward)
                problem.takes_rate = takes_rate(getattr(kind, back))
                if implied:
                    problem.notes.append(f"no loss is defined: checked as {implied}")
                yield problem


def _call(function: Any, known: dict[str, Any]) -> Any:
    return function(*_given(function, known))


def _given(function: Any, known: dict[str, Any]) -> list[Any]:
    return arguments_for(function, known)


def _targets(make: Callable[[], Any], shape: tuple[int, ...]) -> Iterator[Any]:
    """What the labels may be: numbers of classes, one-hot rows or columns, numbers."""
    with generator_kept():
        made = make()
    widths = [p.get().shape for p in places(made) if is_float(p.get()) and p.get().ndim == 2]
    classes = list(dict.fromkeys([n for w in reversed(widths[-1:]) for n in reversed(w)])) or [
        CLASSES
    ]
    for n in classes:
        labels = _rng().integers(0, n, SAMPLES)
        one_hot = np.eye(n)[labels]
        yield from (one_hot.T, one_hot) if shape[-1] == SAMPLES else (one_hot, labels)


def _runs(make: Callable[[], Any], data: Any, loss: Any, backward: Any) -> bool:
    try:
        with generator_kept(), np.errstate(all="ignore"):
            net = make()
            value = loss(net, *data)
            value = value[0] if isinstance(value, tuple) else value
            if np.ndim(value) != 0 or not np.isfinite(value):
                return False
            backward(net, *data)
    except Exception:
        return False
    return True
