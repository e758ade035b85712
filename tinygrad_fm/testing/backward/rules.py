"""Rules of updating, recognised by what several steps did to a parameter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

EXACT = 1e-6  # of a linear rule, relative to the largest change
NEAR = 2e-3  # of a rule with a square root, whose small constants are not known
BETAS = (0.9, 0.99, 0.999, 0.95)


@dataclass
class Rule:
    """What the steps of one parameter follow.

    Attributes:
        name: in words; empty where no rule fits.
        rate: the learning rate; negative where the step goes uphill.
        momentum: how much of the change before each step repeats.
        decay: how much of the parameter itself each step takes away.
        fault: what is wrong with the form, in words.
    """

    name: str = ""
    rate: float = 0.0
    momentum: float = 0.0
    decay: float = 0.0
    fault: str = ""


@dataclass
class Steps:
    """Of one parameter, several steps: its numbers, its gradients and its changes, one a row."""

    weights: Any
    gradients: Any
    changes: Any


def recognise(steps: Steps, numbers: list[float], rate: float) -> Rule:
    """The rule of the steps.

    Args:
        numbers: constants that may be its momenta.
        rate: the learning rate; 0 where it is not known.
    """
    return _linear(steps) or _adaptive(steps, numbers, rate) or Rule()


def _linear(steps: Steps) -> Rule | None:
    """Gradient descent, with momentum of any form, and with weight decay."""
    w, g, d = steps.weights, steps.gradients, steps.changes
    before, after = slice(None, -1), slice(1, None)
    for parts in (("g",), ("g", "w"), ("g", "d"), ("g", "d", "w"), ("g", "d", "old")):
        columns = {"g": g[after], "w": w[after], "d": d[before], "old": g[before]}
        a = np.stack([columns[part].ravel() for part in parts], axis=1)
        sizes = np.abs(a).max(axis=0)
        if not sizes.all():
            continue
        times, _, rank, _ = np.linalg.lstsq(a / sizes, d[after].ravel(), rcond=1e-9)
        off = np.abs(a / sizes @ times - d[after].ravel()).max()
        if rank < len(parts) or off > EXACT * np.abs(d).max():
            continue
        if abs(times[0]) < 1e-3 * np.abs(times).max():
            continue  # it does not depend on the gradient
        found = dict(zip(parts, times / sizes, strict=True))
        rule = Rule("gradient descent", -found["g"], found.get("d", 0.0), -found.get("w", 0.0))
        if "old" in parts:
            usual = rule.rate * rule.momentum / (1 + rule.momentum)
            if abs(found["old"] - usual) > 1e-4 * abs(usual):
                return None
            rule.name, rule.rate = "Nesterov's momentum", rule.rate / (1 + rule.momentum)
        elif "d" in parts:
            rule.name = "momentum"
        return rule
    return None


def _adaptive(steps: Steps, numbers: list[float], known: float) -> Rule | None:
    """AdaGrad, RMSprop and Adam, and what they become with a piece missing.

    Two that differ in the learning rate alone are told apart by the known one.
    """
    first: Rule | None = None
    g, d = steps.gradients, steps.changes
    for name, fault, direction in _directions(g, numbers):
        with np.errstate(all="ignore"):
            fine = np.isfinite(direction) & (np.abs(g).min(axis=0) > 1e-3 * np.abs(g).max())
        if not fine.any():
            continue
        u, v = direction[fine], d[fine]
        rate = -float(u @ v / (u @ u))
        if np.abs(rate * u + v).max() <= NEAR * np.abs(v).max():
            first = first or Rule(name, rate, fault=fault)
            if not known or abs(rate - known) <= NEAR * known:
                return Rule(name, rate, fault=fault)
    return first


def _directions(g: Any, numbers: list[float]) -> Iterator[tuple[str, str, Any]]:
    """(name, fault, what is multiplied by minus the learning rate) of each rule."""
    betas = list(dict.fromkeys([*BETAS, *(n for n in numbers if 0.3 < n < 1)]))[:8]
    t = np.arange(1, len(g) + 1)[:, None]
    no_root = "the square root of the mean square is missing"
    with np.errstate(all="ignore"):
        squares = np.cumsum(g**2, axis=0)
        yield "AdaGrad", "", g / np.sqrt(squares)
        yield "AdaGrad", "the square root of the sum of squares is missing", g / squares
        for rho in betas:
            v = _averages(g**2, rho)
            yield f"RMSprop with {rho:g}", "", g / np.sqrt(v)
            yield f"RMSprop with {rho:g}", no_root, g / v
        for first, second in itertools.product(betas, betas):
            m, v = _averages(g, first), _averages(g**2, second)
            name = f"Adam with {first:g} and {second:g}"
            swapped = "the two betas are swapped" if first > second else ""
            mean, root = m / (1 - first**t), v / (1 - second**t)
            yield name, swapped, mean / np.sqrt(root)
            yield f"{name}, without correction of the bias", "", m / np.sqrt(v)
            stuck = m / (1 - first) / np.sqrt(v / (1 - second))
            yield name, "the number of the step does not grow: it is always 1", stuck
            yield name, no_root, mean / root
            half = "the second moment is not corrected for its bias"
            yield name, half, mean / np.sqrt(v)


def _averages(values: Any, beta: float) -> Any:
    """Moving averages that begin at 0."""
    made, last = [], 0.0
    for value in values:
        last = beta * last + (1 - beta) * value
        made.append(last)
    return np.stack(made)
