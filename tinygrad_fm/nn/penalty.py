"""Penalties on weights, to be added to a loss; biases are left alone unless asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm import functional
from tinygrad_fm.nn.module import Module, Parameter


class _Penalty(Module):
    """strength times a sum over the parameters of a model; see the subclasses.

    A bias is a parameter with one axis (also the scales of normalisation layers): it counts only
    with `biases=True`. Frozen parameters do not count.
    """

    def __init__(self, strength: float, *, biases: bool = False):
        if not strength >= 0:
            raise ValueError(f"{type(self).__name__}: strength is at least 0, not {strength!r}")
        self.strength = strength
        self.biases = biases

    def forward(self, model: Module) -> Any:
        """A number; 0.0 where nothing counts.

        Raises:
            TypeError: something that is no Module.
        """
        if not isinstance(model, Module):
            raise TypeError(f"{type(self).__name__} takes a model, not {model!r:.60}")
        terms = [
            self.term(p)
            for p in model.parameters()
            if p.requires_grad and (self.biases or p.ndim > 1)
        ]
        return self.strength * sum(terms[1:], terms[0]) if terms else 0.0

    def term(self, w: Parameter) -> Any:
        """What one parameter adds, before the strength."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Strength, and whether biases count."""
        return f"{self.strength}" + (", biases=True" if self.biases else "")


class L2Penalty(_Penalty):
    """strength * ||w||^2, with gradient 2 strength w; with `half`, strength / 2 * ||w||^2.

    Report 003, eq. 3, and report 004, eqs. 6 and 7, mean the form without the half.
    """

    def __init__(self, strength: float, *, half: bool = False, biases: bool = False):
        super().__init__(strength, biases=biases)
        self.half = half

    def term(self, w: Parameter) -> Any:
        """The sum of squares, or half of it."""
        squares = functional.square_norm(w)
        return squares * 0.5 if self.half else squares


class L1Penalty(_Penalty):
    """strength * ||w||_1, with gradient strength * sign(w), 0 at 0 (report 004, eqs. 6, 7)."""

    def term(self, w: Parameter) -> Any:
        """The sum of absolute values."""
        return np.sum(np.abs(w))
