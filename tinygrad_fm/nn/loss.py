"""Losses as modules: each is a function of `functional` with its options."""

from __future__ import annotations

from typing import Any

from tinygrad_fm import functional
from tinygrad_fm.nn.module import Module


class CrossEntropyLoss(Module):
    """Cross-entropy from logits (report 000, 3.3.4 as corrected); see functional.cross_entropy.

    Called as `loss(logits, labels)`: logits (N, C); labels as class numbers (N,) or one-hot (N, C).
    """

    def __init__(
        self, reduction: str = "mean", *, weight: Any = None, label_smoothing: float = 0.0
    ):
        self.reduction = reduction
        self.weight = weight
        self.label_smoothing = label_smoothing

    def forward(self, logits: Any, labels: Any) -> Any:
        """A number; shape (N,) with reduction="none"."""
        return functional.cross_entropy(
            logits,
            labels,
            self.reduction,
            weight=self.weight,
            label_smoothing=self.label_smoothing,
        )


class _PairLoss(Module):
    """A loss of a prediction and a target of one shape, with a reduction."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction


class MSELoss(_PairLoss):
    """(prediction - target)**2; see functional.mse_loss, also for the form with 1/(2N)."""

    def forward(self, prediction: Any, target: Any) -> Any:
        """A number; the shape of the prediction with reduction="none"."""
        return functional.mse_loss(prediction, target, self.reduction)


class L1Loss(_PairLoss):
    """|prediction - target|; see functional.l1_loss."""

    def forward(self, prediction: Any, target: Any) -> Any:
        """A number; the shape of the prediction with reduction="none"."""
        return functional.l1_loss(prediction, target, self.reduction)


class HuberLoss(_PairLoss):
    """Quadratic up to delta, then linear; see functional.huber_loss."""

    def __init__(self, delta: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction)
        self.delta = delta

    def forward(self, prediction: Any, target: Any) -> Any:
        """A number; the shape of the prediction with reduction="none"."""
        return functional.huber_loss(prediction, target, self.delta, self.reduction)


class HingeLoss(_PairLoss):
    """max(0, 1 - target * prediction), targets -1 and 1; see functional.hinge_loss."""

    def forward(self, prediction: Any, target: Any) -> Any:
        """A number; the shape of the prediction with reduction="none"."""
        return functional.hinge_loss(prediction, target, self.reduction)


class BCEWithLogitsLoss(_PairLoss):
    """Binary cross-entropy of logits; see functional.binary_cross_entropy_with_logits."""

    def forward(self, logits: Any, target: Any) -> Any:
        """A number; the shape of the logits with reduction="none"."""
        return functional.binary_cross_entropy_with_logits(logits, target, self.reduction)


class BCELoss(_PairLoss):
    """Binary cross-entropy of probabilities; see functional.binary_cross_entropy."""

    def __init__(self, reduction: str = "mean", eps: float = 0.0):
        super().__init__(reduction)
        self.eps = eps

    def forward(self, probability: Any, target: Any) -> Any:
        """A number; the shape of the probabilities with reduction="none"."""
        return functional.binary_cross_entropy(probability, target, self.reduction, self.eps)
