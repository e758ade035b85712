"""Kernels turned around, with which a convolution takes a gradient back to its images."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.rules.plan import moved
from tinygrad_fm.rules.workspace import scratch

Array = Any

# Bytes of a matrix from which its columns are far apart, and how many of them are turned at a time.
FAR, SLAB, BESIDE = 1 << 17, 128, 16


def turned_kernels(weight: Array) -> Array:
    """(KH, KW, C, O) turned around, as (KH, KW, O, C)."""
    around = moved(weight[::-1, ::-1], (0, 1, 3, 2))
    if type(weight) is not np.ndarray or weight[0, 0].nbytes < FAR:
        return np.copy(around, order="C")
    made = np.empty_like(around, order="C")
    # Rows a power of two apart share few places of the cache, and have left it before their next
    # number is read: so they are copied to where they are not.
    *places, o, c = around.shape

    def turn(slabs: slice) -> None:
        (near,) = scratch(weight.dtype, (c, SLAB + BESIDE))
        for start in range(slabs.start * SLAB, slabs.stop * SLAB, SLAB):
            slab = slice(start, min(o, start + SLAB))
            part = near[:, : slab.stop - start]
            for place in np.ndindex(*places):
                part[...] = around[place][slab].T
                made[place][slab] = part.T

    threads.share_spans(turn, -(-o // SLAB), made.size)
    return made
