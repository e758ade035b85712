"""The table of derivative rules: primitives, how they are registered, and what they need kept."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Rule = Callable[..., Any]


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_tensor(v) for v in value)
    return hasattr(type(value), "_record")


class UnknownKeywordError(TypeError):
    """A function is called with an argument that its derivative does not know."""


class InPlace(NamedTuple):
    """The gradient of an array of which a part was read or written, without an array of its size.

    One of the two: `adds(total, g, *args)` adds the gradient of argument 0 to `total`;
    `clears(g, *args)` makes it of `g`.
    """

    adds: Callable[..., None] | None = None
    clears: Callable[..., None] | None = None


# what to write in place of a keyword that derivatives do not know
_IN_PLACE_OF = {
    "where": "choose the elements before, as in np.sum(np.where(mask, x, 0)) or np.max(x[mask])",
    "initial": "bring it in afterwards: np.sum(x) + initial, np.maximum(np.max(x), initial)",
    "dtype": "convert with x.astype(dtype)",
    "casting": "convert with x.astype(dtype)",
    "weights": "multiply by the weights",
    "mean": "leave it out: the mean is computed again, with its derivative",
    "correction": "write ddof=...",
}


def unknown_keyword(function: str, name: str, value: Any, known: str) -> str:
    """The message for a keyword that a function's derivative does not know."""
    shown = repr(value) if np.ndim(value) == 0 else f"<{type(value).__name__}>"
    return (
        f"the derivative of {function} does not know {name}={shown} (it knows {known}); "
        f"{_IN_PLACE_OF.get(name, 'leave it out')}, or call it on x.detach() where no gradient is "
        "needed"
    )


