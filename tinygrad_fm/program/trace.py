"""Tracing: a step is run as it is, and everything it does to arrays is written down.

Arrays are known by identity: what an operation returned is looked up when it comes back as an
argument. So nothing has to be recorded in the graph, and what happens under `no_grad` is seen too.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Primitive, find_origin, line_of, quoted, state
from tinygrad_fm.engine.node import now
from tinygrad_fm.program.calls import is_written
from tinygrad_fm.program.values import Instruction, TraceError, Value, values_in
from tinygrad_fm.recorded import Recorded, make
from tinygrad_fm.rules.indexing import getitem, scatter_add
from tinygrad_fm.sharing import Share

# A function that does more than this inside is called as a whole.
OPENED_AT_MOST = 24
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)


class Trace:
    """The instructions of one run of a step, made by watching it.

    Args:
        earlier: an earlier trace of the step; None for the first.
        strict: whether to raise where a program cannot do the same, or only to note it.

    Attributes:
        failure: why there can be no program; empty as long as there can.
        instructions: in the order in which they ran.
        memory: the arrays that were not made by an operation, and written to.
        outside: weak references to the Tensors that no operation made, and that were read: those
            that are still there when the next trace begins live outside of the step.
        modules: those that were called.
    """

    def __init__(self, earlier: Trace | None = None, strict: bool = True) -> None:
        self.strict = strict
        self.failure = ""
        self.instructions: list[Instruction] = []
        self.modules: dict[int, Any] = {}
        self._gradients: dict[int, tuple[weakref.ref[Any], Value | None, bool]] = {}
        self.backward = False
        self._known: dict[int, tuple[Any, Value]] = {}  # by id: a way to the array, and its Value
        self._opening: list[Primitive] = []
        self._began = now()
        self.memory: list[Any] = [] if earlier is None else earlier.memory[:]
        self.outside: dict[int, Any] = {} if earlier is None else earlier.outside_now()
        self._again = earlier is not None
        for array in self.memory:
            self._learn(array, Value(array, "memory", array))
        for reference in self.outside.values():
            self.cell(reference())

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

    # ---- what is known of arrays -----------------------------------------------------------------

    def _learn(self, array: Any, value: Value) -> Value:
        key = id(array)

        def forget(_: Any) -> None:
            found = self._known.get(key)
            if found is not None and found[0] is reference:
                del self._known[key]

        reference = weakref.ref(array, forget)
        self._known[key] = reference, value
        return value

    def input(self, array: Any, path: str) -> Value:
        """An argument of the step."""
        return self._learn(array, Value(array, "input", path))

    def cell(self, tensor: Any) -> None:
        """A Tensor that lives outside of the step, whose array is read at each call."""
        found = self._known.get(id(tensor._array))
        if found is None or found[0]() is not tensor._array:
            self._learn(tensor._array, Value(tensor._array, "cell", tensor))

    def outside_now(self) -> dict[int, Any]:
        """Those of `outside` that are still there."""
        return {key: found for key, found in self.outside.items() if found() is not None}

    def reads(self, values: Iterable[Any]) -> None:
        """Tensors among these are read; those that no operation made may live outside."""
        for value in values:
            if isinstance(value, Recorded) and not self.is_traced(value._array):
                self.outside[id(value)] = weakref.ref(value)

    def value_of(self, array: Any) -> Value:
        """What stands for this array; a constant for one that was not seen before."""
        found = self._known.get(id(array))
        if found is not None and found[0]() is array:
            return found[1]
        return self._learn(array, Value(array, "constant", array))

    def is_traced(self, array: Any) -> bool:
        """Whether the array's numbers depend on the arguments, or on what lives outside."""
        found = self._known.get(id(array))
        return found is not None and found[0]() is array and found[1].root.kind != "constant"

    def _operand(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.value_of(value)
        if type(value) in (tuple, list):
            return type(value)(self._operand(part) for part in value)
        return value

    def is_own(self, tensor: Any) -> bool:
        """Whether the step made this Tensor's array, and nothing else refers to it."""
        array = tensor._array
        if type(tensor._memory) is Share:
            return False  # parts of it are to follow
        alone = array.base is None and sys.getrefcount(tensor._array) <= _SOLE + 1
        return alone and self.is_traced(array) and self.value_of(array).root.kind == "result"

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
                f"x[mask] in a compiled step, at {quoted(self._line())}: the numbers decide how "
                "many elements that has, and a program's arrays keep their shapes. Write "
                "np.where(mask, x, 0), or np.sum(x * mask)"
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
        made.line = self._line()
        self.instructions.append(made)

    def _line(self) -> str:
        scope = state.mode.scope
        return line_of((scope and scope.origin) or find_origin(4))

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
        for reference, value in list(self._known.values()):
            seen = reference()
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
            self.touch(p)
            if p._grad is not None:
                pairs.append((p, self.value_of(p._grad._array)))
        made = Instruction("update", type(optimizer).__name__, optimizer, (pairs,), {}, True)
        self._append(made)
        buffers = {}
        for p, _ in pairs:
            self.cell(p)  # the optimizer may have moved it into its own buffer
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

    def touch(self, tensor: Any, read: bool = True) -> None:
        """Before `.grad` of a Tensor is read, or else replaced."""
        touched = self._gradients.get(id(tensor))
        if touched is None or touched[0]() is not tensor:
            known = self._known.get(id(tensor._array))
            if known is not None and known[1].root.kind in ("input", "result"):
                return  # a Tensor of the step's own
            value = None
            if tensor._grad is not None:
                array = tensor._grad._array
                value = self._learn(array, Value(array, "gradient", tensor))
            self._gradients[id(tensor)] = weakref.ref(tensor), value, read

    def touched(self) -> list[tuple[Any, Value | None, bool]]:
        """The Tensors whose `.grad` was touched, what it was before, and whether that was read.

        After a call, those are left that live outside.
        """
        found = [(tensor(), value, read) for tensor, value, read in self._gradients.values()]
        return [each for each in found if each[0] is not None]

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
    "t.item()": "return the Tensor, and take its number outside",
    "float(t)": "use NumPy's functions in place of math's, and return what you want to look at",
}


class _Holder:
    __slots__ = ("_array",)


_held = _Holder()
_held._array = np.empty(0)  # type: ignore[attr-defined]
_SOLE = sys.getrefcount(_held._array)  # type: ignore[attr-defined]  # of an array that only a Tensor holds


def _same(a: Any, b: Any) -> bool:
    """Whether two arrays agree in every bit, and lie in memory in one order."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and (a.size < 2 or a.strides == b.strides)
        and bool(a.tobytes() == b.tobytes())
    )
