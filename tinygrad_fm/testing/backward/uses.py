"""A value that is used several times: what each use adds to its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.testing.backward.truth import Truth, Value


@dataclass
class Use:
    """One of several operations that a value goes into.

    Attributes:
        gradient: what comes back through it.
        line: `file:line` of the operation.
        others: the lines of the other uses.
    """

    value: Value
    gradient: Any
    line: str
    others: list[str]


def uses_of(truth: Truth) -> Iterator[Use]:
    """Every use of every value that is used more than once."""
    gradients = {v.node: v.gradient for v in truth.values}
    users: dict[Node, list[Node]] = {}
    for value in truth.values:
        for parent in dict.fromkeys(value.node.parents):
            users.setdefault(parent, []).append(value.node)
    for value in truth.values:
        used = users.get(value.node, [])
        for user in used if len(used) > 1 else ():
            with np.errstate(all="ignore"):
                found = engine.backward([(user, gradients[user])], targets=[value.node], keep=True)
            if value.node in found:
                others = [other.line for other in used if other is not user]
                gradient = np.asarray(found[value.node])
                yield Use(value, gradient, user.line, list(dict.fromkeys(others)))
