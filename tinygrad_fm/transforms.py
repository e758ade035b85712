"""Functions from functions: gradients, products with Jacobians, Jacobians and Hessians.

A transform answers in kind: arrays in, arrays (or floats) out; Tensors in, Tensors out. Arguments
may be numbers, arrays, Tensors, and tuples, lists and dictionaries of them. An argument that the
result does not depend on has the gradient zero. An answer in arrays ends there: where it is to be
differentiated again, by Tensors that the function refers to, pass the arguments as Tensors.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import primitive, state
from tinygrad_fm.engine.node import PACKAGE
from tinygrad_fm.recorded import as_array, as_real_array, make
from tinygrad_fm.recording import enable_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.trees import leaves, leaves_like, map_tree, rebuild, unwrap

Argnum = int | tuple[int, ...]

# Gives an argument that is already part of a graph a node of its own to differentiate by.
_alias = primitive(lambda x: x, lambda g, _y, _x: g, name="argument")


class LostGradientWarning(UserWarning):
    """A derivative is zero only because a value was taken out of the graph on the way."""


@contextmanager
def _inside() -> Iterator[None]:
    """Count the transforms under way: an inner one answers in Tensors, for the outer to use."""
    mode = state.mode
    mode.transforms += 1
    try:
        with enable_grad():
            yield
    finally:
        mode.transforms -= 1


def _traced(value: Any) -> Tensor:
    """An argument as a Tensor that requires a gradient.

    Raises:
        TypeError: it is no float, or no number at all.
    """
    if isinstance(value, Tensor):
        made = _alias(value) if value.node is not None else make(value.data, None)
        if made.node is None or not made.requires_grad:
            made = Tensor(made.data, requires_grad=True, copy=False)
        return made
    array = as_array(value)
    if array.dtype.kind != "f":
        raise TypeError(
            f"a derivative is taken by a float argument, not by {value!r} of dtype {array.dtype}; "
            "write 1.0 instead of 1, x.astype(float), or choose another argnum"
        )
    return Tensor(array, requires_grad=True, copy=False)


def _own(value: Any) -> Any:
    """An array as a copy that its caller cannot change; anything else as it is."""
    return value if isinstance(value, (Tensor, float, int)) else np.copy(value, order="K")


def _gradients(
    seeds: list[tuple[Any, Any]], inputs: list[Tensor], create_graph: bool, keep: bool = True
) -> list[Any]:
    """The gradient for each input, as a Tensor if `create_graph`; zeros where nothing arrived."""
    nodes = [x.node for x in inputs]
    pairs = [(y.node, g) for y, g in seeds if y.node is not None and y.node.requires_grad]
    wrap = make if create_graph else None
    found = engine.backward(pairs, targets=nodes, wrap=wrap, keep=keep)  # type: ignore[arg-type]
    answers = []
    for x, node in zip(inputs, nodes, strict=True):
        g = found.get(node)  # type: ignore[arg-type]
        if g is None:
            g = np.zeros_like(x.data)
        elif not create_graph:
            g = np.copy(g, order="K")  # a rule's result may be a read-only view
        answers.append(g if isinstance(g, Tensor) or not create_graph else make(g, None))
    return answers


def _in_kind(gradient: Any, argument: Any) -> Any:
    """A gradient as what the argument was: Tensor for Tensor, float for float, else an array."""
    if isinstance(argument, Tensor) or (state.mode.transforms and _is_recorded(gradient)):
        return gradient if isinstance(gradient, Tensor) else make(gradient, None)
    data = gradient.data if isinstance(gradient, Tensor) else gradient
    return float(data) if isinstance(argument, float) else data


def _is_recorded(value: Any) -> bool:
    return isinstance(value, Tensor) and value.node is not None


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.kind == "f"


def _keeps_graph(arguments: Any) -> bool:
    """Whether the answer must be differentiable: Tensors came in, or a transform is outside."""
    return state.mode.transforms > 0 or any(isinstance(a, Tensor) for a in leaves(arguments))


def _choose(args: tuple[Any, ...], argnum: Argnum) -> tuple[tuple[int, ...], list[Any]]:
    numbers = argnum if isinstance(argnum, tuple) else (argnum,)
    for number in numbers:
        if not isinstance(number, int) or not -len(args) <= number < len(args):
            raise ValueError(
                f"argnum {number!r} names no argument: the function was called with {len(args)} "
                "positional arguments"
            )
    chosen = tuple(n % len(args) for n in numbers)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"argnum {argnum!r} names an argument twice")
    return chosen, [args[n] for n in chosen]


def _call(
    f: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], numbers: tuple[int, ...]
) -> tuple[Any, list[Tensor]]:
    """`f` with the chosen arguments traced: its result, and the Tensors it was given."""
    given = list(args)
    inputs: list[Tensor] = []
    for number in numbers:
        given[number] = map_tree(_traced, args[number])
        inputs += leaves(given[number])
    mode = state.mode
    before, mode.left = mode.left, ""
    try:
        result = f(*given, **keywords)
        if mode.left and not any(_is_recorded(part) for part in leaves(result)):
            warnings.warn(
                f"the derivative of {_name(f)} is zero: its result is not connected with its "
                f"arguments, whose values left the graph (by {mode.left}); keep them Tensors and "
                "use NumPy's functions, or differentiate numerically: testing.grad_or_numeric",
                LostGradientWarning,
                stacklevel=_outside(),
            )
    finally:
        mode.left = mode.left or before
    return result, inputs


def _outside() -> int:
    """How many calls up the first frame outside this library is, for a warning to name."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def _name(f: Any) -> str:
    return getattr(f, "__name__", repr(f))


