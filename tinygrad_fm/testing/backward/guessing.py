"""Arguments for functions of arrays, guessed by their names, in several arrangements."""

from __future__ import annotations

import itertools
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
            activation
            if "activation" in word
            else _guess(word, draw, columns, one_hot, image, single)
            for word in words
        )


def _tokens(function: Any, words: list[str]) -> Iterator[tuple[Any, ...]]:
    """Lists of tokens and a state, for a function whose weights are global variables."""
    scope = getattr(function, "__globals__", None)
    if scope is None:  # an object that can be called
        return
    shapes = [scope[n].shape for n in function.__code__.co_names if is_float(scope.get(n))]
    square = [s[0] for s in shapes if len(s) == 2 and s[0] == s[1]]
    sizes = sorted({n for s in shapes if len(s) == 2 for n in s} - set(square[:1]))
    if not square or not sizes or not any(_is_state(word) for word in words):
        return
    draw = rng()
    yield tuple(
        draw.standard_normal((square[0], 1))
        if _is_state(word)
        else draw.integers(0, sizes[0], TIMES).tolist()
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
