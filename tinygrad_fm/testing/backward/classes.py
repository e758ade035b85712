"""Classes as layers and as networks, with every arrangement of data that they may be meant for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.functional import IMPLIED
from tinygrad_fm.testing.backward.making import (
    BACKWARD,
    FEATURES,
    FORWARD,
    LOSS,
    inputs_of,
    method,
    needed,
    pairs_of,
    rng,
    targets_of,
)
from tinygrad_fm.testing.backward.places import generators
from tinygrad_fm.testing.backward.problem import (
    RATE,
    Problem,
    generator_kept,
    held_by,
    of_layer,
    of_layer_of_two,
    of_network,
    result_of,
    split,
    takes_rate,
    where,
)
from tinygrad_fm.testing.backward.roles import arguments_for
from tinygrad_fm.testing.backward.sources import SAMPLES, Source
from tinygrad_fm.testing.backward.updates import add_step

REG = {"penalty": 0.1}  # what a loss is given as the factor of its penalty


def as_layer(make: Callable[[], Any], kind: type, source: Source) -> Iterator[Problem]:
    """A class with forward and backward, of one input or two, in every shape that may fit."""
    forward, backward = method(kind, (*FORWARD, "__call__")), method(kind, BACKWARD)
    if not forward or not backward:
        return
    names = needed(getattr(kind, forward))[1:]
    if len(names) == 2:
        for given, data in itertools.product(("", "first", "output"), pairs_of(names)):
            yield of_layer_of_two(make, data, forward, backward, given)
    if not names:  # what it works on is set by something else than its constructor
        yield of_layer(make, rng().standard_normal((SAMPLES, FEATURES)), forward, backward)
    if len(names) != 1:
        return
    for shape in inputs_of(make):
        problem = of_layer(make, rng().standard_normal(shape), forward, backward)
        add_step(problem, kind, source)
        yield problem
    # tokens, with one twice
    yield of_layer(make, np.array([1, 0, 2, 1, 3]) % FEATURES, forward, backward)


def as_network(
    make: Callable[[], Any], kind: type, source: Source, held: dict[str, Any]
) -> Iterator[Problem]:
    """A class with a loss: its own, a function of the file, or the one its error implies."""
    forward, own = method(kind, FORWARD), method(kind, LOSS)
    together = not method(kind, BACKWARD)  # loss and gradients come from one method
    back = own if together else method(kind, BACKWARD)

    def output(net: Any, x: Any) -> Any:
        return result_of(net, forward, _given(getattr(net, forward), {"x": x}))[0]

    def after_forward(net: Any, x: Any, t: Any) -> Any:
        output(net, x)
        return _call(getattr(net, own), {**REG, "t": t})

    losses: list[tuple[str, Callable[..., Any]]] = []
    if own:
        # the first that runs is meant
        losses.append(
            ("", lambda net, x, t: _call(getattr(net, own), {**REG, **_beside(x), "t": t}))
        )
        if forward and not together:
            losses.append(("", lambda net, x, t: getattr(net, own)(output(net, x), t)))
            losses.append(("", lambda net, x, t: getattr(net, own)(t, output(net, x))))
            losses.append(("", after_forward))
    for name in source.names:
        if name.lower() in LOSS and callable(source.scope.get(name)) and forward:
            f = source.scope[name]
            losses.append(("", lambda net, x, t, f=f: _call(f, {"output": output(net, x), "t": t})))
    if not losses and forward:
        losses += [
            (name, lambda net, x, t, f=f: f(output(net, x), t)) for name, f in IMPLIED.items()
        ]

    def backward(net: Any, x: Any, t: Any) -> Any:
        known = {**REG, **_beside(x), "t": t, "lr": RATE, "samples": len(x)}
        if together:
            return split(_call(getattr(net, back), known))[1]
        if forward:
            drawing = generators(net)
            with generator_kept():
                known["output"] = output(net, x)
            for generator, state in drawing:  # backward may run forward again
                generator.bit_generator.state = state
        return _call(getattr(net, back), known)

    ran, crashed = False, None
    shapes = [held["x"].shape] if held else inputs_of(make)
    for shape, (implied, loss) in itertools.product(shapes, losses):
        if len(shape) != 2:
            continue
        for target in [held["t"].copy()] if "t" in held else targets_of(make, shape):
            data = (held["x"].copy() if held else rng().standard_normal(shape), target)
            reached, fails = _runs(make, data, loss, backward)
            if fails and crashed is None:
                crashed = of_network(make, data, loss, backward)
            elif reached and not fails:
                ran = True
                problem = of_network(make, data, loss, backward)
                problem.takes_rate = takes_rate(getattr(kind, back))
                add_step(problem, kind, source)
                problem.held = held_by(problem.world["net"], held)
                if implied:
                    problem.notes.append(f"no loss is defined: checked as {implied}")
                yield problem
    if crashed is not None and not ran:
        yield crashed  # for their own error to be shown


def _beside(x: Any) -> dict[str, Any]:
    """An input, and those beside it of a network that compares two or three."""
    other = 0.5 - x[::-1]
    return {"x": x, "x1": x, "x2": other, "xa": x, "xb": other, "anchor": x, "positive": other,
            "negative": x[::-1] ** 2}  # fmt: skip


def _call(function: Any, known: dict[str, Any]) -> Any:
    return function(*_given(function, known))


def _given(function: Any, known: dict[str, Any]) -> list[Any]:
    return arguments_for(function, known)


def _runs(make: Callable[[], Any], data: Any, loss: Any, backward: Any) -> tuple[bool, bool]:
    """Whether the loss is a finite number, and whether the person's backward then fails."""
    try:
        with generator_kept(), np.errstate(all="ignore"):
            net = make()
            value = loss(net, *data)
            value = value[0] if isinstance(value, tuple) else value
            if np.ndim(value) != 0 or not np.isfinite(value):
                return False, False
    except Exception:
        return False, False
    try:
        with generator_kept(), np.errstate(all="ignore"):
            backward(net, *data)
    except Exception as error:
        return bool(where(error)), bool(where(error))
    return True, False
