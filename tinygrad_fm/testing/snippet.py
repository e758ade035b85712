"""A few lines of Python that show a failed check again: imports, the function, its arguments."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive
from tinygrad_fm.tensor import Tensor

_MANY = 1000  # elements that are still written out


def name_of(f: Callable[..., Any]) -> str:
    """What a function is called."""
    return str(getattr(f, "__name__", None) or repr(f))


def reproduce(f: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """A program that calls `check_grads(f, *args, **options)` again."""
    name = name_of(f) if name_of(f).isidentifier() else "f"
    lines = ["import numpy as np", "import tinygrad_fm as tg"]
    lines += ["from tinygrad_fm.testing import check_grads", "", *_definition(f, name), ""]
    call = [name, *(written(a) for a in args), *(f"{k}={v!r}" for k, v in options.items())]
    one_line = f"check_grads({', '.join(call)})"
    if len(one_line) > 90:
        one_line = "check_grads(\n" + "".join(f"    {part},\n" for part in call) + ")"
    return "\n".join(lines) + "\n" + one_line


def written(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, Tensor):
        grad = ", requires_grad=True" if value.requires_grad else ""
        return f"tg.Tensor({written(value.data)}{grad})"
    if isinstance(value, np.ndarray):
        if value.size > _MANY:
            return f"...  # a {value.dtype} array of shape {value.shape}: put yours here"
        dtype = (
            "" if value.dtype in (np.float64, np.int64, np.bool_) else f", dtype=np.{value.dtype}"
        )
        text = "[]" if value.size == 0 else _numbers(value.tolist())
        shape = f".reshape({value.shape})" if value.size == 0 else ""
        return f"np.array({text}{dtype}){shape}"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({_numbers(value.item())})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(f"{written(v)}, " for v in value).rstrip() + ")"
    return _numbers(value)


def _numbers(value: Any) -> str:
    return repr(value).replace("nan", "np.nan").replace("inf", "np.inf")


def _definition(f: Any, name: str) -> list[str]:
    """Lines after which `name` is f: an import where there is one, else its source."""
    module = _module_of(f)
    if module:
        spelled = f"{name} = np.{f.__name__}" if module == "numpy" else ""
        return [spelled or f"from {module} import {f.__name__}"]
    if isinstance(f, Primitive) and not (f.variadic or f.joint):
        parts = [f.function, *f.rules]
        names = ["function", *(f"rule_{i}" for i in range(len(f.rules)))]
        lines = [
            line for part, n in zip(parts, names, strict=True) for line in _definition(part, n)
        ]
        return [*lines, f"{name} = tg.primitive({', '.join(names)}, name={f.name!r})"]
    try:
        used = inspect.getclosurevars(f)
        is_lambda = f.__name__ == "<lambda>"
        source = f"{name} = {_lambda(f)}" if is_lambda else textwrap.dedent(inspect.getsource(f))
        renamed = [f"{name} = {f.__name__}"] if not is_lambda and f.__name__ != name else []
    except (OSError, TypeError, AttributeError, ValueError, SyntaxError):
        return [f"{name} = ...  # put {f!r} here" if f is not None else f"{name} = None"]
    lines = []
    for word, value in {**used.globals, **used.nonlocals}.items():
        if isinstance(value, ModuleType):
            lines.append(f"import {value.__name__} as {word}")
        elif word in used.globals and f.__module__ != "__main__":
            lines.append(f"from {f.__module__} import {word}")
        elif callable(value) and not isinstance(value, Tensor):
            lines += _definition(value, word)
        else:
            lines.append(f"{word} = {written(value)}")
    lines = [
        line for line in lines if line not in ("import numpy as np", "import tinygrad_fm as tg")
    ]
    return [*lines, *source.rstrip().splitlines(), *renamed]


def _module_of(f: Any) -> str:
    """The module to import f from: where it was made, else the shortest name; empty for none."""
    name = getattr(f, "__name__", "")
    if not callable(f) or not str(name).isidentifier():
        return ""
    modules = [
        key
        for key, module in list(sys.modules.items())
        if module is not None
        and key != "__main__"
        and getattr(module, "__dict__", {}).get(name) is f
    ]
    home = getattr(f.function if isinstance(f, Primitive) else f, "__module__", None)
    return min(modules, key=lambda module: (module != home, len(module)), default="")


def _lambda(f: Any) -> str:
    """The source of a lambda.

    Raises:
        ValueError: it cannot be told from others on its line, or the source is not there.
    """
    code = f.__code__
    lines = linecache.getlines(code.co_filename)
    inside = [p for p in code.co_positions() if p[0] is not None and p[2] is not None and p[3]]
    found = [
        node
        for node in ast.walk(ast.parse("".join(lines)))
        if isinstance(node, ast.Lambda)
        and node.lineno == code.co_firstlineno
        and all(_within(node.body, position) for position in inside)
    ]
    if not found:
        raise ValueError("no such lambda")
    innermost = min(found, key=lambda node: node.end_col_offset or 0)
    text = ast.get_source_segment("".join(lines), innermost)
    if text is None:
        raise ValueError("no source")
    return " ".join(text.split())


def _within(node: ast.expr, position: Any) -> bool:
    line, end_line, column, end_column = position
    after = (line, column) >= (node.lineno, node.col_offset) or (column, end_column) == (0, 0)
    return bool(after and (end_line, end_column) <= (node.end_lineno, node.end_col_offset))
