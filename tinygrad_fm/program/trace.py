"""Tracing: a step is run as it is, and everything it does to arrays is written down."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Origin, Primitive, find_origin, line_of, quoted, state
from tinygrad_fm.engine.node import now
from tinygrad_fm.program.arrays import Arrays
from tinygrad_fm.program.calls import is_written
from tinygrad_fm.program.values import Instruction, TraceError, Value, values_in
from tinygrad_fm.recorded import Recorded, make
from tinygrad_fm.rules.indexing import getitem, scatter_add

# A function that does more than this inside is called as a whole.
OPENED_AT_MOST = 24
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)


class Trace(Arrays):
    """The instructions of one run of a step, made by watching it.

    Args:
        earlier: an earlier trace of the step; None for the first.
        strict: whether to raise where a program cannot do the same, or only to note it.

    Attributes:
        failure: why there can be no program; empty as long as there can.
        instructions: in the order in which they ran.
        modules: those that were called.
    """

    def __init__(self, earlier: Trace | None = None, strict: bool = True) -> None:
        self.strict = strict
        self.failure = ""
        self.instructions: list[Instruction] = []
        self.modules: dict[int, Any] = {}
        self.backward = False
        self._opening: list[Primitive] = []
        self._began = now()
        self._again = earlier is not None
        super().__init__(earlier)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Write down what this thread does."""
        mode = state.mode
        before = mode.observer, mode.trace
        mode.observer = mode.trace = self
        try:
            yield
        finally:
            mode.observer, mode.trace = before

    @contextlib.contextmanager
    def backward_pass(self) -> Iterator[None]:
        """What is written down in this block belongs to a backward pass."""
        before, self.backward = self.backward, True
        try:
            yield
        finally:
            self.backward = before

    # ---- what happens ----------------------------------------------------------------------------

    def called(self, module: Any) -> None:
        """Before a module's `forward`: its parameters and buffers are read at each call."""
        self.modules[id(module)] = module
        if state.mode.scope.outer is None:
            for _, tensor in (*module.named_parameters(), *module.named_buffers()):
                self.cell(tensor)

    def failed(self, error: BaseException, what: Any, values: Any) -> None:
        """Nothing to write down: the error ends the trace."""

    def computed(
        self, primitive: Primitive, values: Any, keywords: dict[str, Any], result: Any, node: Any
    ) -> None:
        """After an operation."""
        if primitive is engine.assign:
            return  # `assigned` was told more
        if node is not None:
            for parent, value in zip(node.inputs, values, strict=False):
                owner = getattr(parent, "owner", None)
                owner = owner() if owner is not None else None
                if owner is not None and owner._array is value and parent.serial < self._began:
                    self.cell(owner)
        args, named = self._operand(tuple(values)), self._operand_of(keywords)
        draws = any(isinstance(v, GENERATORS) for v in (*values, *keywords.values()))
        operands = list(values_in((args, tuple(named.values()))))
        results = result if primitive.multiple else (result,)
        arrays = [v for v in values if isinstance(v, np.ndarray)]
        bases = [self._base(part, arrays) for part in results]
        fixed = not draws and all(value.root.kind == "constant" for value in operands)
        if fixed and not any(bases):
            return  # the result is a constant as well
        if any(result is value for value in values):
            return  # the very array that came in
        if not draws and self._open(primitive, values, keywords, result):
            return
        if primitive in (getitem, scatter_add) and any(map(self._is_mask, values[1:])):
            self._fail(
                f"x[mask] in a compiled step, at {quoted(line_of(self._origin()))}: the numbers "
                "decide how many elements that has, and a program's arrays keep their shapes. "
                "Write np.where(mask, x, 0), or np.sum(x * mask)"
            )
        made = Instruction("call", primitive.name, primitive.function, args, named, draws)
        made.primitive, made.several = primitive, primitive.multiple
        self._append(made)
        for part, base in zip(results, bases, strict=True):
            made.results.append(self._learn(part, Value(part, "result", None, made, base)))

    def _is_mask(self, part: Any) -> bool:
        is_mask = isinstance(part, np.ndarray) and part.dtype == np.bool_ and part.ndim > 0
        return is_mask and self.is_traced(part)

    def _operand_of(self, keywords: dict[str, Any]) -> dict[str, Any]:
        return {name: self._operand(value) for name, value in keywords.items()}

    def _append(self, made: Instruction) -> None:
        made.scope = "" if state.mode.scope is None else state.mode.scope.path()
        made.backward = self.backward
        made.origin = self._origin()
        self.instructions.append(made)

    def _origin(self) -> Origin | None:
        scope = state.mode.scope
        return (scope and scope.origin) or find_origin(4)

    def _base(self, result: Any, arrays: list[Any]) -> Value | None:
        """What the result is a view of, if it is one."""
        if result.base is None:
            return None
        for array in arrays:
            if np.may_share_memory(result, array):
                return self.value_of(array)
        return None

    def _open(
        self, primitive: Primitive, values: Any, keywords: dict[str, Any], result: Any
    ) -> bool:
        """Write down what a function does inside, if it is NumPy on Tensors and gives the same."""
        function = primitive.function
        if primitive.multiple or not inspect.isfunction(function) or is_written(function):
            return False
        if primitive in self._opening:
            return False
        before, written = len(self.instructions), len(self.memory)
        wrapped = [make(v, None) if isinstance(v, np.ndarray) else v for v in values]
        mode = state.mode
        recording, mode.recording = mode.recording, False
        self._opening.append(primitive)
        try:
            answer = function(*wrapped, **keywords)
        except Exception:  # it looks at numbers, or calls what does not know Tensors
            answer = None
        finally:
            mode.recording = recording
            self._opening.pop()
        inside = self.instructions[before:]
        if (
            isinstance(answer, Recorded)
            and self.is_traced(answer._array)
            and 0 < len(inside) <= OPENED_AT_MOST
            and all(i.kind == "call" and not i.ordered for i in inside)
            and _same(answer._array, result)
        ):
            self._learn(result, self.value_of(answer._array))
            return True
        del self.instructions[before:], self.memory[written:]
        return False

    def assigns(self, array: Any) -> None:
        """Before an array is written to in place."""
        root = self.value_of(array).root
        if root.kind != "constant":
            return
        if self._opening:
            raise TraceError("a function that fills arrays of its own is called as a whole")
        before = np.copy(root.holds, order="K")
        if not self._again:  # the next trace will tell whether it meets this array again
            self.memory.append(root.holds)
        else:  # the step made it in this call: so it does in every call
            made = Instruction(
                "call", "copy", np.copy, (Value(before, "constant", before),), {}, True
            )
            made.results.append(root)
            root.kind, root.source = "result", made
            self.instructions.insert(0, made)
        root.holds = before

    def assigned(self, array: Any, parts: tuple[Any, ...] | None, value: Any) -> None:
        """After `array[parts] = value`, or of the whole array where `parts` is empty.

        Raises:
            TraceError: it is not known what was written.
        """
        if parts is None:
            self._fail(
                f"a compiled step changed an array in place in a way that it cannot repeat, at "
                f"{quoted(line_of(find_origin(2)))}; write x[i] = value or x += value"
            )
            return
        target = self.value_of(array)
        operands = (target, self._operand(parts), self._operand(value))
        made = Instruction("assign", "assign", np.copyto, operands, {}, True)
        self._append(made)
        self._rewritten(array, made)

    def _rewritten(self, array: Any, by: Instruction) -> None:
        """Everything that lies in the memory of `array` has new numbers."""
        found = [(reference(), value) for reference, value in self._known.values()]
        found.sort(key=lambda pair: pair[1].number)  # that of arrays may be another in each call
        for seen, value in found:
            if seen is not None and (seen is array or np.may_share_memory(seen, array)):
                new = Value(seen, "result", None, by, value, rewritten=True)
                self._learn(seen, new)
                by.results.append(new)

    def check(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """A function that looks at numbers and raises where they are wrong."""
        operands = self._operand(args)
        if any(value.root.kind != "constant" for value in values_in(operands)):
            made = Instruction("check", function.__name__, function, operands, {}, True)
            self._append(made)

    def updated(self, optimizer: Any) -> None:
        """After an optimizer's step."""
        pairs = []
        for p in optimizer.parameters:
            self.cell(p, moved=True)
            self.touch(p)
            if p._grad is not None:
                pairs.append((p, self.value_of(p._grad._array)))
        made = Instruction("update", type(optimizer).__name__, optimizer, (pairs,), {}, True)
        self._append(made)
        buffers = {}
        for p, _ in pairs:
            base = p._array if p._array.base is None else p._array.base
            buffers[id(base)] = base
        for base in buffers.values():  # a few, where the parameters may be thousands
            self._rewritten(base, made)

    def sets(self, name: str) -> None:
        """Before a setting of an optimizer is changed.

        Raises:
            TraceError: always, as a program only updates.
        """
        self._fail(
            f"a compiled step sets {name} of an optimizer, at {quoted(line_of(find_origin(2)))}: "
            "its program would not; set it before the call"
        )

    def paths(self) -> dict[int, str]:
        """By id, what the parameters and buffers are called in the modules that hold them."""
        found: dict[int, str] = {}
        for module in self.modules.values():  # the outermost are called first
            for path, tensor in (*module.named_parameters(), *module.named_buffers()):
                found.setdefault(id(tensor), path)
        return found

    def output(self, leaf: Any) -> Any:
        """What stands for a part of the step's result: a Value, or a plain value as it is.

        Raises:
            TraceError: it is something that a program cannot make anew.
        """
        if isinstance(leaf, Recorded):
            return self.value_of(leaf._array)
        if isinstance(leaf, np.ndarray):
            return self.value_of(leaf)
        return leaf

    def _fail(self, why: str) -> None:
        if self.strict or self._opening:
            raise TraceError(why)
        self.failure = self.failure or why

    def left(self, tensor: Any, how: str) -> None:
        """A Tensor's numbers are asked for as Python values.

        Raises:
            TraceError: they depend on the arguments.
        """
        if self.is_traced(tensor._array):
            where = quoted(line_of(find_origin(2))).removesuffix(":")
            advice = _INSTEAD.get(how, "use NumPy's functions; return what you want to look at")
            self._fail(
                f"{how} of {tensor._describe()} in a compiled step, at {where}: every later call "
                f"would use the number of this one; {advice}"
            )
        self.reads((tensor,))


_INSTEAD = {
    "the truth value": "write np.where(condition, a, b) in place of if",
    "t.data": (
        "write t.detach() for the values, and `with tg.no_grad(): p -= 0.1 * p.grad` to change a "
        "parameter"
    ),
    "Tensor(t)": "write t itself, or t.detach(), which may be followed by .requires_grad_()",
    "t.item()": "return the Tensor, and take its number outside",
    "float(t)": "use NumPy's functions in place of math's, and return what you want to look at",
}


def _same(a: Any, b: Any) -> bool:
    """Whether two arrays agree in every bit, and lie in memory in one order."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and (a.size < 2 or a.strides == b.strides)
        and bool(a.tobytes() == b.tobytes())
    )
