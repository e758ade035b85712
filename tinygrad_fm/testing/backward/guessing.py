"""Arguments for functions of arrays, guessed by their names, in several arrangements."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.making import (
    CLASSES,
    FEATURES,
    FUNCTIONS,
    HIDDEN,
    TARGETS,
    needed,
    rng,
)
from tinygrad_fm.testing.backward.places import is_float
from tinygrad_fm.testing.backward.roles import role_of
from tinygrad_fm.testing.backward.solving import solved, weights_of
from tinygrad_fm.testing.backward.sources import SAMPLES

TIMES = 3
NUMBERS = {
    "stride": 1, "pad": 1, "padding": 1, "pool": 2, "size": 2, "height": 2, "width": 2, "p": 0.5,
    "prob": 0.5, "mode": "train", "eps": 1e-5, "epsilon": 1e-5, "momentum": 0.9, "margin": 1.0,
    "temperature": 2.0, "slope": 0.1, "seed": 0,
}  # fmt: skip
GATES = (1, 4, 3)  # of a plain recurrent layer, an LSTM and a GRU
Shape = tuple[int, ...]


def arguments_of(function: Any) -> Iterator[tuple[Any, ...]]:
    """Arguments for a function, the likeliest first: of several weights, those that are solved."""
    several = len(weights_of(function)) > 1 or "parameters" in map(role_of, needed(function))
    several = several and not any(_is_state(name.lower().strip("_")) for name in needed(function))
    ways = (_solved, _guessed) if several else (_guessed, _solved)
    for way in ways:
        yield from way(function)


def _solved(function: Any) -> Iterator[tuple[Any, ...]]:
    return (tuple(arguments.values()) for arguments in solved(function))


def _guessed(function: Any) -> Iterator[tuple[Any, ...]]:
    """Arguments by their names alone."""
    names = needed(function)
    settings = {name: found for name in names if (found := _settings(function, name))}
    words = [name.lower().strip("_") for name in names]
    yield from _tokens(function, words)
    if any(_is_state(word) for word in words):
        for gates, times, columns in itertools.product(GATES, (False, True), (False, True)):
            draw = rng()
            shapes = [_recurrent(word, gates, times, columns) for word in words]
            yield tuple(draw.standard_normal(shape) for shape in shapes)
    kinds = FUNCTIONS if any("activation" in name for name in names) else ("",)
    choices = itertools.product((False, True), (False, True), (False, True), (False, True), kinds)
    for image, single, columns, one_hot, activation in choices:
        draw = rng()
        yield tuple(
            settings[name]
            if name in settings
            else activation
            if "activation" in word
            else _guess(word, draw, columns, one_hot, image, single)
            for name, word in zip(names, words, strict=True)
        )


def _settings(function: Any, name: str) -> dict[str, Any]:
    """The dictionary that an argument is to be, if it is asked for keys: param["stride"]."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return {}
    keys = [
        str(part.slice.value)
        for part in ast.walk(tree)
        if isinstance(part, ast.Subscript)
        and isinstance(part.ctx, ast.Load)
        and isinstance(part.value, ast.Name)
        and part.value.id == name
        and isinstance(part.slice, ast.Constant)
        and isinstance(part.slice.value, str)
    ]
    pools = any("pool" in key for key in keys)
    found = {key: 2 if pools and key == "stride" else _number(key.lower()) for key in keys}
    return found if all(value is not None for value in found.values()) else {}


def _number(word: str) -> Any:
    """A setting by its name; None where it is none."""
    if role_of(word) in ("lr", "penalty"):
        return 0.1
    return next((value for part, value in NUMBERS.items() if part in word.split("_")), None)


def _tokens(function: Any, words: list[str]) -> Iterator[tuple[Any, ...]]:
    """Lists of tokens and a state, for a function whose weights are global variables."""
    scope = getattr(function, "__globals__", None)
    if scope is None:  # an object that can be called
        return
    shapes = [scope[n].shape for n in function.__code__.co_names if is_float(scope.get(n))]
    square = [s[0] for s in shapes if len(s) == 2 and s[0] == s[1]]
    sizes = sorted({n for s in shapes if len(s) == 2 for n in s})
    if not any(_is_state(word) for word in words):
        return
    for height in dict.fromkeys([*square, *(s[0] for s in shapes if len(s) == 2)]):
        draw = rng()
        tokens = min((n for n in sizes if n != height), default=height)
        yield tuple(
            draw.standard_normal((height, 1))
            if _is_state(word)
            else draw.integers(0, tokens, TIMES).tolist()
            for word in words
        )


def _is_state(word: str) -> bool:
    return role_of(word) == "state" or word in ("a0", "a_prev")


def _recurrent(word: str, gates: int, times: bool, columns: bool) -> Shape:
    """The shape of an argument of a recurrent layer: an input, a state, a weight or a bias."""
    x, h, y = FEATURES, HIDDEN, CLASSES
    if _is_state(word):
        shape: Shape = (SAMPLES, h)
    elif word.startswith("b"):
        n = y if word.endswith("y") else gates * h
        return (n, 1) if columns else (n,)
    elif word.startswith(("w", "u", "v")):
        end = word[1:].strip("_")
        if end in ("x", "xh", "ax", "ih", "") and word[0] != "u":
            shape = (x, gates * h)
        elif end in ("y", "hy", "ya", "ho") or word[0] == "v":
            shape = (h, y)
        elif end in ("f", "i", "o", "c", "g", "u", "z", "r"):
            shape = (h + x, h)
        else:
            shape = (h, gates * h)
    else:
        shape = (SAMPLES, TIMES, x) if times and not columns else (SAMPLES, x)
        if times and columns:
            return (x, SAMPLES, TIMES)
    return shape[::-1] if columns else shape


def _guess(
    word: str, rng: np.random.Generator, columns: bool, one_hot: bool, image: bool, single: bool
) -> Any:
    if single and not image:  # one output, so that weights and targets are vectors
        if word in TARGETS:
            return rng.standard_normal(SAMPLES)
        if word.startswith(("w", "theta", "b")) and word != "beta":
            return rng.standard_normal(1 if word.startswith("b") else FEATURES)
    if (number := _number(word)) is not None:
        return number
    if word.endswith(("idx", "index", "ind")):
        return int(rng.integers(0, CLASSES))
    if word.endswith(("indices", "idxs", "negatives", "neg_samples")):
        return rng.integers(0, CLASSES, SAMPLES)
    if word.endswith(("vec", "vector")):
        return rng.standard_normal(FEATURES)
    if word.endswith(("vecs", "vectors", "embeddings", "embedding")):
        return rng.standard_normal((HIDDEN, FEATURES))
    wide: Shape = (3, 6, 6) if image else (FEATURES,)
    outputs = 2 if image else CLASSES
    if word in TARGETS:
        labels = rng.integers(0, CLASSES, SAMPLES)
        return np.eye(CLASSES)[labels] if one_hot else labels
    if word.startswith(("w", "theta", "kernel", "filter")):
        shape: Shape = (
            (2, 3, 3, 3) if image else (CLASSES, FEATURES) if columns else (FEATURES, CLASSES)
        )
        return rng.standard_normal(shape)
    if word in ("gamma", "beta"):
        return rng.uniform(0.5, 1.5, FEATURES)
    if word.startswith("b"):
        return rng.standard_normal((outputs, 1) if columns else outputs)
    if word.startswith(("score", "logit")):
        return rng.standard_normal((SAMPLES, CLASSES))
    if columns and not image:
        return rng.standard_normal((FEATURES, SAMPLES))
    return rng.standard_normal((SAMPLES, *wide))
