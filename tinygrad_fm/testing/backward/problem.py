"""What is to be checked, in one form: a world of objects, a forward and a backward pass on it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.engine.node import raised_at
from tinygrad_fm.testing.backward.places import is_float, places
from tinygrad_fm.testing.backward.roles import arguments_for, role_of

World = dict[str, Any]


class CannotRunError(Exception):
    """The person's code could not be run as asked; the message says why, and what to give."""


@dataclass
class Problem:
    """A forward and a backward pass over named objects.

    `forward(world)` returns the result, an array or a number, and whatever else backward needs;
    `backward(world, result, rest, upstream)` returns what the person's backward returns. `data`
    names the objects that are no parameters (inputs and labels); `differentiated` those of them
    whose gradient the backward pass may give as well.
    """

    title: str
    world: World
    forward: Callable[[World], tuple[Any, Any]]
    backward: Callable[[World, Any, Any, Any], Any]
    functions: list[Any] = field(default_factory=list)  # whose source is the person's
    data: tuple[str, ...] = ()
    differentiated: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()  # inputs whose gradient a first layer leaves out
    names: tuple[str, ...] = ()  # what backward returns, where it is known
    notes: list[str] = field(default_factory=list)
    held: tuple[str, ...] = ()  # paths of data that an object was made with, and keeps
    samples: int = 0  # in the data, where its shape does not tell
    takes_rate: bool = False  # whether backward is given a learning rate, RATE
    step: Callable[[World, Any], Any] | None = None  # one update, of what backward returned
    step_is_guessed: bool = False  # it was found by its name
    step_trains: bool = False  # it goes forward and backward by itself, perhaps in batches
    one_at_a_time: bool = False  # all but one number of the gradient given to backward are 0
    fixed: tuple[int, ...] = ()  # lengths of axes that the file takes for given


def of_functions(forward: Any, backward: Any, arguments: tuple[Any, ...]) -> Problem:
    """A pair of functions: `out = forward(x, w)` or `out, cache = forward(x, w)`."""
    names = _parameters(forward)[: len(arguments)]
    world = dict(zip(names, arguments, strict=True))
    outputs = _outputs(forward, backward)

    def run(world: World) -> tuple[Any, Any]:
        returned = forward(*(world[name] for name in names))
        if outputs < 2:
            return split(returned)
        parts = returned[:outputs]
        shapes = [np.shape(part) for part in parts]
        whole: Any = np.concatenate([np.reshape(part, -1) for part in parts])
        rest = returned[outputs:]
        return whole, (shapes, rest[0] if len(rest) == 1 else rest)

    def back(world: World, result: Any, rest: Any, upstream: Any) -> Any:
        if outputs > 1:
            shapes, rest = rest
            ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
            pieces = zip(np.split(upstream, ends), shapes, strict=True)
            return backward(*(piece.reshape(shape) for piece, shape in pieces), rest)
        known = {"upstream": upstream, "output": result, "cache": rest, "lr": RATE, **world}
        known = {**known, "samples": len(result) if np.ndim(result) else 1}
        try:
            given = arguments_for(backward, known, first="upstream")
        except TypeError as error:
            raise CannotRunError(f"{error}; what is it?") from error
        return backward(*given)

    return Problem(
        title=" and ".join(getattr(f, "__name__", str(f)) for f in (forward, backward)),
        world=world,
        forward=run,
        backward=back,
        functions=[forward, backward],
        data=tuple(name for name in names if not holds_floats(world[name])),
        optional=_inputs_beside_weights(world),
        names=tuple(_returned_names(backward)),
        takes_rate=takes_rate(backward),
    )


def _inputs_beside_weights(world: World) -> tuple[str, ...]:
    """The inputs of a function that has parameters too: of a first layer, nobody needs theirs."""
    inputs = [name for name in world if role_of(name) == "x" and is_float(world[name])]
    others = [name for name in world if name not in inputs and holds_floats(world[name])]
    return tuple(inputs if others else ())


