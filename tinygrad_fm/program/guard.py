"""Guards: what a program took for granted, and what must still be so for it to be run again."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tinygrad_fm.engine import latest_setting, state
from tinygrad_fm.program.surroundings import PLAIN, Surroundings
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
        self._seen = latest_setting[0]
        found = Surroundings(trace.modules.values(), function, cells)
        self.settings, self._own = found.settings, found.own
        # Those that may change without an attribute of a module being set are always looked at. The
        # others are looked at after that: each look takes a tenth of a microsecond, in a step of
        # fifty.
        self._unnoticed = found.unnoticed
        self._before = list(map(dict, self._own))
        self._looks = [look for _, look, _ in self._unnoticed]
        self._values = [value for _, _, value in self._unnoticed]
        self.needed = [(tensor, tensor.requires_grad) for tensor in cells]
        self._leaves = [tensor._node for tensor in cells]
        self.gradients = [
            (tensor, before is not None) for tensor, before, read in trace.touched() if read
        ]

    def has_leaves(self) -> bool:
        """Whether the parameters are the same leaves as then; those that thawed since are not."""
        return all(t._node is leaf for (t, _), leaf in zip(self.needed, self._leaves, strict=True))

    def broken(self) -> str:
        """What is no longer so; an empty string if everything is."""
        if state.mode.recording is not self.recording:
            return "no_grad()"
        seen = latest_setting[0]
        try:
            quick = seen is self._seen and self._own == self._before
            found_now = map(operator.call, self._looks)
            same = quick and all(map(operator.is_, found_now, self._values))
        except (
            Exception
        ):  # of arrays that were compared, as one took the other's place; or see below
            quick = same = False
        if not same:
            for name, look, value in self._unnoticed if quick else self.settings:
                try:
                    found = look()
                except ValueError:  # a variable that is no longer assigned
                    return name
                if found is not value and not _equal(found, value):
                    return name
            self._values = [look() for look in self._looks]  # equal ones, but maybe others
        if not quick:
            self._seen = seen
            self._before = list(map(dict, self._own))
        for tensor, wanted in self.needed:
            node = tensor._node
            if (node is not None and node.requires_grad) is not wanted:
                return f"requires_grad of {tensor._describe()}"
        for tensor, had in self.gradients:
            if (tensor._grad is not None) is not had:
                return f".grad of {tensor._describe()}"
        return ""


def _equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b) or not isinstance(a, PLAIN):
        return False
    return repr(a) == repr(b) if isinstance(a, float) else bool(a == b)  # -0.0 is not 0.0
