"""The first wrong line of a backward pass: the first whose result is nothing that it should be."""

from __future__ import annotations

import itertools
import linecache
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.judge import factor_between
from tinygrad_fm.testing.backward.pairing import names_gradient
from tinygrad_fm.testing.backward.theirs import Made, Theirs
from tinygrad_fm.testing.backward.truth import Truth, Value
from tinygrad_fm.testing.backward.uses import uses_of

ALIKE = 1 - 1e-6  # the cosine of an angle below which factors are looked at


@dataclass
class WrongLine:
    """Where a backward pass goes wrong, and what it made there."""

    made: Made
    source: str
    expected: Value | None  # the gradient it was probably to be
    slip: str  # the mistake, if it is a known one
    formula: str  # what belongs there


class Matcher:
    """Tells what arrays are: true gradients, values of the forward pass, or neither."""

    def __init__(self, truth: Truth):
        self.truth = truth
        self.gradients = [v for v in truth.values if v.gradient is not None] + truth.parts
        self.turned: dict[Any, list[tuple[Value, Any]]] = {}  # by shape, axes of 1 left out
        for value in self.gradients:
            for turned in _turns(value.gradient):
                self.turned.setdefault(_lengths(turned), []).append((value, turned))
        self.directions: dict[Any, Any] = {}
        self.contributions = [use.gradient for use in uses_of(truth)]
        self.values = [v.array for v in truth.values if v.array is not None] + truth.data
        self.derivatives = list(_local_derivatives(truth.values))

    def gradient(self, array: Any) -> tuple[Value, float] | None:
        """The value whose gradient this is, up to a factor."""
        for value, turned in self._along(array):
            factor = factor_between(array, turned)
            if factor is not None and array.size:
                return value, factor
        return None

    def _along(self, array: Any) -> list[tuple[Value, Any]]:
        """The gradients of its shape that have its direction, or are 0 as it is."""
        shape, flat = _lengths(array), np.ravel(np.asarray(array, float))
        found = self.turned.get(shape, [])
        if shape not in self.directions:
            rows = (
                np.stack([np.ravel(turned) for _, turned in found]) if found else np.zeros((0, 1))
            )
            with np.errstate(all="ignore"):
                self.directions[shape] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        with np.errstate(all="ignore"):
            alike = np.abs(self.directions[shape] @ flat) / np.linalg.norm(flat) if found else ()
        return [found[i] for i, cosine in enumerate(alike) if not cosine < ALIKE]

    def is_contribution(self, change: Any) -> bool:
        """Whether what was added somewhere is what one use of a value adds to its gradient."""
        return change is not None and any(
            factor_between(change, turned) is not None
            for found in self.contributions
            for turned in _turns(found)
        )

    def is_known(self, array: Any) -> bool:
        """Whether it is a forward value, a local derivative, or a mask."""
        if array.size <= 1 or np.ptp(array) == 0 or set(np.unique(array)) <= {0.0, 1.0}:
            return True
        plain = [*self.values, *self.derivatives]
        return any(factor_between(array, t) is not None for v in plain for t in _turns(v))

    def explains(self, array: Any) -> bool:
        """Whether it is a gradient or a forward value, wholly."""
        return self.gradient(array) is not None or self.is_known(array)

    def is_simple(self, array: Any) -> bool:
        """Whether it is a gradient times a value, or so: it may be meant for something else."""
        return any(factor_between(array, made) is not None for made in self._simple())

    def is_made_of(self, made: Made, part: Made) -> bool:
        """Whether it is a right product of something, or a right sum, but of a wrong gradient."""
        g = part.array
        if g.shape == made.array.shape and self.is_contribution(made.array - g):
            return True
        rights = [v.gradient for v in self.gradients if np.shape(v.gradient) == g.shape]
        for other in self.values if g.ndim == 2 else ():
            for product in (_on_the_right, _on_the_left):
                if np.ndim(other) == 2:
                    with suppress(ValueError):  # shapes that do not fit
                        if factor_between(made.array, product(g, other)) is not None:
                            return any(self.gradient(product(r, other)) for r in rights)
        return False

    def _simple(self) -> Any:
        """Products of a gradient and a value, and their sums along an axis; shifted values."""
        if not hasattr(self, "_made"):
            made = []
            gradients = [v.gradient for v in self.gradients][:24]
            others = [*self.values, *self.derivatives][:48]
            for g, v in itertools.product(gradients, others):
                if g.shape == v.shape and g.ndim:
                    product = g * v
                    made += [product, *(product.sum(axis=i) for i in range(g.ndim))]
            for v in others:
                if v.ndim:
                    made += [1 - v, v + 1]
                    made += [v - v.max(axis=i, keepdims=True) for i in range(v.ndim)]
                    made += [v.max(axis=i) for i in range(v.ndim)]
                    made += [v.sum(axis=i) for i in range(v.ndim)]
                    made.append(v * v)
            self._made = made
        return self._made


