"""Losses as modules: each is a function of `functional` with its options."""

from __future__ import annotations

from typing import Any

from tinygrad_fm import functional
from tinygrad_fm.nn.module import Module


class CrossEntropyLoss(Module):
    """Cross-entropy from logits (report 000, 3.3.4 as corrected); see functional.cross_entropy.

    Called as `loss(logits, labels)`: logits (N, C); labels as class numbers (N,) or one-hot (N, C).
    """

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, logits: Any, labels: Any) -> Any:
        """A number; shape (N,) with reduction="none"."""
        return functional.cross_entropy(logits, labels, self.reduction)


class MSELoss(Module):
    """Mean of (prediction - target)**2 over all elements; both of one shape."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, prediction: Any, target: Any) -> Any:
        """A number; the shape of the prediction with reduction="none"."""
        return functional.mse_loss(prediction, target, self.reduction)
