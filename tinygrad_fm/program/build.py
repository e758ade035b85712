"""From a trace to a program that runs: passes, memory, text, and the code compiled from it."""

from __future__ import annotations

import contextlib
import functools
import linecache
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.program import calls, chains, passes, updates
from tinygrad_fm.program.emit import Text
from tinygrad_fm.program.guard import Guards
from tinygrad_fm.program.opened import opened
from tinygrad_fm.program.plan import Plan, size
from tinygrad_fm.program.trace import Trace
from tinygrad_fm.program.values import Instruction, Value, values_in
from tinygrad_fm.recorded import as_array, make
from tinygrad_fm.trees import leaves, map_tree, rebuild


class Traced:
    """A trace with what went in and what came out of it.

    Attributes:
        result: a tree of the form of what the step returned, without its arrays and their graph.
        outputs: for each leaf of the result: a Value, or a plain Python value.
        gradients: `.grad` of these Tensors afterwards: a Value, or None.
        cells: the Tensors whose arrays are read or written.
        shared: whether threads have shared products in it.
        one_each: whether it was traced where the matrix library has one thread.
        writes: whether it writes into an argument.
    """

    def __init__(
        self,
        trace: Trace,
        inputs: dict[Value, str],
        result: Any,
        function: Callable[..., Any],
        shared: bool,
        one_each: bool,
    ):
        self.shared = shared
        self.one_each = one_each
        self.writes = any(
            i.kind == "assign" and i.args[0].root.kind == "input" for i in trace.instructions
        )
        self.trace = trace
        self.inputs = inputs
        self.result = map_tree(lambda _: None, result)  # its form; Tensors would keep their graph
        self.outputs = [trace.output(leaf) for leaf in leaves(result)]
        self.gradients: list[tuple[Any, Value | None]] = []
        for tensor, before, _ in trace.touched():
            after = None if tensor._grad is None else trace.value_of(tensor._grad._array)
            if after is not before or after is None:
                self.gradients.append((tensor, after))
        wanted = (self.outputs, [g for _, g in self.gradients])
        used = {v.root for v in values_in(wanted)}
        used |= {v.root for i in trace.instructions for v in i.operands}
        self.cells = list({id(v.holds): v.holds for v in used if v.kind == "cell"}.values())
        self.guards = Guards(trace, function, self.cells)

    @functools.cached_property
    def instructions(self) -> list[Instruction]:
        """Those of the trace, with means and variances taken apart."""
        return opened(self.trace.instructions)


