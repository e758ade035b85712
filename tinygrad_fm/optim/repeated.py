"""Steps that are repeated, as those of compiled programs are, with as little around them as may be.

What surrounds an update takes longer than that of a small network: between two of them a program
has used the whole cache, so that each object which is looked at comes from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tinygrad_fm import fast
from tinygrad_fm.engine import Marker, Origin
from tinygrad_fm.optim import loops
from tinygrad_fm.optim.factored import FactoredGradients, Loop, LoopCall
from tinygrad_fm.optim.flat import FORGET, Block, Flat, Run

if TYPE_CHECKING:
    from tinygrad_fm.optim.optimizer import Optimizer


class RepeatedStep:
    """An optimizer's step from the gradients in its flat buffers; see Optimizer.repeated_step.

    Attributes:
        optimizer: whose step it is.
        missing: the id() of each parameter that has no gradient.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        missing: Collection[int],
        factored: Sequence[FactoredGradients | None],
        origin: Origin | None,
    ):
        self.optimizer = optimizer
        self.missing = missing
        self._general = partial(optimizer.step_flat, missing, factored, origin)
        self._updates = [
            _WholeUpdate(flat, factors, optimizer._has_loop_for(flat), origin)
            for flat, factors in zip(optimizer._flats, factored, strict=True)
            if not missing
        ]

    def __call__(self) -> None:
        """Update; errors as those of Optimizer.step.

        It is one function, as each that it called would add half a microsecond to a microsecond.
        """
        optimizer, updates = self.optimizer, self._updates
        if not updates:
            self._general()
            return
        for update in updates:  # what refuses does it before any update
            flat = update.flat
            steps = flat.steps
            if steps.count(steps[0]) != len(steps):  # some parameters were updated more often
                self._general()
                return
            if vars(flat.settings) != flat.checked:
                optimizer._check_changed(flat)
            for p, view in zip(flat.parameters, flat.views):  # noqa: B905  (strict costs here)
                if p._array is not view:
                    flat.adopt()  # all of them
            if update.has_loop and (update.factors is not None or fast.ready(update.size)):
                update.take_loop(*optimizer.fused(steps[0] + 1, flat.settings))
            elif update.calls is not None or flat.state is not update.state:  # also at first
                update.take_blocks()
        for update in updates:
            flat = update.flat
            step = flat.steps[0] + 1
            flat.steps = [step] * len(flat.steps)
            update.mark()
            if update.calls is None:
                settings = flat.settings
                for _, _, w, g, scratch, state in update.blocks:
                    optimizer.update(w, g, scratch, step, settings, *state)
            else:
                loops.make(update.before, update.calls, [update.numbers])
            if step % FORGET == 0:
                flat.forget()


class _WholeUpdate:
    """The update of all of a flat buffer, put together anew only where that must be.

    Attributes:
        has_loop: whether there is one that may be compiled.
        blocks: what to update where no loop is compiled.
        before, calls: otherwise the calls of the loop, and what is to be called before them.
        numbers: that the loop takes.
        state: the arrays that these are of.
        mark: says that the parameters were changed.
    """

    def __init__(
        self, flat: Flat, factors: FactoredGradients | None, has_loop: bool, origin: Origin | None
    ):
        self.flat = flat
        self.factors = factors
        self.has_loop = has_loop
        self.size = len(flat.values)
        self.mark = Marker((flat.owner, flat.base, flat.base + flat.values.nbytes), origin)
        self.blocks: Sequence[Block] = ()
        self.before: Callable[[], None] | None = None
        self.calls: list[list[LoopCall]] | None = None
        self.numbers: tuple[Any, ...] = ()
        self.state: Any = None
        self._made_for: tuple[Any, ...] = ()

    def take_loop(self, loop: Loop, numbers: tuple[float, ...]) -> None:
        """Update with this loop from now on, and with these numbers next."""
        flat = self.flat
        loop, self.numbers = loops.typed(flat, (loop, numbers))
        made_for = loop, len(numbers), loops.thread_count(flat)
        if made_for != self._made_for or flat.state is not self.state:
            runs = [(loop, len(numbers))]
            self.before, self.calls = loops.calls(flat, self._whole, runs, self.factors)
            self._made_for, self.state = made_for, flat.state

    def take_blocks(self) -> None:
        """Update with NumPy from now on."""
        (self.blocks,) = self.flat.blocks(self._whole)
        self.calls, self.state, self._made_for = None, self.flat.state, ()

    @property
    def _whole(self) -> list[Run]:
        return [Run(0, len(self.flat.values), 0, None)]
