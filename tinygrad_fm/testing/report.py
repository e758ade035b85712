"""What a gradient check says: what was compared, how, and which elements sat on kinks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kink:
    """An element at which the function has no derivative, so that none was compared."""

    argument: str  # as in "argument 0['weight']"
    element: tuple[int, ...] | None  # None: met along a direction through many elements
    order: int  # of the derivative that does not exist
    left: float  # the slope before the point
    right: float  # the slope behind it

    def __str__(self) -> str:
        where = f"element {self.element}" if self.element is not None else "along a direction"
        return (
            f"{self.argument}, {where}: no derivative of order {self.order}, the slope jumps from "
            f"{self.left:.4g} to {self.right:.4g}"
        )


@dataclass
class GradientReport:
    """What `check_grads` compared, how, and which elements sat on kinks and were left out."""

    function: str
    order: int
    modes: tuple[str, ...]
    checked: int = 0  # numbers compared
    exact: int = 0  # of those, the ones held against a complex step
    worst: float = 0.0  # the largest relative error among them
    kinks: list[Kink] = field(default_factory=list)
    infinite: int = 0  # results that are not finite, left out as well

    @property
    def method(self) -> str:
        """How the numbers were made."""
        if self.exact == self.checked and self.checked:
            return "complex step"
        return "complex step and central differences" if self.exact else "central differences"

    def __str__(self) -> str:
        lines = [
            f"{self.function}: {self.checked} derivatives agree, to order {self.order}, in modes "
            f"{', '.join(self.modes)} ({self.method}; largest relative error {self.worst:.1e})"
        ]
        if self.kinks:
            lines.append(f"not compared, on {len(self.kinks)} kinks:")
            lines += [f"    {kink}" for kink in self.kinks]
        if self.infinite:
            lines.append(f"not compared: {self.infinite} results or gradients that are not finite")
        return "\n".join(lines)
