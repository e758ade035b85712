"""The text of a program: readable NumPy, which is what runs."""

from __future__ import annotations

import keyword
import re
from typing import Any

import numpy as np

from tinygrad_fm.program.calls import (
    check_shape,
    expression,
    function_name,
    is_called_by_name,
    is_foreign,
    literal,
    subscript,
    takes_out,
)
from tinygrad_fm.program.elements import is_flat, memory_order
from tinygrad_fm.program.kernels import Kernel
from tinygrad_fm.program.plan import LINE, Plan
from tinygrad_fm.program.updates import OuterProducts, gradient_views
from tinygrad_fm.program.values import Instruction, Value, c_strides

# Names that a program uses itself, besides those of its function and its arguments.
RESERVED = {"np", "memory", "slice", "bool", "int", "float"}
RESERVED |= {"arrays", "kept", "Path", "SimpleNamespace", "math"}  # in a script
RESERVED |= {"file", "allow_pickle"}  # in np.savez, which writes its arrays


class Text:
    """The source of a program, and the objects that its names stand for.

    Attributes:
        given: by name, what the source does not make itself: parameters, constants, functions.
        cells: by name, the Tensors whose arrays are among them.
        updates: by name, the repeated steps of optimizers among them.
        prelude: what is done once for each set of buffers: allocations, and views of what stays.
        body: what is done at each call.
        result: the names of what is returned.
        kernels: by name, a chain's loops as text, the Kernel, and the names of its arguments.
        taken: the names that it has, or may not have.
    """

    def __init__(
        self,
        plan: Plan,
        outer: OuterProducts,
        name: str,
        inputs: dict[Value, str],
        paths: dict[int, str],
    ):
        self.given: dict[str, Any] = {}
        self.cells: dict[str, Any] = {}
        self.updates: dict[str, Any] = {}
        self.prelude: list[str] = []
        self.body: list[str] = []
        self.result: list[str] = []
        self.kernels: dict[str, tuple[str, Kernel, list[str]]] = {}
        self._plan = plan
        self._outer = outer
        self._paths = paths
        self._names: dict[Value, str] = dict(inputs)
        self._steady: dict[Value, str] = {}  # the names of what is the same array at each call
        self.taken = {*RESERVED, name, "step", *inputs.values()}
        self._objects: dict[int, str] = {}
        self._hoisted: dict[str, str] = {}
        self._buffers: dict[tuple[Any, ...], str] = {}
        self._count = 0
        self._heading: tuple[str, bool] | None = None
        if plan.bytes:
            self.prelude += [
                f"memory = np.empty({plan.bytes + LINE}, np.uint8)",
                f"memory = memory[-memory.ctypes.data % {LINE}:]",
            ]

    # ---- names -----------------------------------------------------------------------------------

    def fresh(self, wanted: str) -> str:
        """A name like the one wanted that is not taken yet."""
        name = re.sub(r"\W+", "_", wanted).strip("_") or "x"
        if name[0].isdigit() or keyword.iskeyword(name):
            name = f"p{name}"
        found, count = name, 2
        while found in self.taken:
            found, count = f"{name}_{count}", count + 1
        self.taken.add(found)
        return found

    def bring(self, thing: Any, wanted: str) -> str:
        """The name of an object that the source does not make."""
        name = self._objects.get(id(thing))
        if name is None:
            name = self._objects[id(thing)] = self.fresh(wanted)
            self.given[name] = thing
        return name

    def tensor(self, tensor: Any) -> str:
        """The name of a Tensor's array."""
        name = self._objects.get(id(tensor))
        if name is None:
            wanted = self._paths.get(id(tensor)) or tensor.name or "tensor"
            name = self._objects[id(tensor)] = self.fresh(wanted)
            self.cells[name] = tensor
        return name

    def name(self, thing: Any) -> str:
        """The text of an argument."""
        if isinstance(thing, Value):
            return self._value(thing)
        if type(thing) is tuple:
            return f"({', '.join(self.name(part) for part in thing)}{',' * (len(thing) == 1)})"
        if type(thing) is list:
            return f"[{', '.join(self.name(part) for part in thing)}]"
        text = literal(thing)
        if text is not None:
            return text
        if callable(thing):
            found = function_name(thing)
            return found or self.bring(thing, getattr(thing, "__name__", "function"))
        return self.bring(thing, type(thing).__name__.lower())

    def _value(self, value: Value) -> str:
        value = value.before_assignments
        if value not in self._names:
            if value.kind == "cell":
                self._names[value] = self._steady[value] = self.tensor(value.holds)
            elif value.kind in ("constant", "memory"):
                number = (
                    literal(value.holds[()])
                    if value.kind == "constant" and not value.shape
                    else None
                )
                name = number or self.bring(value.holds, value.kind)
                self._names[value] = self._steady[value] = name
            elif value.kind == "gradient":
                self._names[value] = self.fresh(f"d_{self.tensor(value.holds)}_before")
            else:
                raise AssertionError(f"{value} is used before it is made")
        return self._names[value]

    def _stays(self, thing: Any) -> bool:
        """Whether an argument is the same object at each call."""
        if isinstance(thing, Value):
            thing = thing.before_assignments
            return thing in self._steady or thing.kind in ("cell", "constant", "memory")
        if isinstance(thing, (tuple, list)):
            return all(self._stays(part) for part in thing)
        return True

    def _steady_name(self, thing: Any) -> str:
        if isinstance(thing, Value):
            thing = thing.before_assignments
            self._value(thing)
            return self._steady[thing]
        return self.name(thing)

    # ---- statements ------------------------------------------------------------------------------

    def add(self, instruction: Instruction) -> None:
        """Write an instruction."""
        heading = instruction.scope, instruction.backward
        if heading != self._heading:
            what = instruction.scope or "the step itself"
            self.body.append(f"# backward of {what}" if instruction.backward else f"# {what}")
            self._heading = heading
        getattr(self, f"_add_{instruction.kind}")(instruction)

    def _add_call(self, call: Instruction) -> None:
        if is_called_by_name(call.function):
            self.bring(call.function, call.name)
        if call.several:
            for result in call.results:
                self._names[result] = self._next()
            targets = ", ".join(self._names[r] for r in call.results)
            self.body.append(f"{targets}, = {expression(call, self.name)}")
            self._check_shapes(call)
            return
        (result,) = call.results
        if result in self._outer.by_value:
            self._add_factors(call, result)
            return
        if result.base is not None and self._stays((call.args, tuple(call.keywords.values()))):
            hoisted = self._hoist(expression(call, self._steady_name))
            self._names[result] = self._steady[result] = hoisted
            return
        out = self._out(result) if takes_out(call) else ""
        text = expression(call, self.name, out)
        self._names[result] = self._next()
        if out:
            self._steady[result] = out
        if out and f"out={out}" not in text:  # a copy, or a filling: a statement
            self.body.append(text)
            text = out
        self.body.append(f"{self._names[result]} = {text}")
        self._check_shapes(call)

    def _add_factors(self, call: Instruction, result: Value) -> None:
        """A column and a row in place of their product, which the update makes piece by piece."""
        _, tensor = self._plan.outside[result]
        take = self.bring(self._outer.by_value[result], f"factors_of_d_{self.tensor(tensor)}")
        self.body.append(f"{take}({', '.join(map(self.name, call.args))})")

    def _check_shapes(self, call: Instruction) -> None:
        """Of what somebody's own function returns."""
        if is_foreign(call.function):
            check = self.bring(check_shape, "check_shape")
            for r in call.results:
                given = f"{self._names[r]}, {self.name(r.shape)}, {call.name!r}"
                self.body.append(f"{check}({given})")

    def _add_chain(self, chain: Instruction) -> None:
        """One call for many, which fills an array for each result that others read."""
        kernel: Kernel = chain.function
        named = {value: self._value(value) for value in kernel.reads}
        arguments = [
            self._flat(v) if is_flat(v) else f"{name}[()]" if not v.shape else name
            for v, name in named.items()
        ]
        local = {m.results[0]: self._next() for loop in kernel.loops for m in loop.members}
        for result in kernel.stores:
            out = self._out(result)
            if out:
                self._steady[result] = out
            else:
                out = self._next("b")
                shape, dtype = self.name(result.shape), self.name(result.dtype)
                self.body.append(f"{out} = np.empty({shape}, {dtype})")
            self._names[result] = named[result] = out
            arguments.append(self._flat(result) if is_flat(result) else out)
        name = self.fresh(f"chain_{len(self.kernels) + 1}")
        text = kernel.text(name, named.__getitem__, local.__getitem__, notes=True)
        self.kernels[name] = text, kernel, arguments
        self.body.append(f"{name}({', '.join(arguments)})")

    def _flat(self, value: Value) -> str:
        """A view of an array along its memory."""
        steady = self._stays(value)
        text = self._steady_name(value) if steady else self._value(value)
        order = memory_order(value)
        if order != tuple(range(len(order))):
            text += f".transpose({order})"
        text += ".reshape(-1)"
        return self._hoist(text) if steady else text

    def _hoist(self, text: str) -> str:
        """The name of what is the same at each call, and is made once before."""
        if text not in self._hoisted:
            self._hoisted[text] = self._next("v")
            self.prelude.append(f"{self._hoisted[text]} = {text}")
        return self._hoisted[text]

    def _next(self, letter: str = "t") -> str:
        self._count += 1
        return self.fresh(f"{letter}{self._count}")

    def _out(self, result: Value) -> str:
        if result in self._plan.outside:
            view, tensor = self._plan.outside[result]
            return self.bring(view, f"d_{self.tensor(tensor)}")
        slot = self._plan.slots.get(result)
        if slot is None:
            return ""
        key = slot.offset, result.shape, result.dtype, result.strides
        if key not in self._buffers:
            name = self._buffers[key] = self.fresh(f"buffer{len(self._buffers) + 1}")
            place = [self.name(result.shape), self.name(result.dtype), "memory", str(slot.offset)]
            if result.strides != c_strides(result.shape, result.dtype.itemsize):
                place.append(self.name(result.strides))
            self.prelude.append(f"{name} = np.ndarray({', '.join(place)})")
        return self._buffers[key]

    def _add_assign(self, instruction: Instruction) -> None:
        target, parts, value = instruction.args
        if parts in ((), (Ellipsis,)):
            line = f'np.copyto({self.name(target)}, {self.name(value)}, casting="same_kind")'
        else:
            index = ", ".join(map(subscript(self.name), parts))
            line = f"{self.name(target)}[{index}] = {self.name(value)}"
        self.body.append(line)

    def _add_check(self, instruction: Instruction) -> None:
        function = self.bring(instruction.function, instruction.name)
        self.body.append(f"{function}({', '.join(map(self.name, instruction.args))})")

    def _add_update(self, instruction: Instruction) -> None:
        optimizer = instruction.function
        (pairs,) = instruction.args
        found = {id(p): gradient for p, gradient in pairs}
        views = gradient_views(optimizer)
        for p, gradient in pairs:
            view = self.bring(views[id(p)], f"d_{self.tensor(p)}")
            place = self._plan.outside.get(gradient.root)
            if place is None or not np.may_share_memory(place[0], views[id(p)]):
                self.body.append(f"np.copyto({view}, {self.name(gradient)})")
        missing = tuple(key for key in views if key not in found)
        update = optimizer.repeated_step(missing, self._outer.of(instruction), instruction.origin)
        name = self.bring(update, f"update_by_{instruction.name}")
        self.updates[name] = update
        self.body.append(f"{name}()")

    def returned(self, values: list[Value]) -> None:
        """What the program returns: arrays of their own, which nobody else refers to."""
        roots = set()
        for value in values:
            root = value.root
            name = self.name(value)
            if root.kind != "result" or root in roots or root in self._steady:
                name = f"np.copy({name})"
            roots.add(root)
            self.result.append(name)

    def function(self, name: str, inputs: list[str]) -> str:
        """The source of the body, as a function."""
        result = f"return ({', '.join(self.result)}{',' * (len(self.result) == 1)})"
        lines = "\n".join(f"    {line}" for line in (*self.body, result))
        return f"def {name}({', '.join(inputs)}):\n{lines}\n"
