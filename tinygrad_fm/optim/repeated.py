"""Updates that are repeated, as those of compiled steps are, with as little around them as may be.

What surrounds an update takes longer than that of a small network: between two of them a step has
used the whole cache, so that each object which is looked at comes from memory.
"""

from __future__ import annotations

from typing import Any

from tinygrad_fm import fast, threads
from tinygrad_fm.engine import Marker, Origin
from tinygrad_fm.optim import loops
from tinygrad_fm.optim.factored import FactoredGradients, LoopCall
from tinygrad_fm.optim.flat import FORGET, Flat, Run


class Repeated:
    """The update of a whole flat buffer from the gradients in it, put together once.

    Args:
        optimizer: whose update it is.
        flat: one of its buffers, of parameters that are all updated equally often.
        factors: the gradients that are given as factors.
        origin: the user's line that updates.
    """

    def __init__(
        self,
        optimizer: Any,
        flat: Flat,
        factors: FactoredGradients | None,
        origin: Origin | None,
    ):
        self._optimizer = optimizer
        self._flat = flat
        self._state = flat.state
        self._mark = Marker((flat.owner, flat.base, flat.base + flat.values.nbytes), origin)
        self._has_loop = optimizer.has_loop(flat)
        self._compiled = self._has_loop and (factors is not None or fast.ready(len(flat.values)))
        everything = [Run(0, len(flat.values), flat.steps[0], None)]
        if self._compiled:
            loop, numbers = loops.typed(flat, optimizer.fused(flat.steps[0], flat.settings))
            self._loop = loop
            self._threads = loops.thread_count(flat)
            self._before, self._calls = loops.calls(flat, everything, [(loop, numbers)], factors)
        else:
            (self._blocks,) = flat.blocks(everything)

    def ready(self) -> tuple[Any, ...] | None:
        """Whether the next update is as the last one but for the gradients and its numbers.

        Returns:
            the numbers that a loop takes, none where there is no loop; None where it is not.

        Raises:
            ValueError, AttributeError: the settings were set to what they cannot be.
        """
        flat = self._flat
        if vars(flat.settings) != flat.checked:
            self._optimizer.check_changed(flat)
        if flat.state is not self._state or not flat.in_step() or not flat.adopted():
            return None
        if not self._compiled:
            return None if self._has_loop and fast.ready(len(flat.values)) else ()
        loop, numbers = self._optimizer.fused(flat.steps[0] + 1, flat.settings)
        if loop is not self._loop or loops.thread_count(flat) != self._threads:
            return None
        return tuple(map(flat.values.dtype.type, numbers))

    def __call__(self, numbers: tuple[Any, ...]) -> None:
        """Update with these numbers."""
        flat = self._flat
        step = flat.steps[0] + 1
        flat.steps = [step] * len(flat.steps)
        self._mark()
        if not self._compiled:
            update, settings = self._optimizer.update, flat.settings
            for _, _, w, g, scratch, state in self._blocks:
                update(w, g, scratch, step, settings, *state)
        else:
            if self._before is not None:
                self._before()
            threads.share(_call_all, [(part, numbers) for part in self._calls])
        if step % FORGET == 0:
            flat.forget()


def _call_all(calls: list[LoopCall], numbers: tuple[Any, ...]) -> None:
    for call, arrays, _ in calls:
        call(*arrays, *numbers)
