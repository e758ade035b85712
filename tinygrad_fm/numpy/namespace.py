"""NumPy's functions under the library's own name: tg.sum, tg.zeros, tg.linalg."""

from __future__ import annotations

import difflib
from typing import Any

import numpy

import tinygrad_fm.numpy as room
from tinygrad_fm.numpy.creation import CREATION, creating
from tinygrad_fm.numpy.lists import dispatches


def find(name: str) -> Any:
    """NumPy's function of arrays of that name; a creating one always gives Tensors. None: none."""
    if name in ("linalg", "fft", "c_", "r_"):
        return getattr(room, name)
    if name not in numpy.__all__:
        return None
    if name in CREATION:
        return creating(getattr(numpy, name), True)
    return getattr(room, name) if dispatches(getattr(numpy, name)) else None


def names() -> list[str]:
    """All that `find` finds."""
    return ["c_", "r_", *(name for name in numpy.__all__ if find(name) is not None)]


def near(name: str, others: list[str]) -> str:
    """The names most like a misspelled one, in words; empty where none is."""
    known = {*others, *names()}
    return " or ".join(difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.7))
