"""Changes in place: which memory was written to, and when, so that a stale graph is an error.

A graph keeps arrays that its rules will need. Writing to such an array, or to anything that shares
its memory (a view, a detached alias, the buffer of an optimizer), would give a wrong gradient; the
backward pass therefore asks here whether a kept array is still what it was.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from tinygrad_fm.engine.node import Origin, clock, find_origin, line_of, now

Memory = tuple[Any, int, int]  # the array that owns the memory, first and last byte

newest = [0]  # the time of the latest change, for a quick "nothing changed since"
# an object of its own for each time that an attribute of a module was set
latest_setting = [object()]
# for each owner: which bytes were changed, when, and at which line of the user's
_owners: dict[int, tuple[weakref.ref[Any], dict[tuple[int, int], tuple[int, Origin | None]]]] = {}


def memory_of(array: Any) -> Memory | None:
    """The memory an array lies in; None for arrays of other libraries than NumPy."""
    if not isinstance(array, np.ndarray):
        return None
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    start, end = np.lib.array_utils.byte_bounds(array)
    return owner, start, end


def mark(memory: Memory | None, origin: Origin | None = None) -> None:
    """Say that this memory has just been changed in place; `origin` is where, if known already."""
    newest[0] = now()
    if memory is None:
        return
    owner, start, end = memory
    _changes_of(owner)[start, end] = newest[0], origin or find_origin(2)


class Marker:
    """Says, as `mark` does, that the same memory was changed again, and has less to look up."""

    def __init__(self, memory: Memory, origin: Origin | None):
        self._owner, *span = memory  # which must live on: what is known of it is forgotten with it
        self._span = tuple(span)
        self._origin = origin
        self._changes: dict[Any, Any] = _changes_of(self._owner)

    def __call__(self) -> None:
        """Mark it as changed now."""
        newest[0] = time = next(clock)
        self._changes[self._span] = time, self._origin


def _changes_of(owner: Any) -> dict[tuple[int, int], tuple[int, Origin | None]]:
    found = _owners.get(id(owner))
    if found is None or found[0]() is not owner:
        key = id(owner)
        found = _owners[key] = (weakref.ref(owner, lambda _, key=key: _forget(key)), {})  # type: ignore[misc]
    return found[1]


def _forget(key: int) -> None:
    found = _owners.get(key)
    if found is not None and found[0]() is None:
        del _owners[key]


def changed_since(array: Any, time: int) -> str | None:
    """The line that wrote into the memory of `array` after `time`; None if there was none.

    The line is empty where the change was not made by a program (at an interactive prompt, say).
    """
    memory = memory_of(array)
    return None if memory is None else written_since(memory, time)


def written_since(memory: Memory, time: int) -> str | None:
    """`changed_since` for the memory of an array."""
    owner, start, end = memory
    found = _owners.get(id(owner))
    if found is None or found[0]() is not owner:
        return None
    # a copy: another thread may be writing
    for (first, last), (when, origin) in list(found[1].items()):
        if when > time and start < last and first < end:
            return line_of(origin)
    return None
