"""Changes in place: which memory was written to, and when, so that a stale graph is an error.

A graph keeps arrays that its rules will need. Writing to such an array, or to anything that shares
its memory (a view, a detached alias, the buffer of an optimizer), would give a wrong gradient; the
backward pass therefore asks here whether a kept array is still what it was.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from tinygrad_fm.engine.node import now

Memory = tuple[Any, int, int]  # the array that owns the memory, first and last byte

newest = [0]  # the time of the latest change, for a quick "nothing changed since"
_owners: dict[int, tuple[weakref.ref[Any], dict[tuple[int, int], int]]] = {}


def memory_of(array: Any) -> Memory | None:
    """The memory an array lies in; None for arrays of other libraries than NumPy."""
    if not isinstance(array, np.ndarray):
        return None
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    start, end = np.lib.array_utils.byte_bounds(array)
    return owner, start, end


def mark(memory: Memory | None) -> None:
    """Say that this memory has just been changed in place."""
    newest[0] = now()
    if memory is None:
        return
    owner, start, end = memory
    found = _owners.get(id(owner))
    if found is None or found[0]() is not owner:
        key = id(owner)
        found = _owners[key] = (weakref.ref(owner, lambda _, key=key: _forget(key)), {})  # type: ignore[misc]
    found[1][start, end] = newest[0]


def _forget(key: int) -> None:
    found = _owners.get(key)
    if found is not None and found[0]() is None:
        del _owners[key]


def changed_since(array: Any, time: int) -> bool:
    """Whether anything was written into the memory of `array` after `time`."""
    memory = memory_of(array)
    if memory is None:
        return False
    owner, start, end = memory
    found = _owners.get(id(owner))
    if found is None or found[0]() is not owner:
        return False
    # a copy: another thread may be writing
    return any(
        when > time and start < last and first < end
        for (first, last), when in list(found[1].items())
    )