def _outputs(forward: Any, backward: Any) -> int:
    """How many results have a gradient that backward takes: next_h and next_c of an LSTM."""
    given = _parameters(backward)
    count = 0
    for result, name in zip(_returned_names(forward), given, strict=False):
        if re.fullmatch(rf"(d|d_|grad_?|delta_?){re.escape(result)}", name, re.IGNORECASE):
            count += 1
        else:
            break
    return count if len(given) == count + 1 else 1


def of_one_function(function: Any, arguments: tuple[Any, ...]) -> Problem:
    """One function that returns `(loss, gradients)`."""
    names = _parameters(function)[: len(arguments)]
    world = dict(zip(names, arguments, strict=True))

    def run(world: World) -> tuple[Any, Any]:
        return split(function(*(world[name] for name in names)))

    def back(world: World, result: Any, rest: Any, upstream: Any) -> Any:
        returned = function(*(world[name] for name in names))
        if not isinstance(returned, tuple) or len(returned) < 2:
            raise CannotRunError(f"{function.__name__} returns no gradients beside its result")
        return returned[1] if len(returned) == 2 else returned[1:]

    return Problem(
        title=function.__name__,
        world=world,
        forward=run,
        backward=back,
        functions=[function],
        data=tuple(n for n in names if not holds_floats(world[n]) or role_of(n) == "t"),
        differentiated=names_of_inputs(names),
        names=tuple(_returned_names(function))[1:],
    )


def names_of_inputs(names: list[str]) -> tuple[str, ...]:
    """Those of a function's arguments that are inputs, whose gradient may be given."""
    return tuple(name for name in names if role_of(name) in ("x", "state"))


RATE = 0.1  # what a backward pass that updates is given as its learning rate


def of_layer(
    make: Callable[[], Any], x: Any, forward: str = "forward", backward: str = "backward"
) -> Problem:
    """A layer with `forward(x)` and `backward(dout)`, which keeps what it needs in itself.

    A forward that returns nothing leaves its result in an attribute.
    """
    with generator_kept():
        layer = make()
    for method in (forward, backward):
        if not callable(getattr(layer, method, None)):
            raise CannotRunError(f"{type(layer).__name__} has no method {method}(...)")
    world = {"layer": layer, "x": x}
    takes = len(inspect.signature(getattr(layer, forward)).parameters)

    def run(world: World) -> tuple[Any, Any]:
        return result_of(world["layer"], forward, [world["x"]][:takes])

    def back(world: World, result: Any, rest: Any, upstream: Any) -> Any:
        layer = world["layer"]
        known = {
            "upstream": upstream, "cache": rest, "x": world["x"], "output": result, "lr": RATE,
            "samples": len(world["x"]),
        }  # fmt: skip
        method = getattr(layer, backward)
        try:
            given = arguments_for(method, known, first="upstream")
        except TypeError as error:
            raise CannotRunError(f"{type(layer).__name__}.{error}; what is it?") from error
        return method(*given)

    return Problem(
        title=type(layer).__name__,
        world=world,
        forward=run,
        backward=back,
        functions=[type(layer)],
        data=("x",),
        differentiated=("x",) if is_float(x) else (),
        names=tuple(_returned_names(getattr(type(layer), backward))),
        takes_rate=takes_rate(getattr(layer, backward)),
    )


def of_layer_of_two(
    make: Callable[[], Any], data: dict[str, Any], forward: str, backward: str, given: str = ""
) -> Problem:
    """A layer with `forward(x, y)`, or a loss with `forward(y_pred, y_true)`.

    Losses of single samples are added up. Backward's first argument is the upstream gradient or,
    of a loss, what `given` says: the first argument of forward ("first") or the attribute named.
    """
    problem = of_layer(make, next(iter(data.values())), forward, backward)
    problem.world = {"layer": problem.world["layer"], **data}
    problem.data = tuple(data)
    problem.differentiated = tuple(name for name in data if is_float(data[name]))
    labelled = [name for name in data if given or (role_of(name) == "t" and name != "y")]
    if labelled:
        problem.differentiated = tuple(data)[:1]

    def run(world: World) -> tuple[Any, Any]:
        result, rest = result_of(world["layer"], forward, [world[name] for name in data])
        return (result.sum() if labelled and np.ndim(result) else result), rest

    def back(world: World, result: Any, rest: Any, upstream: Any) -> Any:
        layer, first = world["layer"], world[next(iter(data))]
        start = first if given == "first" else getattr(layer, given, None) if given else upstream
        known = {**{name: world[name] for name in data}, "upstream": start, "cache": rest}
        known |= {"output": result, "x": first, "lr": RATE, "samples": len(first)}
        if labelled:
            known["t"] = world[labelled[-1]]
        try:
            arguments = arguments_for(getattr(layer, backward), known, first="upstream")
        except TypeError as error:
            raise CannotRunError(f"{type(layer).__name__}.{error}; what is it?") from error
        return getattr(layer, backward)(*arguments)

    problem.forward, problem.backward = run, back
    return problem


