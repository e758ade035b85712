"""NumPy's functions under the library's own name: tg.sum, tg.zeros, tg.linalg."""

from __future__ import annotations

import difflib
from typing import Any

import numpy

import tinygrad_fm.numpy as room
from tinygrad_fm.numpy.creation import CREATION, creating


def find(name: str) -> Any:
    """NumPy's function of that name; a creating one always gives Tensors. None: there is none."""
    if name in ("linalg", "fft", "c_", "r_"):
        return getattr(room, name)
    function = getattr(numpy, name) if name in numpy.__all__ else None
    if not callable(function) or isinstance(function, type):
        return None
    return creating(function, True) if name in CREATION else getattr(room, name)


def near(name: str, others: list[str]) -> str:
    """The names most like a misspelled one, in words; empty where none is."""
    known = {*others, *(n for n in numpy.__all__ if find(n) is not None)}
    return " or ".join(difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.7))
