"""Guards: what a program took for granted, and what must still be so for it to be run again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tinygrad_fm.engine import latest_setting, state
from tinygrad_fm.program.surroundings import PLAIN, Look, Surroundings
from tinygrad_fm.program.trace import Trace


class Guards:
    """What was so when a step was traced.

    Settings and parts of the modules that were called (`training`, a dropout's p, its generator),
    which parameters require a gradient and have one already, whether gradients are recorded at all,
    and what the step's code, and that of functions it calls, reads from around it: see
    Surroundings. Not the numbers in plain arrays.
    """

    def __init__(self, trace: Trace, function: Callable[..., Any], cells: list[Any]):
        self.recording = state.mode.recording
        found = Surroundings(trace.modules.values(), function, cells)
        self.settings = found.settings
        self.needed = [(tensor, tensor.requires_grad) for tensor in cells]
        self._leaves = [tensor._node for tensor in cells]
        self.gradients = [
            (tensor, before is not None) for tensor, before, read in trace.touched() if read
        ]
        # Those that may change without an attribute of a module being set are always looked at.
        self._unnoticed = found.unnoticed
        self._own = found.own
        self._was: dict[str, Any] = {}  # the namespace of this function, and so what it compares
        self._all_the_same = self._written()

    def has_leaves(self) -> bool:
        """Whether the parameters are the same leaves as then; those that thawed since are not."""
        return all(t._node is leaf for (t, _), leaf in zip(self.needed, self._leaves, strict=True))

    def broken(self) -> str:
        """What is no longer so; an empty string if everything is."""
        try:
            if self._all_the_same():
                return ""
        except Exception:  # a look failed, or arrays were compared: look at one after the other
            pass
        if state.mode.recording is not self.recording:
            return "no_grad()"
        now = self._now()  # first: what another thread changes meanwhile is found by the next call
        for name, look, value in self.settings:
            if not _same(_found(look), value):
                return name
        for i, (name, _, value) in enumerate(self._unnoticed):
            if not _same(now[f"value{i}"], value):
                return name
        for tensor, wanted in self.needed:
            if tensor.requires_grad is not wanted:
                return f"requires_grad of {tensor._describe()}"
        for tensor, had in self.gradients:
            if (tensor._grad is not None) is not had:
                return f".grad of {tensor._describe()}"
        self._was |= now  # equal, but maybe others
        return ""

    def _written(self) -> Callable[[], bool]:
        """Whether everything is the very same as in `_was`, by which its names are found.

        It is written as one expression, as each step asks it: calls of a function for each look
        take three times as long.
        """
        self._was |= {"latest_setting": latest_setting, "state": state, "own": self._own}
        self._was |= {"recording": self.recording} | self._now()
        terms = ["latest_setting[0] is seen", "own == before", "state.mode.recording is recording"]
        for i, (_, look, _) in enumerate(self._unnoticed):
            if isinstance(look, functools.partial) and look.func is getattr:
                self._was[f"thing{i}"], attribute = look.args[:2]
                terms.append(f"thing{i}.{attribute} is value{i}")
            else:
                self._was[f"look{i}"] = look
                terms.append(f"look{i}() is value{i}")
        for i, (tensor, _) in enumerate(self.needed):  # of a leaf this does not change
            self._was[f"parameter{i}"] = tensor
            terms.append(f"parameter{i}._node is leaf{i}")
        for i, (tensor, had) in enumerate(self.gradients):
            self._was[f"tensor{i}"] = tensor
            terms.append(f"tensor{i}._grad is {'not None' if had else 'None'}")
        return eval(f"lambda: {' and '.join(terms)}", self._was)

    def _now(self) -> dict[str, Any]:
        """What is compared, as it is now; `seen` first, as it tells of changes of the others."""
        now = {"seen": latest_setting[0], "before": list(map(dict, self._own))}
        now |= {f"value{i}": _found(look) for i, (_, look, _) in enumerate(self._unnoticed)}
        return now | {f"leaf{i}": tensor._node for i, (tensor, _) in enumerate(self.needed)}


_GONE = object()  # in place of a variable that is no longer assigned


def _found(look: Look) -> Any:
    try:
        return look()
    except ValueError:
        return _GONE


def _same(a: Any, b: Any) -> bool:
    """Whether it is the same object, or an equal one of a plain type."""
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, PLAIN):
        return False
    return repr(a) == repr(b) if isinstance(a, float) else bool(a == b)  # -0.0 is not 0.0