def result_of(made: Any, method: str, arguments: list[Any]) -> tuple[Any, Any]:
    """What a method returns, or the array that it leaves in the object where it returns nothing."""
    before = {name: id(value) for name, value in vars(made).items()}
    returned = getattr(made, method)(*arguments)
    if returned is not None:
        return split(returned)
    new = {n: v for n, v in vars(made).items() if is_float(v) and before.get(n) != id(v)}
    for name, value in reversed(new.items()):
        if role_of(name) == "output":
            return value, None
    if not new:
        raise CannotRunError(f"{type(made).__name__}.{method} returns nothing and sets no array")
    return new[next(reversed(new))], None


def of_network(
    make: Callable[[], Any],
    data: tuple[Any, ...],
    loss: Callable[..., Any],
    backward: Callable[..., Any],
) -> Problem:
    """A network: `loss(net, x, t)` returns a number, `backward(net, x, t)` computes gradients."""
    with generator_kept():
        net = make()
    names = tuple(f"data{i}" for i in range(len(data))) if len(data) != 2 else ("x", "t")
    world = {"net": net, **dict(zip(names, data, strict=True))}

    def run(world: World) -> tuple[Any, Any]:
        return split(loss(world["net"], *(world[name] for name in names)))

    def back(world: World, result: Any, rest: Any, upstream: Any) -> Any:
        return backward(world["net"], *(world[name] for name in names))

    return Problem(
        title=type(net).__name__,
        world=world,
        forward=run,
        backward=back,
        functions=[type(net), loss, backward],
        data=names,
    )


def held_by(net: Any, data: dict[str, Any]) -> tuple[str, ...]:
    """Where a network keeps the data that its constructor was given, as paths of the world."""
    return tuple(
        f"net.{place.path}"
        for place in places(net)
        if any(np.array_equal(place.get(), array) for array in data.values())
    )


def where(error: BaseException) -> str:
    """The line of the person's own that an error comes from; empty where it is none of theirs."""
    found = raised_at(error, str(Path(np.__file__).parent))
    return f" ({found})" if found else ""


def holds_floats(value: Any) -> bool:
    """Whether it is an array of floats, or a container of some."""
    return is_float(value) or any(is_float(place.get()) for place in places(value))


def split(returned: Any) -> tuple[Any, Any]:
    """The result and the rest: `(out, cache)`, `(loss, grads)` or a result alone."""
    if isinstance(returned, tuple) and returned:
        rest = returned[1] if len(returned) == 2 else returned[1:]
        return returned[0], rest
    return returned, None


def takes_rate(function: Any) -> bool:
    """Whether a function has an argument for the learning rate."""
    return function is not None and any(role_of(name) == "lr" for name in _parameters(function))


def _parameters(function: Any) -> list[str]:
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def _returned_names(function: Any) -> Iterator[str]:
    """The names in the last return statement, `dx, dw, db`."""
    import ast
    import textwrap

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value]
    if returns:
        value = returns[-1].value
        parts = value.elts if isinstance(value, ast.Tuple) else [value]
        yield from (ast.unparse(part) for part in parts)  # type: ignore[arg-type]


@contextmanager
def generator_kept() -> Iterator[None]:
    """NumPy's global generator, from which constructors draw, starts at 0 and is put back."""
    state = np.random.get_state()  # noqa: NPY002  (it is people's code that uses it)
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
