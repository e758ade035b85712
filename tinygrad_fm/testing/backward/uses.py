"""A value that is used several times: what each use adds to its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.testing.backward.truth import Truth, Value


@dataclass
class Use:
    """One of several operations that a value goes into.

    Attributes:
        gradient: what comes back through it.
        user: the operation.
        every: all of them.
    """

    value: Value
    gradient: Any
    user: Node
    every: list[Node]

    @property
    def line(self) -> str:
        """`file:line` of the operation."""
        return self.user.line

    @property
    def others(self) -> list[str]:
        """The lines of the other uses."""
        return list(dict.fromkeys(other.line for other in self.every if other is not self.user))


def uses_of(truth: Truth) -> Iterator[Use]:
    """Every use of every value that is used more than once."""
    gradients = {v.node: v.gradient for v in truth.values}
    arrays = {v.node: v.array for v in truth.values}
    users: dict[Node, list[Node]] = {}
    for value in truth.values:
        for parent in dict.fromkeys(value.node.parents):
            users.setdefault(parent, []).append(value.node)
    for value in truth.values:
        used = users.get(value.node, [])
        for user in used if len(used) > 1 else ():
            gradient = _through(user, value, gradients[user], arrays)
            if gradient is not None:
                yield Use(value, gradient, user, used)


def _through(user: Node, value: Value, gradient: Any, arrays: dict[Node, Any]) -> Any:
    """What comes back through one operation alone: it is computed anew; None where it cannot be."""
    if user.primitive is None or value.array is None:
        return None
    tensor = Tensor(value.array, requires_grad=True)
    written = user.args or user.inputs
    given = [
        (tensor if i is value.node else arrays.get(i)) if type(i) is Node else a
        for i, a in zip(user.inputs, written, strict=True)
    ]
    with np.errstate(all="ignore"):
        try:
            result: Any = user.primitive(*given, **user.keywords)
            found = engine.backward([(result.node, gradient)], targets=[tensor.node])  # type: ignore[list-item]
        except Exception:
            return None
    return None if tensor.node not in found else np.asarray(found[tensor.node])
