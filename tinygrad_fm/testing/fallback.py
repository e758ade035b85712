"""Gradients of functions that cannot be recorded: numerical, on request, and the result says so."""

from __future__ import annotations

import functools
import textwrap
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.engine import GraphError, state
from tinygrad_fm.engine.node import PACKAGE
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing.flat import Flat
from tinygrad_fm.testing.numeric import slopes
from tinygrad_fm.testing.snippet import name_of
from tinygrad_fm.transforms import Argnum, value_and_grad
from tinygrad_fm.trees import leaves, rebuild

_NUMPY = str(Path(np.__file__).parent)


class NumericGradientWarning(UserWarning):
    """A gradient was computed numerically, because the function cannot be recorded."""


@dataclass(frozen=True)
class Gradient:
    """A gradient, and how it was found."""

    gradient: Any  # of the form and shapes of the argument; a tuple for several
    value: Any  # of the function
    numeric: bool
    method: str  # "autograd", "complex step", "central differences", or the latter two together
    reason: str  # why it is numeric; empty where it is not
    error: float  # how far an element may be off, as the differences tell; 0.0 for autograd
    kinks: tuple[str, ...] = ()  # the elements at which there is no derivative, in words

    def __str__(self) -> str:
        lines = [f"{self.gradient}", f"by {self.method}"]
        if self.numeric:
            lines[1] += f", each element to {self.error:.1e} or better, because {self.reason}"
        lines += [
            f"no derivative at {kink}: the slopes on its two sides differ" for kink in self.kinks
        ]
        return "\n".join(lines)


def grad_or_numeric(f: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Gradient]:
    """A function that returns the gradient of `f`: by autograd, or else numerically.

    It is numerical where `f` cannot be recorded: it raises for Tensors (an element is passed to
    `math.exp`, a plain array is filled with them), or its result is not connected with its
    arguments (their values left the graph, by `.item()` or `.data`). That takes about nine calls
    of `f` for each element.

    Args:
        f: a function that returns one number.
        argnum: by which positional argument; a tuple gives a tuple of gradients.

    Returns:
        a function of the same arguments that returns a `Gradient`, whose `numeric`, `method` and
        `reason` say what was done.

    Warns (when called):
        NumericGradientWarning: the gradient is numerical.

    Raises (when called):
        ValueError: the result is not one number. TypeError: an argument is no float. Whatever `f`
        raises for plain arrays, and whatever a derivative rule raises.
    """

    @functools.wraps(f)
    def found(*args: Any, **keywords: Any) -> Gradient:
        @functools.wraps(f)
        def forward(*args: Any, **keywords: Any) -> Any:
            try:
                value = f(*args, **keywords)
            except Exception as error:
                raise _NotRecordedError(_first_cause(error)) from error
            if not any(
                isinstance(part, Tensor) and part.node is not None for part in leaves(value)
            ):
                raise _NotRecordedError("its result is not connected with its arguments")
            return value

        try:
            value, gradient = value_and_grad(forward, argnum)(*args, **keywords)
        except _NotRecordedError as error:
            reason = f"{name_of(f)} cannot be recorded: {error}"
        else:
            return Gradient(gradient, value, False, "autograd", "", 0.0)
        answer = _numeric(f, argnum, args, keywords, reason)
        warnings.warn(
            f"the gradient of {name_of(f)} is numerical ({answer.method}); {reason}",
            NumericGradientWarning,
            stacklevel=2,
        )
        return answer

    return found


def numeric_grad(f: Callable[..., Any], argnum: Argnum = 0) -> Callable[..., Gradient]:
    """A function that returns the gradient of `f` computed numerically, on plain arrays.

    Complex steps where f takes complex numbers and they agree with the differences, else central
    differences extrapolated from three steps.

    Args:
        f: a function that returns one number.
        argnum: by which positional argument; a tuple gives a tuple of gradients.

    Returns:
        a function of the same arguments that returns a `Gradient`.

    Raises (when called):
        ValueError: the result is not one number. TypeError: an argument is no float.
    """

    @functools.wraps(f)
    def found(*args: Any, **keywords: Any) -> Gradient:
        return _numeric(f, argnum, args, keywords, "it was asked for")

    return found


class _NotRecordedError(Exception):
    """Why a function cannot be recorded."""


def _first_cause(error: BaseException) -> str:
    """In which line it went wrong, and why: NumPy hides our error behind one of its own."""
    calls = traceback.extract_tb(error.__traceback__)
    theirs = [call for call in calls if not call.filename.startswith((PACKAGE, _NUMPY))]
    where = f" in line {theirs[-1].lineno} of {theirs[-1].filename}" if theirs else ""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}{where}: {textwrap.shorten(str(error), 200)}"


def _numeric(
    f: Callable[..., Any],
    argnum: Argnum,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    reason: str,
) -> Gradient:
    numbers = argnum if isinstance(argnum, tuple) else (argnum,)
    numbers = tuple(range(len(args))[n] for n in numbers)
    chosen = tuple(args[n] for n in numbers)
    for leaf in leaves(chosen):
        if np.result_type(getattr(leaf, "dtype", type(leaf))).kind != "f":
            raise TypeError(
                f"a derivative is taken by a float argument, not by {leaf!r}; write 1.0 instead of "
                "1, x.astype(float), or choose another argnum"
            )

    for leaf in leaves((args, keywords)):
        in_graph = isinstance(leaf, Tensor) and leaf.node is not None
        if in_graph and (state.mode.transforms or not leaf.is_leaf):
            raise GraphError(
                f"a numerical gradient of {name_of(f)} cannot be differentiated further, and an "
                f"argument is part of a graph; pass x.detach() ({reason})"
            )

    def of_chosen(*values: Any) -> Any:
        given = [_plain_tree(a) for a in args]
        for n, value in zip(numbers, values, strict=True):
            given[n] = value
        return f(*given, **keywords)

    flat = Flat(of_chosen, chosen)
    if len(flat.value) != 1:
        raise ValueError(
            f"the gradient of {name_of(f)} needs one float as its result, not shapes "
            f"{flat.output_shapes}; reduce it (np.sum, np.mean)"
        )
    columns = [
        slopes(flat, flat.vector, one, precision=flat.precision) for one in np.eye(flat.vector.size)
    ]
    vector = np.array([float(c.value[0]) for c in columns])
    exact = sum(bool(c.exact[0]) for c in columns)
    names = ["complex step"] * bool(exact) + ["central differences"] * (exact < len(columns))
    parts = zip(flat.split(vector), leaves(chosen), strict=True)
    gradients = [_in_kind(g, leaf) for g, leaf in parts]
    answers = [rebuild(tree, gradients) for tree in chosen]
    return Gradient(
        tuple(answers) if isinstance(argnum, tuple) else answers[0],
        float(flat.value[0]),
        True,
        " and ".join(names),
        reason,
        max((float(c.error[0]) for c in columns), default=0.0),
        tuple(flat.describe(i) for i, c in enumerate(columns) if c.kink[0]),
    )


def _plain_tree(tree: Any) -> Any:
    values = [leaf.data if isinstance(leaf, Tensor) else leaf for leaf in leaves(tree)]
    return rebuild(tree, values)


def _in_kind(gradient: Any, leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return Tensor(gradient)
    return float(gradient) if isinstance(leaf, float) else gradient