class Program:
    """Readable NumPy that does what the step did, and what belongs to it.

    Attributes:
        source: of the whole program, with its buffers.
        worth: how many elements its chains have, as `fast.ready` counts them.
        bytes: of the buffers.
        instructions: those that are left.
        removed: how many instructions each pass has removed.
    """

    def __init__(self, traced: Traced, name: str, fused: bool = False):
        self.name = name
        paths = traced.trace.paths()
        self.traced = traced
        before = traced.instructions
        merged, stands = passes.merge(before)
        self._outputs = [stands.get(v, v) if isinstance(v, Value) else v for v in traced.outputs]
        gradients = [
            (tensor, None if g is None else stands.get(g, g)) for tensor, g in traced.gradients
        ]
        wanted = [v for v in (*self._outputs, *(g for _, g in gradients)) if isinstance(v, Value)]
        self.instructions = passes.needed(merged, wanted)
        self.removed = {
            "more inside means and variances": len(before) - len(traced.trace.instructions),
            "computed twice": len(before) - len(merged),
            "not used": len(merged) - len(self.instructions),
        }
        arrays = [v for v in self._outputs if isinstance(v, Value)]
        updated = updates.updated(self.instructions)
        held = {
            id(t): updated[id(t)]
            for t, g in gradients
            if id(t) in updated and updated[id(t)][0] is g
        }
        loose = [(t, g) for t, g in gradients if g is not None and id(t) not in held]
        fresh = [*arrays, *(g for _, g in loose)]
        outside = updates.in_place(self.instructions)
        self.worth = chains.worth(self.instructions)
        steps = self.instructions
        self.outer = updates.OuterProducts()
        if fused:
            self.outer = updates.OuterProducts(steps, outside, fresh)
            steps = chains.fused(steps, wanted, fresh, outside)
        self._one_each = traced.shared  # whether the matrix library is to have one thread
        if traced.shared or traced.one_each:
            steps, before = list(map(calls.shared, steps)), steps
            self._one_each |= steps != before
        self.plan = Plan(steps, fresh, outside)
        text = Text(self.plan, self.outer, name, traced.inputs, paths)
        for instruction in steps:
            text.add(instruction)
        text.returned(fresh)
        self.text = text
        self._count = len(arrays)
        self._loose = [tensor for tensor, _ in loose]
        self._none = [tensor for tensor, g in gradients if g is None]
        factors = self.outer.by_parameter
        ours = [t for t, _ in gradients if id(t) in held]
        self._factors = [(t, factors[id(t)]) for t in ours if id(t) in factors]
        self._views = [(t, make(held[id(t)][1], None)) for t in ours if id(t) not in factors]
        simple = all(isinstance(output, Value) for output in self._outputs)
        self._is_value = simple and traced.result is None
        self._is_tuple = simple and traced.result == (None,) * len(self._outputs)
        self._inputs = list(traced.inputs.values())
        self._before = [v for v in _used(self.instructions, arrays, loose) if v.kind == "gradient"]
        self._copied = updates.overwritten(self.instructions, self.plan.outside, fresh)
        self._inputs += [text.name(v) for v in self._before]
        self.bytes = self.plan.bytes
        self.source = self._source()
        file = f"<{name}, compiled>"
        self._code = compile(self.source, file, "exec")
        lines = self.source.splitlines(keepends=True)
        linecache.cache[file] = len(self.source), None, lines, file  # for tracebacks
        self._cells = list(text.cells.items())
        self._ready: list[Workspace] = []
        ordered = any(i.ordered for i in self.instructions)
        self._lock: Any = threading.RLock() if ordered else contextlib.nullcontext()

    def _source(self) -> str:
        lines = [
            f'"""{self.name}, compiled: {len(self.instructions)} operations, '
            f'{size(self.bytes)} of buffers."""',
            "import numpy as np",
            "",
        ]
        lines += [kernel for kernel, *_ in self.text.kernels.values()]
        lines += [*self.text.prelude, "", ""] if self.text.prelude else [""]
        return "\n".join(lines) + self.text.function(self.name, self._inputs)

    def with_kernels(self) -> Program:
        """The same with its chains in kernels, which are not compiled yet."""
        made = Program(self.traced, self.name, fused=True)
        made._lock = self._lock
        return made

    def prepare(self) -> None:
        """Do now what the first call would have to wait for: buffers, and compiled kernels."""
        self._ready.append(Workspace(self))

    def run(self, arrays: Sequence[Any]) -> Any:
        """The result for these arguments, and everything that the step does besides."""
        if self._before:
            before = [(value, value.holds._grad._array) for value in self._before]
            arrays = [*arrays, *(np.copy(a) if v in self._copied else a for v, a in before)]
        with self._lock:
            try:
                workspace = self._ready.pop()
            except IndexError:
                workspace = Workspace(self)
            for tensor, array in workspace.reads:
                if tensor._array is not array:
                    workspace = Workspace(self)
                    break
            try:
                if self._one_each:
                    with threads.one_each():
                        found = workspace.step(*arrays)
                else:
                    found = workspace.step(*arrays)
            finally:
                self._ready.append(workspace)
        for tensor, view in self._views:
            tensor._grad = view
        for tensor, factors in self._factors:
            tensor._grad = factors.gradient()
        for tensor in self._none:
            tensor._grad = None
        if self._loose:
            for tensor, array in zip(self._loose, found[self._count :], strict=True):
                tensor._grad = make(as_array(array), None)
        if self._is_value:  # these two without taking a tree apart, which takes microseconds
            return make(as_array(found[0]), None)
        if self._is_tuple:
            return tuple([make(as_array(array), None) for array in found[: self._count]])
        made = iter(found)
        return rebuild(
            self.traced.result,
            [
                make(as_array(next(made)), None) if isinstance(o, Value) else o
                for o in self._outputs
            ],
        )


class Workspace:
    """Buffers of a program, for one thread at a time, and the function that works in them.

    Attributes:
        reads: the Tensors that it reads, each with its array, which the function was made with.
    """

    def __init__(self, program: Program):
        self.reads = [(tensor, tensor._array) for _, tensor in program._cells]
        names = {name: tensor._array for name, tensor in program._cells}
        namespace = {**program.text.given, **names}
        exec(program._code, namespace)
        for name, (_, kernel, arguments) in program.text.kernels.items():
            steady = [namespace.get(argument) for argument in arguments]
            namespace[name] = kernel.compiled(steady)  # in place of the same loops in Python
        self.step: Callable[..., tuple[Any, ...]] = namespace[program.name]


def _used(instructions: list[Instruction], *more: Any) -> list[Value]:
    found = {v.root: None for i in instructions for v in i.operands}
    found |= {v.root: None for v in values_in(more)}
    return list(found)
