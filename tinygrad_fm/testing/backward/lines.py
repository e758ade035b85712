"""The first wrong line of a backward pass: the first whose result is nothing that it should be."""

from __future__ import annotations

import itertools
import linecache
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.judge import factor_between
from tinygrad_fm.testing.backward.theirs import Made, Theirs
from tinygrad_fm.testing.backward.truth import Truth, Value
from tinygrad_fm.testing.backward.uses import uses_of


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
        self.contributions = [use.gradient for use in uses_of(truth)]
        self.values = [v.array for v in truth.values if v.array is not None] + truth.data
        self.derivatives = list(_local_derivatives(truth.values))

    def gradient(self, array: Any) -> tuple[Value, float] | None:
        """The value whose gradient this is, up to a factor."""
        for value in self.gradients:
            for turned in _turns(value.gradient):
                factor = factor_between(array, turned)
                if factor is not None and array.size:
                    return value, factor
        return None

    def is_contribution(self, change: Any) -> bool:
        """Whether what was added somewhere is what one use of a value adds to its gradient."""
        return change is not None and any(
            factor_between(change, turned) is not None
            for found in self.contributions
            for turned in _turns(found)
        )

    def is_known(self, array: Any) -> bool:
        """Whether it is a forward value, a local derivative, a mask, or made of those simply."""
        if array.size <= 1 or np.ptp(array) == 0 or set(np.unique(array)) <= {0.0, 1.0}:
            return True
        plain = [*self.values, *self.derivatives]
        if any(factor_between(array, t) is not None for v in plain for t in _turns(v)):
            return True
        return any(factor_between(array, made) is not None for made in self._simple())

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
        made.function
        for made in theirs.made
        if any(matcher.gradient(a) for a in (*made.arguments, *made.forms))
    }
    for made in theirs.made:
        if made.depth > 0 and made.function not in handling:
            continue
        if any(matcher.gradient(a) is not None or matcher.is_known(a) for a in made.forms):
            continue
        part = matcher.is_contribution(made.array) and _is_added(made, theirs.made)
        if part or matcher.is_contribution(made.change) or _vindicated(made, theirs.made, matcher):
            continue
        return _described(made, truth, theirs.made)
    scaled = _scaled(theirs.made, matcher, factor)
    if scaled is not None:
        return _described(scaled, truth, theirs.made)
    for made in theirs.made:  # every line is right up to a factor: the one that made this factor
        for array in wrong_arrays:
            if array is not None and any(
                a.shape == array.shape and np.allclose(a, array, rtol=1e-9) for a in made.forms
            ):
                return _described(made, truth, theirs.made)
    return None


def _scaled(every: list[Made], matcher: Matcher, factor: float | None) -> Made | None:
    """The line from which on all gradients have a factor; None where right ones come after it."""
    if factor is None:
        return None
    found = None
    for made in every:
        matched = [m for a in made.forms if a.size > 1 and (m := matcher.gradient(a)) is not None]
        if any(abs(f - 1) < 1e-5 for _, f in matched):
            found = None
        elif found is None and any(abs(f / factor - 1) < 1e-5 for _, f in matched):
            found = made
    return found


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
        if later.line != made.line and re.search(rf"(?<![\w.]){name}(?!\w)", source):
            return bool(re.search(rf"\+=?\s*{name}(?!\w)|(?<![\w.@*/]){name}(\.T)?\s*\+", source))
    return False


def _described(made: Made, truth: Truth, every: list[Made]) -> WrongLine:
    from tinygrad_fm.testing.backward.slips import recognise

    expected, slip, formula, taken_for = recognise(made, truth, every)
    if taken_for is not None:  # right in itself, but not yet what it is used as: the line before
        earlier = every[: next(i for i, other in enumerate(every) if other is made)]
        for other in reversed(earlier):
            if factor_between(other.array, taken_for) is not None:
                made = other
                break
    return WrongLine(made, source_of(made), expected, slip, formula)


def source_of(made: Made) -> str:
    """The line of code that made an array."""
    return linecache.getline(made.file, made.line).strip()
