"""Steps that are repeated, as those of compiled programs are, with as little around them as may be.

What surrounds an update takes longer than that of a small network: between two of them a program
has used the whole cache, so that each object which is looked at comes from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tinygrad_fm.engine import Marker, Origin
from tinygrad_fm.optim import loops
from tinygrad_fm.optim.factored import FactoredGradients
from tinygrad_fm.optim.flat import Flat, Run

if TYPE_CHECKING:
    from tinygrad_fm.optim.optimizer import Optimizer


class RepeatedStep:
    """An optimizer's step from the gradients in its flat buffers; see Optimizer.repeated_step."""

    def __init__(
        self,
        optimizer: Optimizer,
        missing: Collection[int],
        factored: Sequence[FactoredGradients | None],
        origin: Origin | None,
    ):
        self._general = partial(optimizer.step_flat, missing, factored, origin)
        self._updates = [
            _WholeUpdate(optimizer, flat, factors, origin)
            for flat, factors in zip(optimizer._flats, factored, strict=True)
            if not missing
        ]

    def __call__(self) -> None:
        """Update; errors as those of Optimizer.step."""
        numbers = []
        for update in self._updates:  # what refuses does it before any update
            given = update.prepare()
            if given is None:
                break
            numbers.append(given)
        if not numbers or len(numbers) < len(self._updates):
            self._general()
            return
        for update, given in zip(self._updates, numbers, strict=True):
            update(given)


class _WholeUpdate:
    """The update of all of a flat buffer, put together anew only where that must be."""

    def __init__(
        self,
        optimizer: Optimizer,
        flat: Flat,
        factors: FactoredGradients | None,
        origin: Origin | None,
    ):
        self.flat = flat
        self._optimizer = optimizer
        self._factors = factors
        self._mark = Marker((flat.owner, flat.base, flat.base + flat.values.nbytes), origin)
        self._made_for: tuple[Any, ...] | None = None
        self._state: Any = None

    def prepare(self) -> tuple[Any, ...] | None:
        """Before the next update: the numbers that its loop takes, none where there is no loop.

        None where some of the parameters have been updated more often than others.
        """
        flat, optimizer = self.flat, self._optimizer
        if not flat.equally_often():
            return None
        if vars(flat.settings) != flat.checked:
            optimizer._check_changed(flat)
        flat.adopt()
        loop: Callable[..., None] | None = None
        numbers: tuple[Any, ...] = ()
        made_for: tuple[Any, ...] = ()
        if optimizer._compiles(flat, self._factors):
            loop, numbers = loops.typed(flat, optimizer.fused(flat.steps[0] + 1, flat.settings))
            made_for = loop, len(numbers), loops.thread_count(flat)
        if made_for != self._made_for or flat.state is not self._state:
            self._put_together(loop, len(numbers))
            self._made_for, self._state = made_for, flat.state
        return numbers

    def _put_together(self, loop: Callable[..., None] | None, count: int) -> None:
        flat = self.flat
        whole = [Run(0, len(flat.values), 0, None)]
        self._calls = None
        if loop is None:
            (self._blocks,) = flat.blocks(whole)
        else:
            self._before, self._calls = loops.calls(flat, whole, [(loop, count)], self._factors)

    def __call__(self, numbers: tuple[Any, ...]) -> None:
        """Update with what `prepare` gave."""
        flat = self.flat
        step = flat.steps[0] + 1
        flat.steps = [step] * len(flat.steps)
        self._mark()
        if self._calls is None:
            update, settings = self._optimizer.update, flat.settings
            for _, _, w, g, scratch, state in self._blocks:
                update(w, g, scratch, step, settings, *state)
        else:
            loops.make(self._before, self._calls, [numbers])
        flat.forget(step)
