"""A loss that is a sum: the gradient of each term, and which of them a hand-written one has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.testing.backward.judge import TOLERANCE, factor_between, name_factor
from tinygrad_fm.testing.backward.pairing import same_shape
from tinygrad_fm.testing.backward.truth import Truth

MOST = 40  # terms of a loss that are told apart


@dataclass
class Term:
    """One summand of the loss.

    Attributes:
        penalty: "L2", "L1" or "norm" where it is a penalty on one parameter alone, else empty.
        factor: what the parameter, or its sign, is multiplied by in the gradient of a penalty.
        line: `file:line` where it was computed.
    """

    gradients: dict[str, Any]
    penalty: str = ""
    parameter: str = ""
    factor: float = 0.0
    line: str = ""

    @property
    def words(self) -> str:
        """What the gradient of a penalty is, as it is written."""
        of = {"L2": "", "L1": "sign of ", "norm": "direction of "}[self.penalty]
        return f"{self.factor:.4g} * {of}{self.parameter}"


@dataclass
class Mixture:
    """A hand-written gradient as a sum of the terms' gradients, each times a number."""

    terms: list[Term] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def lacks_penalties_alone(self) -> bool:
        """Whether it is right but for penalties, which are left out."""
        pairs = zip(self.terms, self.times, strict=True)
        return all(abs(c) < TOLERANCE if t.penalty else _is_one(c) for t, c in pairs)


def terms_of(truth: Truth) -> list[Term]:
    """The summands of a loss, with the gradient of each; none where it is no sum."""
    root = truth.root
    if root is None or truth.result.ndim:
        return []
    arrays = {v.node: v.array for v in truth.values}
    leaves = {v.node: v.name for v in truth.values if v.node.primitive is None}
    parts = _summands(root)
    if not 1 < len(parts) <= MOST:
        return []
    found = []
    for node, times in parts:
        with np.errstate(all="ignore"):
            seed = np.full(node.shape, times)
            gradients = engine.backward([(node, seed)], targets=list(leaves), keep=True)
        named = {leaves[n]: np.array(g) for n, g in gradients.items() if np.any(g)}
        term = Term(named, line=node.line)
        if len(named) == 1 and node in arrays:
            _as_penalty(term, times * float(np.sum(arrays[node])), truth)
        found.append(term)
    return _joined(found)


def _summands(root: Node) -> list[tuple[Node, float]]:
    """What a sum is made of, through factors that are numbers."""
    found: list[tuple[Node, float]] = []
    stack = [(root, 1.0)]
    while stack:
        node, times = stack.pop()
        given = node.args or node.inputs
        others = [g for g in given if type(g) is not Node]
        inner = [(g, i) for i, g in enumerate(given) if type(g) is Node and g.size == 1]
        numbers = all(np.size(o) == 1 and not hasattr(o, "dtype") for o in others)
        if node.name in ("add", "subtract") and inner and len(inner) + len(others) == 2:
            minus = node.name == "subtract"
            stack += [(g, -times if minus and i == 1 else times) for g, i in inner]
        elif node.name == "negative" and inner:
            stack.append((inner[0][0], -times))
        elif node.name == "multiply" and len(inner) == 1 and others and numbers:
            stack.append((inner[0][0], times * float(others[0])))
        elif node.name == "divide" and len(inner) == 1 and inner[0][1] == 0 and others and numbers:
            stack.append((inner[0][0], times / float(others[0])))
        else:
            found.append((node, times))
    return found


def _as_penalty(term: Term, value: float, truth: Truth) -> None:
    """Tell an L2 or L1 penalty by its gradient and its value."""
    ((name, gradient),) = term.gradients.items()
    array = truth.arrays[name]
    along = float(np.sum(gradient * array))
    for kind, direction, share in (("L2", array, 0.5), ("L1", np.sign(array), 1.0)):
        factor = factor_between(gradient, direction)
        if factor is not None and np.size(array) > 1:
            if abs(value - share * along) <= 1e-6 * abs(along):
                term.penalty, term.parameter, term.factor = kind, name, factor
            elif kind == "L2" and abs(value - along) <= 1e-6 * abs(along):
                term.penalty, term.parameter, term.factor = "norm", name, factor


