"""The source of functions that a program calls, so that an exported one needs NumPy alone."""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import types
from collections.abc import Collection
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive
from tinygrad_fm.program.calls import function_name, literal
from tinygrad_fm.program.plain import INSTEAD


class ExportError(ValueError):
    """A program holds something that has no place in a script; the message says what."""


class Functions:
    """Definitions of functions and of all that they refer to, each once, in an order that runs.

    Attributes:
        texts: by name, the definitions.
        imports: the modules they use.

    Args:
        taken: names that the script has for other things.
    """

    def __init__(self, taken: Collection[str]) -> None:
        self._taken = frozenset(taken)
        self.texts: dict[str, str] = {}
        self._things: dict[str, Any] = {}  # what each name stands for
        self.imports: dict[str, str] = {"np": "import numpy as np"}
        self._names: dict[int, str] = {}

    def add(self, function: Any, name: str) -> None:
        """Define `name` as this function.

        Raises:
            ExportError: it is no Python function, or refers to something that has no source.
        """
        function = _plain(function)
        known = self._names.get(id(function))
        if known is not None:
            self.texts[name] = f"{name} = {known}"
            return
        if function_name(function):
            self._names[id(function)] = name
            self.texts[name] = f"{name} = {function_name(function)}"
            return
        if not isinstance(function, types.FunctionType) or function.__closure__:
            what = getattr(function, "__name__", repr(function))
            raise ExportError(
                f"{what} cannot be exported: a script that needs NumPy alone has no place for "
                "functions of other libraries, or for those that were made inside of others"
            )
        self._names[id(function)] = name
        self._things[name] = function
        node = syntax_of(function)
        self.define(name, node, function.__globals__)

    def define(self, name: str, node: Any, names: dict[str, Any]) -> None:
        """Define a function by its syntax, and before it what it refers to among `names`."""
        for found in ast.walk(node):
            if isinstance(found, ast.arg):
                found.annotation = None
            elif isinstance(found, (ast.FunctionDef, ast.AnnAssign)):
                _without_annotations(found)
        local = {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
        local |= {
            n.id for n in ast.walk(node) if isinstance(n, ast.Name) and type(n.ctx) is not ast.Load
        }
        read = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        renamed: dict[str, str] = {}
        for used in dict.fromkeys(read):
            if used in local or (used == name and used not in names):
                continue
            if used in names:
                renamed[used] = self.bring(used, names[used], local)
            elif used not in self.texts and not hasattr(builtins, used):
                raise ExportError(f"{name} refers to {used}, which is not known")
        for found in ast.walk(node):
            if isinstance(found, ast.Name):
                found.id = renamed.get(found.id, found.id)
        if isinstance(node, ast.Lambda):
            text = f"{name} = {ast.unparse(node)}"
        else:
            node.name = name
            text = ast.unparse(node)
        self.texts.pop(name, None)
        self.texts[name] = text

    def bring(self, name: str, thing: Any, local: Collection[str] = ()) -> str:
        """Define what a function refers to; by which name, as files may use one for two things."""
        if isinstance(thing, types.ModuleType) and thing in (np, math):
            self.imports[name] = "import math" if thing is math else f"import numpy as {name}"
            return name
        function = _plain(thing)
        known = self._names.get(id(function))
        if known is not None:
            return known
        text, number, wanted = literal(thing), 1, name
        while (
            name in self._taken
            or name in self.imports
            or name in local
            or self._is_other(name, text, function)
        ):
            number += 1
            name = f"{wanted}_{number}"
        if text is not None:
            self.texts[name] = f"{name} = {text}"
            self._things[name] = text
        elif name not in self.texts:
            self.add(thing, name)
        return name

    def _is_other(self, name: str, text: str | None, function: Any) -> bool:
        """Whether the name stands for something else."""
        if name not in self.texts:
            return False
        known = self._things.get(name)
        return known != text if text is not None else known is not function


def _plain(function: Any) -> Any:
    """The Python function that a script has for this one."""
    if isinstance(function, Primitive):
        function = function.function
    return INSTEAD.get(function, function) if isinstance(function, types.FunctionType) else function


def _without_annotations(node: Any) -> None:
    if isinstance(node, ast.FunctionDef):
        node.returns = None
        node.decorator_list = []
        node.body = [
            ast.Assign([s.target], s.value, lineno=s.lineno)
            if isinstance(s, ast.AnnAssign) and s.value is not None
            else s
            for s in node.body
        ]


def syntax_of(function: types.FunctionType) -> Any:
    """The syntax of a function or lambda, found in the file it stands in.

    Raises:
        ExportError: there is no such file, as for what was typed at a prompt.
    """
    code = function.__code__
    try:
        lines, _ = inspect.findsource(function)
    except (OSError, TypeError):
        raise ExportError(
            f"{function.__name__} cannot be exported: its source is not found"
        ) from None
    for node in ast.walk(ast.parse("".join(lines))):
        first = getattr(node, "lineno", None)
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            if code.co_firstlineno in (first, *(d.lineno for d in node.decorator_list)):
                return node
        elif isinstance(node, ast.Lambda) and first == code.co_firstlineno:
            made = eval(compile(ast.Expression(node), code.co_filename, "eval"), {})
            if made.__code__.co_code == code.co_code and _constants(made) == _constants(function):
                return node
    raise ExportError(f"{function.__name__} cannot be exported: its source is not found")


def _constants(function: types.FunctionType) -> tuple[Any, ...]:
    code = function.__code__
    plain = [c for c in code.co_consts if not isinstance(c, types.CodeType)]
    return (*map(repr, plain), *code.co_names, *code.co_varnames)
