"""What is known of a NaN or an infinity: where it first appeared, and the error that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class NonFiniteError(FloatingPointError):
    """A number that should be finite is NaN or infinite; the message says where it came from.

    Attributes:
        epoch, batch: where training stood, counted from 1; None outside of training.
        operation: the name of the operation that made it, or None where it was there before.
        history: what training had recorded until then (a `train.History`), or None.
    """

    def __init__(
        self,
        message: str,
        *,
        epoch: int | None = None,
        batch: int | None = None,
        operation: str | None = None,
        history: Any = None,
    ):
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch
        self.operation = operation
        self.history = history


@dataclass(frozen=True)
class Origin:
    """The operation at which a non-finite value first appeared.

    `argument` is None where the operation made it from finite numbers, otherwise the position of
    the argument that brought it in (an array that no watched operation computed). In the backward
    pass (`backward`) it was the operation's rule for that argument, and `gradient` describes what
    the rule was given; -1 stands for the gradient itself. `number` counts the watched operations
    from 1; `arguments` and `found` describe the values; `module` is the path of the module call,
    and `line` the `file:line` of the user's code, each empty where there is none. `why` and `write`
    say the reason, and what to write instead, where they are known ones.
    """

    operation: str
    number: int
    argument: int | None
    arguments: tuple[str, ...]
    found: str
    largest: float  # the largest finite magnitude among the arguments
    module: str
    line: str
    source: str
    why: str = ""
    write: str = ""
    backward: bool = False
    gradient: str = ""

    def __str__(self) -> str:
        lines = [f"{self._headline()}: {self.found}"]
        if self.gradient:
            lines.append(f"gradient that arrived: {self.gradient}")
        lines += [f"argument {i}: {text}" for i, text in enumerate(self.arguments)]
        if self.module:
            lines.append(f"in module {self.module}")
        if self.line:
            lines.append(f"at {self.line}" + (f": {self.source}" if self.source else ""))
        if self.why:
            lines.append(f"why: {self.why}")
        if self.write:
            lines.append(f"write instead: {self.write}")
        return "\n".join(lines)

    def _headline(self) -> str:
        if not self.backward:
            how = "made" if self.argument is None else "met"
            return f"first {how} by {self.operation}, operation {self.number}"
        if self.argument == -1:
            return f"first met in the backward pass, as the gradient of {self.operation}"
        return (
            f"first made in the backward pass, by the rule of {self.operation} for argument "
            f"{self.argument}"
        )
