"""Flat buffers: the parameters of one dtype as views of one array, with the optimizer's state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm.engine import Origin, find_origin, layout_of, mark_changed, memory_of, state
from tinygrad_fm.tensor import Tensor

# A block's weights, gradients, state and scratch fit the second-level cache together.
BLOCK = 32_768
# Parameters that are worth a thread of their own, with no, one or more arrays of state: to wake one
# up takes 0.1 to 0.2 ms, in which SGD with momentum updates 0.7 million, and Adam half of that.
SHARE = 2**20, 700_000, 380_000
# How often, in steps, state that has decayed to almost nothing is set to zero; see Flat.forget.
FORGET = 128

# Bytes of a cache line. Arrays that begin on one are updated in two thirds to four fifths of the
# time that others take, and NumPy's own begin anywhere.
LINE = 64
# Cache lines from the start of one array to that of the next, counted in pages. Where arrays lie
# alike in their pages, a processor takes what it reads from one for what it has just written to
# another, and waits: a tenth of the time.
APART = 3

Array = Any


def worth_a_thread(states: int) -> int:
    """How many parameters with so many arrays of state are."""
    return SHARE[min(states, len(SHARE) - 1)]


def aligned(size: int, dtype: Any, number: int = 0) -> Array:
    """Zeros that begin on a cache line, which is another one of the page for another number."""
    count, apart = size * dtype.itemsize, number * APART * LINE
    raw = np.zeros(count + apart + LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % LINE + apart
    return raw[start : start + count].view(dtype)


class Settings(SimpleNamespace):
    """The settings of a group, `lr` among them."""

    def __setattr__(self, name: str, value: Any) -> None:
        trace = state.mode.trace
        if trace is not None and getattr(self, name, None) != value:
            trace.sets(name)
        super().__setattr__(name, value)


class Run(NamedTuple):
    """A stretch to update: from start to end, with the number of the step.

    Its gradient lies in the flat gradient there, or elsewhere.
    """

    start: int
    end: int
    step: int
    elsewhere: Array | None


class Block(NamedTuple):
    """A piece of a run: where in the run, and the flat arrays cut there, which takes microseconds
    and is therefore done once.
    """

    start: int
    end: int
    weights: Array
    gradient: Array
    scratch: Array
    state: list[Array]


def _spans(sizes: list[int], itemsize: int) -> list[tuple[int, int]]:
    """Where each parameter is: one after the other, each from the start of a cache line."""
    line = max(1, LINE // itemsize)
    found, start = [], 0
    for size in sizes:
        found.append((start, start + size))
        start = -(-(start + size) // line) * line
    return found


def _alike(g: Array, view: Array) -> bool:
    """Whether a gradient lies in memory as the view does, so that it need not be copied there."""
    return bool(g.strides == view.strides and g.dtype == view.dtype and g.flags.behaved)


class Flat:
    """Parameters of one group and one dtype, their gradients and their state, as flat arrays."""

    def __init__(self, parameters: list[Tensor], state: tuple[str, ...], settings: Settings):
        dtype = parameters[0].dtype
        self.parameters = parameters
        self.settings = settings
        self.spans = _spans([p.size for p in parameters], dtype.itemsize)
        size = self.spans[-1][1]
        self.values = aligned(size, dtype)
        self.gradient = aligned(size, dtype, 1)
        for (_, end), (start, _) in itertools.pairwise(self.spans):
            self.gradient[end:start] = 1  # updated as well, and no formula divides by it
        self.state: dict[str, Array] = {}
        self._cut: Any = None
        self._blocks: list[list[Block]] = []
        self.take_settings(state)
        self.steps = [0] * len(parameters)
        self.kind = str(dtype)
        self.scratch = aligned(min(2 * BLOCK, size), dtype, 2 + len(state))
        # 0.9**FORGET above the subnormal numbers; float16 has no room for that
        self.negligible = min(float(np.finfo(dtype).tiny) * 2**20, 1e-30)
        # of the parameters in memory; that of a copy's may be another, but not that of its state
        self.layouts = [layout_of(p.data) or tuple(range(p.ndim)) for p in parameters]
        self._make_views()

    def take_settings(self, state: tuple[str, ...]) -> None:
        """Note the settings as checked; they need state arrays of these names, zero at first."""
        if tuple(self.state) != state:
            self.state = {
                name: self.state[name]
                if name in self.state
                else aligned(len(self.values), self.values.dtype, 2 + i)
                for i, name in enumerate(state)
            }
            self._cut = None  # the blocks are of other arrays
        self.checked = dict(vars(self.settings))

    def _make_views(self) -> None:
        self.views = self.views_of(self.values)
        self.gradient_views = self.views_of(self.gradient)
        memory = memory_of(self.values)
        assert memory is not None  # it is NumPy's
        self.owner, self.base, _ = memory
        self._cut = None
        self.adopt()

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which a copy would turn into arrays of their own."""
        derived = ("views", "gradient_views", "owner", "base", "_blocks")
        return {name: value for name, value in vars(self).items() if name not in derived}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._make_views()

    def views_of(self, flat: Array) -> list[Any]:
        """Views of `flat` in the shape and the memory order of each parameter."""
        views = []
        for p, (start, end), layout in zip(self.parameters, self.spans, self.layouts, strict=True):
            view = flat[start:end].reshape([p.shape[i] for i in layout])
            views.append(view.transpose(np.argsort(layout)) if p.ndim > 1 else view)
        return views

    def adopt(self) -> None:
        """Make each parameter's array a view of the flat one, where it is not (any more)."""
        for p, view in zip(self.parameters, self.views, strict=True):
            if p._array is not view:
                np.copyto(view, p._array)
                p._array = view

    def gather(self, gradients: Sequence[Any]) -> list[Run]:
        """Count a step for each parameter that has a gradient, and say what is to be updated.

        A gradient as large as a block is read where it lies; smaller ones are gathered, unless they
        are the `gradient_views` already. A parameter without a gradient is left out: neither it nor
        its state changes.
        """
        runs: list[Run] = []
        start = end = step = 0  # the stretch whose gradient is in the flat array
        starts = [first for first, _ in self.spans[1:]]
        for i, (g, view) in enumerate(zip(gradients, self.gradient_views, strict=True)):
            if g is None:
                continue
            self.steps[i] += 1
            first, last = self.spans[i]
            if g is not view:  # not in the flat array already
                if last - first >= BLOCK and _alike(g, view):
                    in_memory_order = g.transpose(self.layouts[i]).reshape(-1)
                    runs.append(Run(first, last, self.steps[i], in_memory_order))
                    continue
                np.copyto(view, g)
            if first != end or self.steps[i] != step:
                if end > start:
                    runs.append(Run(start, end, step, None))
                start, step = first, self.steps[i]
            end = starts[i] if i < len(starts) else last  # with what is between this and the next
        if end > start:
            runs.append(Run(start, end, step, None))
        return runs

    def mark_changed(self, runs: list[Run], origin: Origin | None) -> None:
        """Say that the parameters of the runs were written to; `origin` is where, if known."""
        origin = origin or find_origin(1)
        base, size = self.base, self.values.itemsize
        for run in runs:
            mark_changed((self.owner, base + run.start * size, base + run.end * size), origin)

    def blocks(self, runs: list[Run], parts: int | None = None) -> list[list[Block]]:
        """The blocks of each run, of about one size; those of the last time where they fit.

        Instead of blocks, a number of parts may be asked for; short runs stay whole then.
        """
        cut = [(start, end) for start, end, _, _ in runs]
        if (cut, parts) != self._cut:
            self._cut = cut, parts
            self._blocks = [self._cut_run(start, end, parts) for start, end in cut]
        return self._blocks

    def _cut_run(self, start: int, end: int, parts: int | None) -> list[Block]:
        length = end - start
        if parts is None:
            parts = max(1, round(length / BLOCK))
        elif length < BLOCK:
            parts = 1
        lines = max(1, -(-length // (LINE * parts)))  # all blocks begin on a cache line
        size = lines * LINE
        found = []
        for first in range(0, length, size):
            last = min(first + size, length)
            part = slice(start + first, start + last)
            found.append(
                Block(
                    first,
                    last,
                    self.values[part],
                    self.gradient[part],
                    self.scratch[: last - first],
                    [array[part] for array in self.state.values()],
                )
            )
        return found

    def forget(self) -> None:
        """Set to zero the state that is about to become subnormal; for every FORGETth step.

        The state of a weight whose gradient stays zero (of a unit that died, say) decays to
        subnormal numbers and stays there, and processors are slow on those: a step of Adam on
        784-128-64-10 took 1.4 ms instead of 0.3 after five epochs of 6,000 images.
        """
        for array in self.state.values():
            for start in range(0, len(array), BLOCK):
                block = array[start : start + BLOCK]
                size = np.abs(block, out=self.scratch[: len(block)])
                block[size < self.negligible] = 0