def _on_the_right(g: Any, value: Any) -> Any:
    return g @ value.T


def _on_the_left(g: Any, value: Any) -> Any:
    return value.T @ g


def _lengths(array: Any) -> tuple[int, ...]:
    return tuple(n for n in np.shape(array) if n != 1)


def _turns(array: Any) -> list[Any]:
    return [array, array.T] if array.ndim == 2 else [array]


def _local_derivatives(values: list[Value]) -> Any:
    """y' of each element-wise operation of one argument, at the argument."""
    arrays = {v.node: v.array for v in values}
    for value in values:
        found = derivative(value, arrays, at_output=False)
        if found is not None and found.size and np.ptp(found):  # not that of a sum or a copy
            yield found


def derivative(value: Value, arrays: Any, *, at_output: bool) -> Any:
    """The derivative of an element-wise operation of one argument; None for any other."""
    node = value.node
    parents = node.parents
    if node.primitive is None or len(parents) != 1 or value.array is None:
        return None
    x = arrays.get(parents[0])
    if x is None or np.shape(x) != node.shape:
        return None
    point = value.array if at_output else x
    position = node.inputs.index(parents[0])
    rules = node.primitive.rules
    rule = rules[position] if position < len(rules) else None
    if rule is None:
        return None
    args = node.args or node.inputs
    others = [point if i == position else given for i, given in enumerate(args)]
    with np.errstate(all="ignore"):
        try:
            y = node.primitive.function(*others, **node.keywords)
            return np.asarray(rule(np.ones_like(point), y, *others, **node.keywords))
        except Exception:
            return None


def first_wrong(
    truth: Truth, theirs: Theirs, wrong_arrays: list[Any], factor: float | None = None
) -> WrongLine | None:
    """The first line that made what nothing explains, and whose result led to a wrong gradient.

    `factor` is the one by which all wrong gradients are wrong, if it is the same.
    """
    matcher = Matcher(truth)
    # a helper never meets a gradient, such as the derivative of an activation: where its result is
    # wrong, the line that calls it is meant
    handling = {
        _function(made)
        for made in theirs.made
        if any(matcher.gradient(a) for a in (*made.arguments, *made.forms))
    }
    wrong = _unexplained(theirs.made, matcher, handling)
    scaled = _scaled(theirs.made, matcher, factor)
    for made in theirs.made:
        if made is wrong or made is scaled:
            return _described(made, truth, theirs.made)
    # every line is right, at least up to a factor: the one that made what is given as a gradient
    given = [m for m in theirs.made if any(_is_one_of(a, wrong_arrays) for a in m.forms)]
    given.sort(key=lambda made: made.depth > 0 or not made.name.startswith("return["))
    return _described(given[0], truth, theirs.made) if given else None


def _function(made: Made) -> tuple[str, int]:
    """What tells a function from others: of a lambda its line."""
    return made.function, made.line if made.function == "<lambda>" else 0


def _is_one_of(array: Any, arrays: list[Any]) -> bool:
    return any(a.shape == array.shape and np.allclose(array, a, rtol=1e-9) for a in arrays)


