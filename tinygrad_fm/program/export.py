"""A program as a script that needs NumPy alone, beside a file with its arrays."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.program.build import Program
from tinygrad_fm.program.calls import literal
from tinygrad_fm.program.functions import ExportError, Functions
from tinygrad_fm.rules.plan import Plan

BLOCK = 32_768  # elements that an optimizer updates at a time, to stay in the cache


class Script:
    """The text of an exported program, and the arrays it loads."""

    def __init__(self, program: Program):
        if program._before:
            raise ExportError(
                f"{program.name} cannot be exported: it adds to gradients from before the call; "
                "call optimizer.zero_grad() in the step"
            )
        self._program = program
        self.arrays: dict[str, Any] = {}
        self._functions = Functions(program.text.taken)
        if program.traced.inputs:
            self._refuse = self._functions.bring("refuse_other", _refuse_other)
        self._lines: list[str] = []
        self._updates: list[str] = []
        self._views: dict[int, str] = {}
        self._gradients: list[tuple[Any, str]] = []
        self._tensors: set[int] = set()
        given = program.text.given
        updates = program.text.updates
        for number, (name, update) in enumerate(updates.items(), 1):
            self._update(name, update, number)
        for name, tensor in program.text.cells.items():
            if id(tensor) in self._tensors:
                self._lines.append(f"{name} = {self._views[id(tensor)]}")
            else:
                self._load(name, tensor._array)
        for name, thing in given.items():
            place = self._place(thing)
            if place:
                self._lines.append(f"{name} = {place}")
            elif isinstance(thing, np.ndarray):
                self._load(name, thing)
            elif isinstance(thing, (np.random.Generator, np.random.RandomState)):
                self._generator(name, thing)
            elif isinstance(thing, Plan):
                self._lines.append(f"{name} = {tuple(thing)!r}")
            elif name not in updates:
                self._functions.add(thing, name)

    def _place(self, thing: Any) -> str:
        """The text of an array that is a gradient in an optimizer's buffer, in any shape."""
        for view, text in self._gradients:
            if thing is view:
                return text
            if isinstance(thing, np.ndarray) and np.may_share_memory(thing, view):
                return f"{text}.reshape({thing.shape})"
        return ""

    def text(self, arrays: str) -> str:
        """The script, which finds its arrays in the file of that name beside it."""
        program = self._program
        signature = ", ".join(
            f"{name} {value.shape} {value.dtype}" for value, name in program.traced.inputs.items()
        )
        imports = dict(self._functions.imports)
        load = []
        if self.arrays:
            load = [
                f'with np.load(Path(__file__).with_name("{arrays}")) as kept:',
                "    arrays = dict(kept)",
            ]
        head = [
            f'"""{program.name}({signature}), as tinygrad_fm compiled it; needs NumPy alone."""',
            "",
            *(["from pathlib import Path"] if load else []),
            *(["from types import SimpleNamespace"] if self._updates else []),
            *imports.values(),
        ]
        parts = [
            "\n".join(head),
            "\n".join([*load, *self._lines]),
            *self._functions.texts.values(),
            *self._updates,
            "\n".join(program.text.prelude),
            self._function(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _function(self) -> str:
        """The program itself, which first looks at its arguments: its buffers are of one size."""
        program = self._program
        head, _, body = program.text.function(program.name, program._inputs).partition("\n")
        looks = [
            f"    {self._refuse}({program.name!r}, {name!r}, {name}, {value.shape}, "
            f"{str(value.dtype)!r})"
            for value, name in program.traced.inputs.items()
        ]
        return "\n".join([head, *looks, body.rstrip()])

    def _load(self, name: str, array: Any) -> None:
        self.arrays[name] = np.array(array, order="C")
        text = f'arrays["{name}"]'
        if array.ndim > 1 and not array.flags.c_contiguous:
            order = sorted(range(array.ndim), key=lambda i: -abs(array.strides[i]))
            back = tuple(int(i) for i in np.argsort(order))
            self.arrays[name] = np.ascontiguousarray(array.transpose(order))
            text += f".transpose({back})"
        self._lines.append(f"{name} = {text}")

    def _generator(self, name: str, generator: Any) -> None:
        if not isinstance(generator, np.random.Generator):
            raise ExportError("a RandomState cannot be exported; use np.random.default_rng")
        kind = type(generator.bit_generator).__name__
        state = generator.bit_generator.state
        if any(isinstance(v, np.ndarray) for v in state["state"].values()):
            raise ExportError(f"a generator of kind {kind} cannot be exported; use PCG64")
        self._lines += [
            f"{name} = np.random.Generator(np.random.{kind}())",
            f"{name}.bit_generator.state = {state!r}",
        ]

    # ---- optimizers ------------------------------------------------------------------------------

    def _update(self, name: str, update: Any, number: int) -> None:
        """The buffers of an optimizer, and a function that updates them in blocks."""
        optimizer = update.optimizer
        if update.missing:
            raise ExportError(
                f"{name} cannot be exported: some parameters of the optimizer got no gradient; "
                "give it those that are trained"
            )
        optimizer._take_changed()  # as the next step would: they may need state of their own
        method = self._method(type(optimizer))
        body = []
        for i, flat in enumerate(optimizer._flats):
            flat.adopt()  # another optimizer may have taken the parameters since
            mark = f"_{number}_{i + 1}"
            if len(set(flat.steps)) > 1:
                raise ExportError(f"{name} cannot be exported: its parameters made unlike steps")
            values, gradient = f"values{mark}", f"gradient{mark}"
            self._load(values, flat.values)
            self._lines.append(f"{gradient} = np.ones_like({values})")
            states = []
            for state_name, array in flat.state.items():
                states.append(f"{state_name}{mark}")
                self._load(states[-1], array)
            self._lines.append(f"settings{mark} = SimpleNamespace({_settings(flat.settings)})")
            self._lines.append(f"steps{mark} = {flat.steps[0]}")
            for p, (start, end), layout, view in zip(
                flat.parameters, flat.spans, flat.layouts, flat.gradient_views, strict=True
            ):
                shape = tuple(p.shape[k] for k in layout)
                tail = f"[{start}:{end}].reshape({shape})"
                if list(layout) != sorted(layout):
                    tail += f".transpose({tuple(int(k) for k in np.argsort(layout))})"
                self._views[id(p)] = values + tail
                self._gradients.append((view, gradient + tail))
                self._tensors.add(id(p))
            parts = "".join(f", {s}[part]" for s in states)
            body += [
                f"global steps{mark}",
                f"steps{mark} += 1",
                f"scratch = np.empty(min({BLOCK}, {values}.size), {values}.dtype)",
                f"for start in range(0, {values}.size, {BLOCK}):",
                f"    part = slice(start, min(start + {BLOCK}, {values}.size))",
                f"    {method}({values}[part], {gradient}[part], scratch[: part.stop - start], "
                f"steps{mark}, settings{mark}{parts})",
            ]
            if states:
                body += [
                    f"if steps{mark} % 128 == 0:  # what has decayed to almost nothing is slow",
                    f"    for state in ({', '.join(states)},):",
                    f"        state[np.abs(state) < {flat.negligible!r}] = 0",
                ]
        lines = "\n".join(f"    {line}" for line in body)
        self._updates.append(f"def {name}():\n{lines}")

    def _method(self, kind: Any) -> str:
        """Define the `update` of an optimizer's class as a function; its name."""
        owner = next(c for c in kind.__mro__ if "update" in vars(c))
        name = f"{owner.__name__.lower()}_update"
        if name in self._functions.texts:
            return name
        method: types.FunctionType = vars(owner)["update"]
        node: Any = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]
        node.args.args = node.args.args[1:]
        rest = owner.__mro__[1:]
        for found in ast.walk(node):
            if isinstance(found, ast.Call) and ast.unparse(found.func) == "super().update":
                above = next(c for c in rest if "update" in vars(c))
                found.func = ast.Name(self._method(above), ast.Load())
        if any(isinstance(n, ast.Name) and n.id == "self" for n in ast.walk(node)):
            raise ExportError(f"{owner.__name__}.update uses self, and cannot be exported")
        names = {**method.__globals__, **dict.fromkeys(self._functions.texts)}
        self._functions.define(name, node, {k: v for k, v in names.items() if v is not None})
        return name


def _settings(settings: Any) -> str:
    parts = []
    for name, value in vars(settings).items():
        text = repr(value) if isinstance(value, tuple) else literal(value)
        if text is None:
            raise ExportError(f"the setting {name}={value!r:.40} cannot be exported")
        parts.append(f"{name}={text}")
    return ", ".join(parts)


def _refuse_other(step: str, name: str, given: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Refuse an argument for which the step was not made."""
    found = np.shape(given), str(getattr(given, "dtype", type(given).__name__))
    if found != (shape, dtype):
        raise ValueError(
            f"{step} is made for {name} of shape {shape} and {dtype}, not {found[0]} and "
            f"{found[1]}; export it anew from a program with that batch"
        )


def export(program: Program, path: Any) -> Path:
    """Write a program as a script; see Compiled.export.

    The function in it is for arrays of the shapes and dtypes of the program, and refuses others
    with a ValueError that says so.

    Raises:
        FileNotFoundError: the folder of the path is not there.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(f"a program is exported to a file that ends in .py, not {str(path)!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{program.name} cannot be exported to {str(path)!r}: there is no folder "
            f"{str(path.parent)!r}; make it before, Path({str(path.parent)!r}).mkdir(parents=True)"
        )
    if program.text.kernels:  # loops in Python are slow without Numba
        program = Program(program.traced, program.name)
    script = Script(program)
    beside = path.with_suffix(".npz")
    text = script.text(beside.name)
    if script.arrays:
        np.savez(beside, **script.arrays)
    path.write_text(text, encoding="utf-8")
    return path