def _joined(terms: list[Term]) -> list[Term]:
    """All that is no penalty added up, for the terms of a loop over samples are one."""
    data: dict[str, Term] = {}
    penalties = [term for term in terms if term.penalty]
    for term in terms:
        if term.penalty:
            continue
        kept = data.setdefault(term.line, Term({}, line=term.line))
        for name, gradient in term.gradients.items():
            kept.gradients[name] = kept.gradients.get(name, 0) + gradient
    return [*data.values(), *penalties]


def mixture(theirs: Any, parameter: str, terms: list[Term]) -> Mixture | None:
    """How much of each term a gradient has; None where it is no sum of them."""
    own = [t for t in terms if parameter in t.gradients]
    data = [t for t in own if not t.penalty]
    if len(data) > 1 and len(data) < len(own):
        whole = Term({parameter: sum(t.gradients[parameter] for t in data)}, line=data[0].line)
        found = mixture(theirs, parameter, [whole, *(t for t in own if t.penalty)])
        if found is not None:
            return found
    if len(own) < 2 or theirs is None or not same_shape(theirs, own[0].gradients[parameter]):
        return None
    plain = sum(t.gradients[parameter] for t in data)
    if data and _is_one(factor_between(theirs, plain) or 0.0):  # however few numbers it has
        return Mixture(own, [0.0 if t.penalty else 1.0 for t in own])
    columns = np.stack([np.ravel(t.gradients[parameter]) for t in own], axis=1)
    if columns.shape[0] <= columns.shape[1] or not np.isfinite(theirs).all():
        return None
    sizes = np.abs(columns).max(axis=0)
    times, _, rank, _ = np.linalg.lstsq(columns / sizes, np.ravel(theirs), rcond=1e-6)
    off = np.abs(columns / sizes @ times - np.ravel(theirs)).max()
    if rank < len(own) or off > TOLERANCE * max(np.abs(theirs).max(), sizes.max()):
        return None
    return Mixture(own, [float(c) for c in times / sizes])


def say(mixed: Mixture, place: str, samples: int, outputs: int) -> str:
    """What is wrong with a mixture, in words."""
    said = []
    for term, times in zip(mixed.terms, mixed.times, strict=True):
        if _is_one(times):
            continue
        what = f"the {term.penalty} penalty" if term.penalty else "the gradient of the data term"
        if not term.penalty and sum(not t.penalty for t in mixed.terms) > 1:
            what = f"the term of the loss at {term.line.rpartition('/')[2]}"
        named = name_factor(times, samples, outputs)
        if abs(times) < TOLERANCE:
            add = f"; add {term.words} here" if term.penalty else ""
            said.append(f"{what} is in the loss but not in {place}{add}")
        elif _is_one(-times):
            right = f": it should be {term.words}" if term.penalty else ""
            said.append(f"{what} has the wrong sign in {place}{right}")
        else:
            factor = f"{times:.6g}"
            named = f" ({named})" if named != factor else ""
            right = f"; it should be {term.words}" if term.penalty else ""
            said.append(f"{what} is taken {factor} times{named} in {place}{right}")
    return ", and ".join(said)


def decay_beside(theirs: Any, truth: Any, array: Any) -> float | None:
    """The factor of weight decay in a gradient whose loss has no penalty; None where none is."""
    if theirs is None or not same_shape(theirs, truth) or np.size(truth) < 2:
        return None
    difference = np.reshape(theirs, np.shape(truth)) - truth
    factor = factor_between(difference, array)
    return factor if factor is not None and factor > 1e-9 and np.any(difference) else None


def _is_one(times: float) -> bool:
    return abs(times - 1) < 10 * TOLERANCE