def value_and_grad(f: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., tuple[Any, Any]]:
    """A function that returns `(f(*args), gradient)`.

    Args:
        f: a function written in NumPy that returns one number.
        argnum: by which positional argument to differentiate; a tuple gives a tuple of gradients.

    Returns:
        a function of the same arguments; each gradient has the form and shape of its argument.
        `scipy.optimize.minimize(value_and_grad(f), x0, jac=True)` works as it stands.

    Raises (when called):
        ValueError: the result is not one number. TypeError: an argument is no float.
    """

    @functools.wraps(f)
    def differentiated(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        numbers, chosen = _choose(args, argnum)
        keep = _keeps_graph((args, keywords))
        with _inside():
            value, inputs = _call(f, args, keywords, numbers)
            if not isinstance(value, Tensor):
                if np.size(value) != 1:
                    raise _no_number(f, np.shape(value))
                value = Tensor(value) if not isinstance(value, int) else Tensor(float(value))
            if value.size != 1:
                raise _no_number(f, value.shape)
            seed = np.ones_like(value.data)
            grads = _gradients(
                [(value, make(seed, None) if keep else seed)], inputs, create_graph=keep, keep=keep
            )
        grads = [_in_kind(g, a) for g, a in zip(grads, leaves(chosen), strict=True)]
        answers = [rebuild(tree, grads) for tree in chosen]
        if not keep:
            value = unwrap(value)
        return value, tuple(answers) if isinstance(argnum, tuple) else answers[0]

    return differentiated


def _no_number(f: Any, shape: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"the gradient of {_name(f)} needs one number as its result, not shape {shape}; reduce it "
        "(np.sum, np.mean), or use tg.jacobian or tg.vjp"
    )


def grad(f: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Any]:
    """A function that returns the gradient of `f`; see `value_and_grad`."""
    both = value_and_grad(f, argnum)

    @functools.wraps(f)
    def gradient(*args: Any, **keywords: Any) -> Any:
        return both(*args, **keywords)[1]

    return gradient


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`y = f(*args)`, and the function that pulls a gradient of y back to the arguments.

    Returns:
        `(y, pull)`. `pull(g)` takes a gradient of y's form and shape and returns one gradient per
        argument, as a tuple; it may be called any number of times.

    Raises:
        TypeError: an argument is no float. ValueError (from pull): `g` has another shape than y.
    """
    keep = _keeps_graph(args)
    # copies: pull may be called long after, when the caller's arrays have changed
    own = tuple(map_tree(_own, a) for a in args)
    with _inside():
        y, inputs = _call(f, own, {}, tuple(range(len(args))))

    def pull(g: Any) -> tuple[Any, ...]:
        record = keep or _keeps_graph(g)
        seeds = []
        for part, given in zip(leaves(y), leaves_like(y, g, "the gradient"), strict=True):
            shape = np.shape(given)
            if shape != np.shape(part):
                raise ValueError(f"pull takes a gradient of shape {np.shape(part)}, not {shape}")
            if isinstance(part, Tensor):
                seeds.append((part, _as_seed(given, part.dtype, record)))
        with _inside():
            grads = _gradients(seeds, inputs, create_graph=record)
        if record:
            answers = [g if isinstance(g, Tensor) else make(g, None) for g in grads]
        else:
            answers = [_in_kind(g, a) for g, a in zip(grads, leaves(args), strict=True)]
        return tuple(rebuild(tree, answers) for tree in args)

    plain = y if keep else map_tree(unwrap, y)
    return plain, pull


def _as_seed(given: Any, dtype: Any, record: bool) -> Any:
    array = as_real_array(given, "a gradient or tangent")
    if not record:
        return array if array.dtype == dtype else array.astype(dtype)
    seed = given if isinstance(given, Tensor) else Tensor(array)
    return seed if seed.dtype == dtype else seed.astype(dtype)


def jvp(f: Callable[..., Any], args: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """`y = f(*args)`, and its derivative along the tangents: forward mode.

    A vector-Jacobian product is linear in its vector, so its own transpose is the Jacobian-vector
    product: forward mode needs no rules of its own.

    Args:
        f: a function written in NumPy.
        args: its arguments, as a tuple.
        tangents: a direction for each argument, of the same form and shapes.

    Returns:
        `(y, dy)`, of the same form and shape.

    Raises:
        ValueError: arguments and tangents differ in number or shape.
    """
    if not isinstance(args, tuple) or not isinstance(tangents, tuple):
        raise TypeError("jvp takes tuples: jvp(f, (x, w), (dx, dw))")
    if len(args) != len(tangents):
        raise ValueError(f"jvp got {len(args)} arguments and {len(tangents)} tangents")
    moved_by = leaves_like(args, tangents, "the tangents")
    for a, t in zip(leaves(args), moved_by, strict=True):
        if np.shape(a) != np.shape(t):
            raise ValueError(f"a tangent has shape {np.shape(t)}, its argument {np.shape(a)}")
    keep = _keeps_graph((args, tangents))
    with _inside():
        y, inputs = _call(f, args, {}, tuple(range(len(args))))
        outputs = [t for t in leaves(y) if _is_float(t)]
        # the vectors v, and the pull-back v -> J^T v, recorded
        vectors = [Tensor(np.zeros_like(t.data), requires_grad=True, copy=False) for t in outputs]
        pulled = _gradients(list(zip(outputs, vectors, strict=True)), inputs, create_graph=True)
        directions = [_as_seed(t, x.dtype, keep) for t, x in zip(moved_by, inputs, strict=True)]
        # transposed once more, along the tangents: J t
        moved = _gradients(list(zip(pulled, directions, strict=True)), vectors, create_graph=keep)
    answers = [moved.pop(0) if _is_float(part) else np.zeros(np.shape(part)) for part in leaves(y)]
    if keep:
        return y, rebuild(y, [a if isinstance(a, Tensor) else make(a, None) for a in answers])
    return map_tree(unwrap, y), rebuild(y, [unwrap(a) for a in answers])


def jacobian(f: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian of `f`: shape `y.shape + x.shape`.

    Args:
        f: a function written in NumPy.
        argnum: by which argument; a tuple gives a tuple of Jacobians.

    An argument that is a container gives the Jacobians in a container of its form; a result that is
    one gives a container of the result's form, with that for each part. The forward pass runs once,
    the backward pass once for each element of the result.
    """

    @functools.wraps(f)
    def differentiated(*args: Any, **keywords: Any) -> Any:
        numbers, chosen = _choose(args, argnum)
        keep = _keeps_graph((args, keywords))
        kinds = [a if isinstance(a, Tensor) else None for a in leaves(chosen)]
        with _inside():
            y, inputs = _call(f, args, keywords, numbers)
            blocks = [_rows(part, inputs, keep) for part in leaves(y)]
        parts = []
        for row in blocks:
            values = [_in_kind(block, kind) for block, kind in zip(row, kinds, strict=True)]
            answers = [rebuild(tree, values) for tree in chosen]
            parts.append(tuple(answers) if isinstance(argnum, tuple) else answers[0])
        return rebuild(y, parts)

    return differentiated


def _rows(y: Any, inputs: list[Tensor], keep: bool) -> list[Any]:
    """The Jacobian of one result by each input, made row by row."""
    y = y if isinstance(y, Tensor) else Tensor(np.asarray(y, dtype=float))
    rows: list[list[Any]] = [[] for _ in inputs]
    for i in range(y.size):
        seed = np.zeros(y.size, dtype=y.dtype)
        seed[i] = 1
        shaped = seed.reshape(y.shape)
        found = _gradients([(y, make(shaped, None) if keep else shaped)], inputs, create_graph=keep)
        for row, g in zip(rows, found, strict=True):
            row.append(g)
    return [
        np.reshape(np.stack(row), y.shape + x.shape)
        if row
        else np.zeros(y.shape + x.shape, dtype=x.dtype)
        for row, x in zip(rows, inputs, strict=True)
    ]


def hessian(f: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Any]:
    """A function that returns the Hessian of `f`, a function to one number: `x.shape + x.shape`.

    For an argument that is a container, and for several arguments, the Hessian has a container of
    their form for each part of one: `hessian(f)(p)["w"]["b"]` has the shape `w.shape + b.shape`.
    """
    return jacobian(grad(f, argnum), argnum)


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of `f` at `x` times the vector `v`, without the Hessian.

    Args:
        f: a function written in NumPy of one argument, which may be a container, to one number.
        x: where.
        v: the vector, of the form and shapes of x.

    Returns:
        the product, of the form and shapes of x.
    """
    return jvp(grad(f), (x,), (v,))[1]