def _unexplained(every: list[Made], matcher: Matcher, handling: set[Any]) -> Made | None:
    """The first array that is nothing that it should be, and of which nothing right is made."""
    doubtful: list[Made] = []
    for made in every:
        if made.depth > 0 and _function(made) not in handling:
            continue
        if any(matcher.explains(a) for a in made.forms):
            continue
        part = matcher.is_contribution(made.array)
        given_back = made.depth > 0 and made.name.startswith("return")
        if (part and (given_back or _is_added(made, every))) or matcher.is_contribution(
            made.change
        ):
            continue
        if not part and any(matcher.is_simple(a) for a in made.forms):
            doubtful.append(made)
        elif made.depth > 0 and not all(matcher.explains(a) for a in made.arguments):
            continue  # it was given something wrong: the line that calls it is meant
        elif not _vindicated(made, every, matcher):
            return next((d for d in doubtful if matcher.is_made_of(made, d)), made)
    return None


def _scaled(every: list[Made], matcher: Matcher, factor: float | None) -> Made | None:
    """The line from which on gradients have a factor: nothing that is made of it is without it."""
    if factor is None:
        return None
    factors = []
    for made in every:
        matched = [matcher.gradient(a) for a in made.forms if a.size > 1]
        factors.append([found[1] for found in matched if found is not None])
    for i, made in enumerate(every):
        if any(abs(f / factor - 1) < 1e-5 for f in factors[i]):
            after = zip(every[i + 1 :], factors[i + 1 :], strict=True)
            if not any(
                any(abs(f - 1) < 1e-5 for f in found) and _stems_from(later, made, every[i + 1 :])
                for later, found in after
            ):
                return made
    return None


def _stems_from(later: Made, made: Made, between: list[Made]) -> bool:
    """Whether the code of one line uses what another line made, perhaps over others."""
    names = {made.name}
    for other in between:
        source = linecache.getline(other.file, other.line).partition("=")[2]
        if any(_has(source, name) for name in names):
            if other is later:
                return True
            names.add(other.name)
    return False


def _has(source: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", source) is not None


def _vindicated(made: Made, every: list[Made], matcher: Matcher) -> bool:
    """Whether a later line of the same function uses it for something that is right."""
    start = next(i for i, other in enumerate(every) if other is made)
    name = made.name.partition(".")[0] if made.name.startswith("self.") is False else made.name
    for later in every[start + 1 :]:
        if later.function != made.function or later.line == made.line:
            continue
        source = linecache.getline(later.file, later.line)
        if name in source.partition("=")[2] and later.name != made.name:
            return any(matcher.gradient(a) is not None for a in later.forms)
    return False


def _is_added(made: Made, every: list[Made]) -> bool:
    """Whether the next line that uses it adds it to something: it is not meant to be the whole."""
    start = next(i for i, other in enumerate(every) if other is made)
    name = re.escape(made.name)
    for later in every[start + 1 :]:
        source = linecache.getline(later.file, later.line)
        if later.line != made.line and _has(source, made.name):
            return bool(re.search(rf"\+=?\s*{name}(?!\w)|(?<![\w.@*/]){name}(\.T)?\s*\+", source))
    return False


def _described(made: Made, truth: Truth, every: list[Made]) -> WrongLine:
    from tinygrad_fm.testing.backward.slips import recognise

    expected, slip, formula, taken_for = recognise(made, truth, every)
    if taken_for is not None:  # right in itself, but not yet what it is used as: the line before
        earlier = every[: next(i for i, other in enumerate(every) if other is made)]
        same = [m for m in earlier if factor_between(m.array, taken_for) is not None]
        own = [m for m in same if not any(names_gradient(m.name, p) for p in truth.parameters)]
        made = (own or same or [made])[-1]
    return WrongLine(made, source_of(made), expected, slip, formula)


def source_of(made: Made) -> str:
    """The line of code that made an array."""
    return linecache.getline(made.file, made.line).strip()
