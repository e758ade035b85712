"""Shapes of a function's arguments, solved for: lengths that its errors compare are made equal."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.containers import content, contents, filled, leaves
from tinygrad_fm.testing.backward.making import CLASSES, FEATURES, HIDDEN, needed, rng
from tinygrad_fm.testing.backward.problem import generator_kept
from tinygrad_fm.testing.backward.roles import role_of
from tinygrad_fm.testing.backward.sources import SAMPLES

# No sum or product of these is one of them, so that a length tells which axis it is that of.
PRIMES = [n for n in range(11, 400) if all(n % k for k in range(2, n))]
Shape = tuple[int, ...]  # of axes: each is a prime, but for 1


@dataclass(frozen=True)
class Form:
    """One way in which arguments may be meant.

    Attributes:
        sample: whether the input is one sample, without an axis for several.
        bias: the shape of a bias of n numbers: "n", "1n" or "n1".
        target: labels as a "matrix" of one row or column a sample, or one number each, "whole".
        outputs: of the last layer: "several", "one", or "none" where its weight is a vector.
    """

    sample: bool
    bias: str
    target: str
    outputs: str


FORMS = [
    Form(sample, bias, target, outputs)
    for outputs, sample, bias, target in itertools.product(
        ("several", "one", "none"), (False, True), ("n", "1n", "n1"), ("matrix", "whole")
    )
]


def solved(function: Any) -> Iterator[dict[str, Any]]:
    """Arguments by name with which a function runs, of every form in turn.

    Where it runs with none, those with which it comes furthest, for its own error to be shown.
    """
    names = needed(function)
    parts = {name: held for name in names if (held := content(function, name)) is not None}
    if any("activation" in name.lower() or "func" in name.lower() for name in names):
        return
    for inside in contents(parts):
        found_any = False
        furthest: tuple[int, Any] = (-1, None)
        seen: set[str] = set()
        for form in FORMS:
            shapes = _shapes(names, inside, form)
            if shapes is None or str(shapes) in seen:
                continue
            seen.add(str(shapes))
            equal, runs = _unified(function, names, inside, shapes, form)
            arguments = _drawn(names, inside, shapes, equal, form)
            if runs:
                found_any = True
                yield arguments
            elif len(equal) > furthest[0]:
                furthest = len(equal), arguments
        if found_any:
            return
        if furthest[0] > 0:
            yield furthest[1]


def weights_of(function: Any) -> list[str]:
    """The names of the arguments that are weights, and containers of parameters."""
    return [n for n in needed(function) if _is_weight(n) or content(function, n) is not None]


def _is_weight(name: str) -> bool:
    word = name.lower().strip("_")
    return word.startswith(("w", "u", "v", "theta")) and not role_of(name)


def _is_bias(name: str) -> bool:
    return name.lower().startswith("b") and not name.lower().startswith(("beta", "batch"))


def _is_input(name: str) -> bool:
    return not (_is_weight(name) or _is_bias(name) or role_of(name) == "t")


# ---- shapes --------------------------------------------------------------------------------------


def _shapes(names: list[str], inside: dict[str, Any], form: Form) -> dict[str, Shape] | None:
    """The axes of every array, all different but for those of length 1; None for a useless form."""
    words = [leaf for name in names for leaf in leaves(inside.get(name, name))]
    if len(set(words)) < len(words):
        return None
    weights = [word for word in words if _is_weight(word)]
    biases = [word for word in words if _is_bias(word)]
    if not weights or (form.sample and form.bias == "1n"):
        return None
    free = iter(PRIMES)
    shapes: dict[str, Shape] = {}
    for word in words:
        a, b = next(free), next(free)
        role = role_of(word)
        if word in weights:
            vector = form.outputs == "none" and word == weights[-1]
            shapes[word] = (a,) if vector else (a, b)
        elif word in biases:
            one = form.outputs == "none" and word == biases[-1]
            shapes[word] = (1,) if one else {"n": (a,), "1n": (1, a), "n1": (a, 1)}[form.bias]
        elif role == "t":
            whole = form.target == "whole" or form.outputs == "none"
            shapes[word] = (() if whole else (a,)) if form.sample else (a,) if whole else (a, b)
        elif role not in ("lr", "penalty", "samples"):
            shapes[word] = (a,) if form.sample else (a, b)
    return shapes


def _unified(
    function: Any, names: list[str], inside: dict[str, Any], shapes: dict[str, Shape], form: Form
) -> tuple[dict[int, int], bool]:
    """Which axis each is equal to, and whether the function runs so."""
    equal: dict[int, int] = {}
    known = {n for shape in shapes.values() for n in shape if n != 1}
    for _ in range(len(known) + 1):
        lengths = {n: _root(n, equal) for n in known}
        try:
            with generator_kept(), np.errstate(all="ignore"):
                function(*_arguments(names, inside, shapes, lengths, form).values())
            return equal, _has_samples(shapes, equal, form)
        except Exception as error:
            pair = _compared(str(error))
        roots = set(lengths.values())
        if pair is None or not {*pair} <= roots:
            return equal, False
        tried = {**equal, max(pair): min(pair)}
        if not _has_samples(shapes, tried, form):
            return equal, False
        equal = tried
    return equal, False


def _root(axis: int, equal: dict[int, int]) -> int:
    while axis in equal:
        axis = equal[axis]
    return axis


def _has_samples(shapes: dict[str, Shape], equal: dict[int, int], form: Form) -> bool:
    """Whether inputs keep an axis that no parameter has: that of the samples."""
    own = {_root(n, equal) for w, s in shapes.items() if _is_weight(w) or _is_bias(w) for n in s}
    inputs = [
        s for w, s in shapes.items() if not (_is_weight(w) or _is_bias(w) or role_of(w) == "t")
    ]
    return form.sample or all({_root(n, equal) for n in shape} - own for shape in inputs)


def _compared(message: str) -> tuple[int, int] | None:
    """The two different lengths that an error of NumPy says should be equal."""
    for pattern in (
        r"size (\d+) is different from (\d+)",
        r"(\d+) \(dim \d\) != (\d+) \(dim \d\)",
        r"has size (\d+) and .* has size (\d+)",
    ):
        found = re.search(pattern, message)
        if found:
            return int(found[1]), int(found[2])
    if "broadcast" in message:
        first, second, *_ = [*re.findall(r"\(([\d, ]*)\)", message), "", ""]
        a, b = ([int(n) for n in text.split(",") if n.strip()] for text in (first, second))
        for n, m in zip(reversed(a), reversed(b), strict=False):
            if n != m and 1 not in (n, m):
                return n, m
    return None


def _arguments(
    names: list[str],
    inside: dict[str, Any],
    shapes: dict[str, Shape],
    lengths: dict[int, int],
    form: Form,
    classes: int = 1,
) -> dict[str, Any]:
    """Arrays of given lengths of axes, by the names of the arguments."""
    draw = rng()
    arrays: dict[str, Any] = {}
    samples = SAMPLES
    for word, axes in shapes.items():
        shape = tuple(lengths.get(n, 1) for n in axes)
        if role_of(word) != "t":
            size = np.sqrt(max(shape)) if _is_weight(word) else 1  # no layer makes numbers larger
            arrays[word] = draw.standard_normal(shape) / size
            if role_of(word) == "x":
                samples = shape[0]
        elif form.target == "whole" and form.outputs == "several":
            arrays[word] = draw.integers(0, classes, shape) if shape else 0
        else:
            arrays[word] = _labels(draw, shape)
    for name in names:
        if name not in inside and name not in arrays:
            arrays[name] = samples if role_of(name) == "samples" else 0.1
    return {name: filled(inside.get(name, name), arrays) for name in names}


def _labels(draw: np.random.Generator, shape: Shape) -> Any:
    """One-hot labels along the axis that is not that of the samples; else 0 and 1."""
    long = [axis for axis, n in enumerate(shape) if n not in (1, SAMPLES)]
    if not long:
        return draw.integers(0, 2, shape).astype(float)
    n = shape[long[0]]
    one_hot = np.eye(n)[draw.integers(0, n, [m for i, m in enumerate(shape) if i != long[0]])]
    return np.moveaxis(one_hot, -1, long[0])


def _drawn(
    names: list[str],
    inside: dict[str, Any],
    shapes: dict[str, Shape],
    equal: dict[int, int],
    form: Form,
) -> dict[str, Any]:
    """Arguments of small lengths, different for different axes."""
    own = [
        [_root(n, equal) for n in shape if n != 1]
        for word, shape in shapes.items()
        if _is_weight(word)
    ]
    everywhere = [n for shape in own for n in shape]
    inputs = [_root(n, equal) for word, shape in shapes.items() if _is_input(word) for n in shape]
    last = [n for n in everywhere if everywhere.count(n) == 1 and n not in inputs]
    lengths: dict[int, int] = {n: SAMPLES for n in inputs if n not in everywhere}
    lengths |= {n: FEATURES for n in inputs[:2] if n in everywhere}
    if last:
        lengths[last[-1]] = CLASSES if form.outputs == "several" else 1
    size = itertools.count(HIDDEN)
    for n in {m: _root(m, equal) for shape in shapes.values() for m in shape if m != 1}.values():
        if n not in lengths:
            lengths[n] = next(size)
    axes = {m: lengths[_root(m, equal)] for shape in shapes.values() for m in shape if m != 1}
    classes = CLASSES if form.outputs == "several" else 2
    return _arguments(names, inside, shapes, axes, form, classes)
