"""tg.compile: a step that is traced twice, and from then on is a program."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm import fast, threads
from tinygrad_fm.engine import state
from tinygrad_fm.program.arguments import Call, identifier, names
from tinygrad_fm.program.build import Program, Traced
from tinygrad_fm.program.compare import difference
from tinygrad_fm.program.explain import explain
from tinygrad_fm.program.export import export
from tinygrad_fm.program.trace import Trace
from tinygrad_fm.program.values import TraceError
from tinygrad_fm.recorded import Recorded, make
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.trees import leaves, rebuild

# Programs are kept for so many signatures, and for so many states of what guards look at.
SIGNATURES, STATES = 32, 8


def compile(step: Callable[..., Any]) -> Compiled:
    """A function that does what `step` does, as a program of NumPy calls made from it.

        @tg.compile
        def step(x, y):
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

    The first two calls run the step as it is, while everything it does to arrays is written down,
    and must agree (three calls, where the first finds Tensors in use that are neither arguments nor
    parameters); from then on a program runs: the same calls of NumPy, forward, backward and
    update, without what is not needed, in memory that is planned once. Other shapes or dtypes,
    another mode of a module, a parameter that is frozen, make another program.

    With the extra `fast`, chains of element-wise calls become loops that Numba compiles, as soon as
    that pays (see tinygrad_fm.fast), and so do gradients that are a column times a row, with the
    update that is all they go into. The numbers stay the same to the last bit; only NumPy's
    warnings and errors of an overflow or a division by zero are not given there. Where several
    threads share convolutions, and in `train.fit` with the extra `threads`, small products of a
    program are by one thread and large ones are shared: they may have another last digit than in
    the step as it is, which leaves them to the threads of the matrix library.

    Args:
        step: a function of arrays (also in tuples, lists and dictionaries) and plain values, which
            inside are Tensors. It may read and change Tensors from outside, such as parameters,
            their gradients and running statistics, draw from generators, and update optimizers.
            Plain arrays from outside, and what Python computes from them, stay as they were, and so
            do containers of more than 64 items. Arguments share no memory with parameters that it
            changes. What it does beside arrays, such as printing, is done in the first two calls
            only; where a call ends in an error, every `.grad` is as it was before.

    Returns:
        a function with `source`, `explain()` and `export()`. What it returns are arrays of their
        own, as Tensors without a graph. `.grad` of a parameter that an optimizer updates is
        afterwards a view of the optimizer's buffer, which the next call overwrites; that of a
        matrix at a batch of one may be computed only when it is looked at, and stays.

    Raises (when called):
        TraceError: the step looks at the numbers of a Tensor (an `if`, `.item()`, `.data`), or does
            something else in the second call than in the first; the message names the line.
    """
    if not callable(step):
        raise TypeError(f"compile takes a function, not {step!r:.60}; write tg.compile(step)")
    return Compiled(step)


class Compiled:
    """See `compile`.

    Args:
        step: a function of arrays.
        strict: False runs a step that cannot be compiled as it is, and says why in `failure`.

    Attributes:
        step: the function as it was given.
        failure: why it is not compiled; empty as long as it is, or may be.
    """

    def __init__(self, step: Callable[..., Any], strict: bool = True):
        self.step = step
        self.failure = ""
        self._strict = strict
        name = getattr(step, "__name__", "")
        self._name = identifier(name) if name.isidentifier() else "step"
        self._entries: OrderedDict[Any, list[_Entry]] = OrderedDict()
        self._newest: _Entry | None = None
        functools.update_wrapper(self, step, updated=())

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """What the step returns for these arguments."""
        mode = state.mode
        newest = self._newest
        if newest is not None and mode.trace is None and mode.observer is None and not keywords:
            ready = newest.ready(args)
            if ready is not None:
                return ready.run(args)
        call = Call(args, keywords)
        if mode.trace is not None or mode.observer is not None or call.recorded or self.failure:
            # inside another program, under somebody's eyes, to be differentiated from outside
            return self.step(*args, **keywords)
        try:
            entries = self._entries.get(call.signature)
        except TypeError:
            raise call.refusal() from None
        for entry in entries or ():
            if not entry.traced.guards.broken():
                if entry.program is not None:
                    if entry.traced.writes and call.overlaps():  # the order matters then
                        return self._as_it_is(call)
                    self._newest = entry
                    if entry.waiting:
                        entry.count()
                    return entry.program.run(call.arrays)
                return self._second(entry, call)
        return self._first(call)

    def _first(self, call: Call) -> Any:
        traced, result = self._trace(call)
        self.failure = traced.trace.failure
        entries = self._entries.setdefault(call.signature, [])
        entries.append(_Entry(traced))
        full: dict[Any, list[_Entry]] = self._entries
        changed = "its arguments"
        if len(entries) > STATES:
            del entries[0]
            full, changed = {call.signature: entries}, entries[-2].traced.guards.broken()
        elif len(full) > SIGNATURES:
            self._entries.popitem(last=False)
        else:
            return result
        if not any(entry.program for entries in full.values() for entry in entries):
            self.failure = (
                f"{changed} changed from call to call, so that each was traced and none ran as a "
                "program; hand in numbers that change as arrays"
            )
        return result

    def _second(self, entry: _Entry, call: Call) -> Any:
        if not entry.again and not entry.traced.guards.has_leaves():  # the order of sums may change
            entry.traced, result = self._trace(call)
            entry.again = True
            return result
        trace = entry.traced.trace
        taken = trace.memory or trace.outside_now()  # for constants
        traced, result = self._trace(call, trace)
        if taken and not entry.again:  # look once more, now that it is known
            entry.traced, entry.again = traced, True
            return result
        different = traced.trace.failure or difference(entry.traced, traced)
        if different and self._strict:
            raise TraceError(f"{self._name} cannot be compiled: {different}")
        if different:
            self.failure = different
            return result
        entry.traced = traced
        entry.program = Program(traced, self._name)
        entry.waiting = entry.program.worth
        entry.kinds = [] if traced.writes else call.plain
        self._newest = entry
        return result

    def _trace(self, call: Call, earlier: Trace | None = None) -> tuple[Traced, Any]:
        """Run the step while it is watched."""
        trace = Trace(earlier, self._strict)
        called = names(self.step, call)
        given, inputs = [], {}
        rest = iter(call.arrays)
        for value, name in zip(call.values, called, strict=True):
            if isinstance(value, (Recorded, np.ndarray)):
                array = next(rest)[...]  # an object of its own, should one array come in twice
                inputs[trace.input(array, name)] = name
                value = Tensor(array)
            given.append(value)
        args, keywords = rebuild((call.args, call.keywords), given[:])
        before = threads.times_shared()
        with trace.watching():
            result = self.step(*args, **keywords)
        shared = threads.times_shared() != before
        traced = Traced(trace, inputs, result, self.step, shared, threads.is_one_each())
        return traced, _copied(result)

    def _as_it_is(self, call: Call) -> Any:
        rest = iter(call.arrays)
        given = [
            Tensor(next(rest)) if isinstance(value, (Recorded, np.ndarray)) else value
            for value in call.values
        ]
        args, keywords = rebuild((call.args, call.keywords), given)
        return _copied(self.step(*args, **keywords))

    def __reduce__(self) -> Any:
        """A copy traces anew: a program belongs to the very parameters it was made with."""
        return type(self), (self.step, self._strict)

    def __get__(self, owner: Any, kind: Any = None) -> Compiled:
        """Refuse to be a method, which would lose `self`."""
        if owner is not None:
            raise TypeError(
                f"@tg.compile does not go with methods; write self.{self._name} = "
                f"tg.compile(self.{self._name}) in __init__ of {type(owner).__name__}"
            )
        return self

    @property
    def program(self) -> Program:
        """The program that ran last.

        Raises:
            ValueError: there is none yet.
        """
        if self.failure:
            raise ValueError(f"{self._name} is not compiled: {self.failure}")
        if self._newest is None or self._newest.program is None:  # none was made
            raise ValueError(
                f"{self._name} has no program yet: the first two calls with arguments of one kind "
                "trace it, the second makes the program"
            )
        return self._newest.program

    @property
    def source(self) -> str:
        """The program that ran last, as Python."""
        return self.program.source

    def explain(self) -> str:
        """Of the program that ran last: what passes removed, memory, FLOPs, constants, effects."""
        return explain(self.program)

    def export(self, path: Any) -> Path:
        """Write the program that ran last as a script that needs NumPy alone.

        Convolutions are the sum itself there, whatever their method: their results are the same up
        to the errors that `functional.conv2d` tells.

        Args:
            path: ends in .py; the parameters and the state of optimizers and generators, as they
                are now, go into a file beside it that ends in .npz.

        Returns:
            the path. Importing it gives the function, which returns a tuple of plain arrays; it
            takes arrays of the shapes and dtypes of the program, and refuses others.

        Raises:
            ExportError: it calls functions of other libraries. ValueError: another ending.
            FileNotFoundError: there is no such folder.
        """
        return export(self.program, path)


def _copied(result: Any) -> Any:
    """A result with Tensors of their own, without a graph."""
    own = [make(np.copy(v._array), None) if isinstance(v, Recorded) else v for v in leaves(result)]
    return rebuild(result, own)


class _Entry:
    """A step as traced under some guards, and after the second trace its program.

    Attributes:
        waiting: what a call saves with chains in kernels, until the program has them.
        kinds: shape and dtype of each argument, where all are plain arrays in C order.
    """

    def __init__(self, traced: Traced):
        self.traced = traced
        self.again = False  # whether what lives outside made another trace necessary
        self.program: Program | None = None
        self.waiting = 0
        self.kinds: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        self._fused: Program | None = None
        self._left = 0

    def ready(self, args: tuple[Any, ...]) -> Program | None:
        """The program, if it is seen at a glance that it fits: what it does takes microseconds."""
        kinds = self.kinds
        if self.waiting or not kinds or len(args) != len(kinds):
            return None
        for value, (shape, dtype) in zip(args, kinds):  # noqa: B905  (strict costs on the hot path)
            if type(value) is not np.ndarray or value.dtype is not dtype or value.shape != shape:
                return None
            flags = value.flags
            if not flags.c_contiguous or not flags.aligned:
                return None
        return None if self.traced.guards.broken() else self.program

    def count(self) -> None:
        """Count a call, and take the program with kernels when they are worth their compilation."""
        if not fast.ready(self.waiting) or self.program is None:
            if fast.never():
                self.waiting = 0
            return
        if self._fused is None:
            self._fused = self.program.with_kernels()
            self._left = sum(kernel.cost() for _, kernel, _ in self._fused.text.kernels.values())
        self._left -= self.waiting
        if self._left < 0:
            self.waiting = 0
            try:
                self._fused.prepare()
            except Exception as error:  # a version of Numba, say, that does not do what others do
                warnings.warn(
                    f"{self.program.name} goes on with NumPy's calls, as its chains could not be "
                    f"compiled: {error}",
                    RuntimeWarning,
                    stacklevel=4,
                )
            else:
                self.program = self._fused
