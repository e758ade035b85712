"""Which Tensors look at the same elements, so that a write to one is seen by the others."""

from __future__ import annotations

import weakref
from typing import Any


class Family:
    """A Tensor and the living Tensors that are parts of it: x, x[i], x[i].T and so on."""

    __slots__ = ("_limit", "_members", "root")

    def __init__(self, root: Any):
        self.root = weakref.ref(root)
        self._members: list[weakref.ref[Any]] = []
        self._limit = 16

    def add(self, member: Any) -> None:
        """Take in a Tensor that is a part of one of the family."""
        if len(self._members) >= self._limit:  # forget the dead, at a constant cost for each
            self._members = [m for m in self._members if m() is not None]
            self._limit = 16 + 2 * len(self._members)
        self._members.append(weakref.ref(member))

    def living(self) -> list[Any]:
        """Who is left, each after what it is a part of."""
        found = [m() for m in (self.root, *self._members)]
        return [member for member in found if member is not None]


class Share:
    """A Tensor's place in its family.

    `parts` is an index of the root whose elements hold all of this Tensor's; None: any may.
    """

    __slots__ = ("family", "parts")

    def __init__(self, family: Family, parts: tuple[Any, ...] | None):
        self.family = family
        self.parts = parts
