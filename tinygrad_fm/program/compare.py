"""Whether two runs of a step did the same, so that a program of it can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.engine import quoted
from tinygrad_fm.program.values import Instruction, Value


def difference(first: Any, second: Any) -> str:
    """What the second of two Traced did otherwise, in words; an empty string for nothing."""
    comparison = _Comparison()
    for value, other in zip(first.inputs, second.inputs, strict=True):
        comparison.pairs[value] = other
    before, after = first.trace.instructions, second.trace.instructions
    for a, b in zip(before, after, strict=False):
        found = comparison.instruction(a, b)
        if found:
            return found
    if len(before) != len(after):
        longer = max(before, after, key=len)
        extra = longer[min(len(before), len(after))]
        times = "first" if longer is before else "second"
        return f"only its {times} call computed {extra.name}{_at(extra)}{_ADVICE}"
    for output, other in zip(first.outputs, second.outputs, strict=False):
        is_known = isinstance(other, (Value, bool, int, float, str))
        if not is_known and not comparison.same(output, other):
            return (
                f"it returned a {type(other).__name__}, {other!r:.60}; a compiled step returns "
                "arrays, plain numbers and text, and tuples, lists and dictionaries of these"
            )
    ends = [(a.outputs, {id(t): g for t, g in a.gradients}) for a in (first, second)]
    if not comparison.same(*ends):
        return f"its two calls returned different things{_ADVICE}"
    return ""


_ADVICE = (
    "; what Python decides or counts must not change from call to call: hand in a number that "
    "changes as an array, np.array(value), and a decision as an argument of the step (each value "
    "of which makes a program)"
)


class _Comparison:
    """Pairs each value of one trace with that of the other in its place."""

    def __init__(self) -> None:
        self.pairs: dict[Value, Value] = {}
        self.constant: tuple[Value, Value] | None = None  # the pair that differs
        self.literals: tuple[Any, Any] | None = None

    def instruction(self, a: Instruction, b: Instruction) -> str:
        if a.kind != b.kind or not _same_function(a.function, b.function):
            return f"its first call computed {a.name}{_at(a)}, its second {b.name}{_at(b)}{_ADVICE}"
        self.constant = self.literals = None
        if not self.same((a.args, a.keywords), (b.args, b.keywords)):
            if self.constant is not None:
                shape = self.constant[0].shape
                return (
                    f"{b.name}{_at(b)} uses an array of shape {shape} that held other numbers in "
                    "the second call than in the first, and that no operation on a Tensor made; "
                    "hand it in as an argument, or draw random numbers by nn.Dropout or "
                    "functional.dropout"
                )
            if self.literals is not None:
                old, new = self.literals
                return (
                    f"{b.name}{_at(b)} used {old!r:.40} in the first call and {new!r:.40} in the "
                    f"second{_ADVICE}"
                )
            return f"{b.name}{_at(b)} had other arguments in the second call{_ADVICE}"
        for old, new in zip(a.results, b.results, strict=False):
            self.pairs[old] = new
        return ""

    def same(self, a: Any, b: Any) -> bool:
        """Whether two arguments stand for the same."""
        if isinstance(a, Value) and isinstance(b, Value):
            return self._same_values(a, b)
        if isinstance(a, (tuple, list)):
            fits = type(a) is type(b) and len(a) == len(b)
            return fits and all(map(self.same, a, b))
        if isinstance(a, dict):
            fits = isinstance(b, dict) and a.keys() == b.keys()
            return fits and all(self.same(a[key], b[key]) for key in a)
        if isinstance(a, slice):
            return isinstance(b, slice) and self.same(
                (a.start, a.stop, a.step), (b.start, b.stop, b.step)
            )
        if a is b or (callable(a) and _same_function(a, b)):
            return True
        if isinstance(a, (bool, int, float, str, np.generic, np.dtype)):
            if type(a) is type(b) and (a == b or (a != a and b != b)):
                return True
            self.literals = a, b
        return False

    def _same_values(self, a: Value, b: Value) -> bool:
        if a in self.pairs:
            return self.pairs[a] is b
        if (a.kind, a.shape, a.dtype) != (b.kind, b.shape, b.dtype):
            return False
        if a.kind == "constant":
            if a.holds is not b.holds and a.holds.tobytes() != b.holds.tobytes():
                self.constant = a, b
                return False
        elif a.kind in ("cell", "gradient", "memory"):
            if a.holds is not b.holds:
                return False
        else:
            return False
        self.pairs[a] = b
        return True


def _same_function(a: Any, b: Any) -> bool:
    if a is b:
        return True
    code = getattr(a, "__code__", a)
    return code is getattr(b, "__code__", b)


def _at(instruction: Instruction) -> str:
    return f" (at {quoted(instruction.line)})" if instruction.line else ""