class Primitive:
    """A function together with the derivative rule of each of its array arguments.

    Calling it computes plainly for plain arrays, and records where an argument is a Tensor (any
    type that has a `_record` method).
    """

    def __init__(
        self,
        function: Callable[..., Any],
        rules: tuple[Rule | None, ...] = (),
        *,
        name: str = "",
        variadic: Callable[..., Any] | None = None,
        joint: Rule | None = None,
        multiple: bool = False,
    ):
        self.function = function
        self.name = name or getattr(function, "__name__", str(function))
        self.__name__ = self.name
        self.__doc__ = function.__doc__
        self.rules = rules
        self.variadic = variadic  # one rule (i, g, y, *args) for any number of arguments
        self.joint = joint  # one rule (g, y, *args) that returns a tuple with all gradients
        self.multiple = multiple  # the function returns a tuple
        self.in_place: InPlace | None = None
        self.elementwise = isinstance(function, np.ufunc)
        self.differentiable = bool(variadic or joint or any(rules))
        self.keywords: frozenset[str] = frozenset()
        self.positional: int | None = None  # how many arguments come before the keywords
        # as bits: which arguments a gradient can reach
        self.reaches = -1 if variadic or joint else sum(1 << i for i, r in enumerate(rules) if r)
        # and for which of them it is known whether a gradient does
        self.covers = (1 << len(rules)) - 1 if rules and not (variadic or joint) else -1
        self.plans: dict[int | tuple[int, int], tuple[bool, tuple[int, ...]]] = {}
        self._needs: dict[Any, tuple[bool, Callable[[int], bool]]] = {}
        for rule in (*rules, variadic, joint):
            if rule is not None:
                skip = 2 if rule is variadic else 1
                self._needs[rule], known, self.positional = _read_signature(rule, skip)
                self.keywords |= known

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """The function's result, recorded where an argument is."""
        for argument in args:
            record = getattr(type(argument), "_record", None)
            if record is not None:
                return record(self, args, keywords)
        if any(_holds_tensor(value) for value in (*args, *keywords.values())):
            raise TypeError(
                f"{self.name} got a Tensor by keyword or inside a list, where its rule would not "
                "see it; pass Tensors by position"
            )
        return self.function(*args, **keywords)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def bind(
        self, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Sort a call's arguments into those the rules take by position and those by name.

        Raises:
            UnknownKeywordError: an argument that the rules do not know is not at its default.
        """
        n = self.positional
        if n is None or (len(args) == n and keywords.keys() <= self.keywords):
            return args, keywords
        signature = numpy_signature(self.function)
        if signature is None:
            return args, keywords
        given = dict(zip((name for name, _ in signature), args, strict=False)) | keywords
        defaults = dict(signature)
        positional = []
        for name, default in signature[:n]:
            value = given.pop(name, default)
            positional.append(None if value is inspect.Parameter.empty else value)
        named = {k: v for k, v in given.items() if k in self.keywords or v is not defaults.get(k)}
        for name, value in named.items():
            if name not in self.keywords:
                known = ", ".join(sorted(self.keywords)) or "no keywords"
                raise UnknownKeywordError(unknown_keyword(self.name, name, value, known))
        return tuple(positional), named

    def plan(self, wanted: int, count: int) -> tuple[bool, tuple[int, ...]]:
        """What the `wanted` gradients need kept: the result?, and which of `count` arguments."""
        if self.positional is None and (wanted, count) in self.plans:
            return self.plans[wanted, count]
        common = self.variadic or self.joint
        rules = [common] if common else [self.rules[i] for i in range(count) if wanted >> i & 1]
        needs = [self._needs[rule] for rule in rules]
        keep = tuple(i for i in range(count) if any(needs_arg(i) for _, needs_arg in needs))
        found = any(needs_y for needs_y, _ in needs), keep
        if self.positional is not None:
            self.plans[wanted] = found
        elif count <= 8:  # the number of arguments varies; a long list has too many subsets
            self.plans[wanted, count] = found
        return found


def _read_signature(
    rule: Rule, skip: int
) -> tuple[tuple[bool, Callable[[int], bool]], frozenset[str], int | None]:
    """Which of (y, args) a rule names without an underscore, its keywords, how many arguments."""
    parameters = list(inspect.signature(rule).parameters.values())[skip:]
    positional = [
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    rest = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
    if not positional and not rest:
        raise TypeError(f"a rule takes (g, y, *args), not {inspect.signature(rule)}")
    needed = [not name.startswith("_") for name in positional]
    rest_needed = bool(rest) and not rest[0].startswith("_")
    needs_y = needed[0] if needed else rest_needed
    arguments = needed[1:]

    def needs_arg(i: int) -> bool:
        return arguments[i] if i < len(arguments) else rest_needed

    keywords = frozenset(
        p.name for p in parameters if p.default is not p.empty or p.kind is p.VAR_KEYWORD
    )
    return (needs_y, needs_arg), keywords, None if rest else len(arguments)


@functools.cache
def numpy_signature(function: Callable[..., Any]) -> tuple[tuple[str, Any], ...] | None:
    """The names and defaults of a function's arguments; None where it does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    return tuple((p.name, p.default) for p in parameters)


registry: dict[Any, Primitive] = {}
rewrites: dict[Any, Callable[..., Any]] = {}
declared: weakref.WeakSet[Primitive] = weakref.WeakSet()  # those that no NumPy function stands for


def defvjp(
    function: Callable[..., Any],
    *rules: Rule | None,
    variadic: Callable[..., Any] | None = None,
    multiple: bool = False,
    name: str = "",
    by: Callable[..., Any] | None = None,
) -> Primitive:
    """Give a NumPy function (or any function that dispatches like one) its derivative.

    Args:
        function: the function, for instance `np.tanh`; also a SciPy ufunc.
        *rules: one for each array argument, `(g, y, *args, **keywords) -> gradient`; None where an
            argument has no derivative. Write a rule as one NumPy expression without assignment, so
            that it can itself be differentiated. Spell an argument `_x` where only its shape and
            dtype are needed: it is then not kept in memory. A ufunc's rule may return a gradient
            of the result's shape, which is summed back to the argument's shape; any other rule
            returns the argument's exact shape. Keywords are those of the function.
        variadic: instead of `rules`, one rule `(i, g, y, *args)` for every argument i.
        multiple: the function returns a tuple, and `g` is a tuple.
        name: how the operation is called in graphs and errors.
        by: what computes it of arrays, in place of the function itself.

    Raises:
        TypeError: a rule does not take `(g, y, *args)`.
    """
    made = Primitive(function, rules, variadic=variadic, multiple=multiple, name=name)
    made.function = by or function
    registry[function] = made
    rewrites.pop(function, None)
    return made


def primitive(
    function: Callable[..., Any],
    *rules: Rule | None,
    variadic: Callable[..., Any] | None = None,
    joint: Rule | None = None,
    multiple: bool = False,
    name: str = "",
) -> Primitive:
    """Turn a function of arrays of your own into a differentiable operation, with its rules.

    The same as `defvjp`, for a function that NumPy does not dispatch: call what this returns.
    `joint` is one rule `(g, y, *args)` that returns all gradients as a tuple.
    """
    made = Primitive(function, rules, variadic=variadic, joint=joint, multiple=multiple, name=name)
    declared.add(made)
    return made


def constant(*functions: Callable[..., Any]) -> None:
    """Register functions that are recorded but have no gradient (comparisons, argmax, rounding)."""
    for function in functions:
        registry[function] = Primitive(function)


def rewrite(function: Callable[..., Any], as_written: Callable[..., Any]) -> None:
    """Have `function` computed on Tensors by `as_written`, with the same signature."""
    rewrites[function] = as_written


# an array was written to in place: recorded by nobody, but shown to whoever watches, in its order
assign = Primitive(lambda target: target, name="assign")
pick = Primitive(lambda several, i: several[i], name="pick")  # one result of several
