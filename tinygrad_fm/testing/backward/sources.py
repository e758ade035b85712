"""A person's file or notebook as definitions: what is defined is executed, what is done is not."""

from __future__ import annotations

import ast
import importlib.util
import json
import linecache
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinygrad_fm.testing.backward.problem import CannotRunError
from tinygrad_fm.testing.backward.roles import role_of

# Modules for pictures, progress and tables, which no gradient needs.
STUBBED = (
    "matplotlib", "seaborn", "plotly", "tqdm", "pandas", "IPython", "PIL", "cv2", "sklearn",
    "tensorflow", "keras", "torchvision", "torch", "mnist", "scipy", "imageio", "pylab", "wandb",
)  # fmt: skip


SAMPLES = 5  # in every batch that is tried
SIZES = {"vocab": 4, "feature": 4, "input": 4, "in": 4, "hid": 6, "class": 3, "out": 3}
# What may be called where parameters are made at the top of a file.
MAKING = (
    "zeros", "ones", "full", "eye", "array", "asarray", "arange", "linspace", "zeros_like",
    "ones_like", "sqrt", "reshape", "astype", "copy", "default_rng", "RandomState", "randn",
    "standard_normal", "normal", "uniform", "random", "T",
)  # fmt: skip
COUNTING = ("len", "int", "float", "range", "list", "dict", "min", "max", "round", "sum", "zip")


@dataclass
class Source:
    """What a file defines.

    Attributes:
        names: the functions and classes that it defines, in order.
        notes: what was left out or replaced, for the report.
    """

    path: Path
    scope: dict[str, Any]
    names: list[str]
    notes: list[str] = field(default_factory=list)
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))


def load(path: Path) -> Source:
    """The definitions of a .py file or a notebook.

    Raises:
        CannotRunError: it cannot be read, or its definitions cannot be executed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRunError(f"cannot read {path}: {error}") from error
    filename = str(path)
    if path.suffix == ".ipynb":
        text = _cells(text, path)
        filename = f"{path} (cells)"
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise CannotRunError(f"{path}:{error.lineno}: {error.msg}") from error
    kept = [node for node in tree.body if _defines(node)]
    left_out = sum(node not in kept and not _is_main(node) for node in tree.body)
    module = types.ModuleType(f"checked_{path.stem}")
    module.__file__ = filename
    sys.modules[module.__name__] = module
    source = Source(path, vars(module), [], tree=tree)
    if left_out:
        source.notes.append(
            "1 top-level statement that does work was not executed"
            if left_out == 1
            else f"{left_out} top-level statements that do work were not executed"
        )
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        for node in tree.body:
            if node in kept:
                _execute(node, filename, source)
            _count(node, source)
    finally:
        sys.path.remove(folder)
        for name in [n for n, found in sys.modules.items() if isinstance(found, _Stub)]:
            del sys.modules[name]  # the file has it; nobody else is to find it there
    source.names = [node.name for node in kept if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return source


def _count(node: ast.stmt, source: Source) -> None:
    """Give a value to numbers that the file takes from data that was not read, such as sizes."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    for part in (part for target in targets for part in ast.walk(target)):
        name = part.id if isinstance(part, ast.Name) else ""
        if not name or name in source.scope:
            continue
        value = SAMPLES if role_of(name) == "samples" else _size(name)
        if value:
            source.scope[name] = value
            what = "the number of samples" if value == SAMPLES else str(value)
            source.notes.append(f"{name} is taken to be {what}")


def _size(name: str) -> int:
    """A size by its name; 0 where it is none."""
    word = name.lower()
    if not any(part in word for part in ("size", "dim", "num", "n_", "len", "units", "nodes")):
        return 0
    return next((n for part, n in SIZES.items() if part in word), 0)


def _defines(node: ast.stmt) -> bool:
    """Whether a statement only defines: an import, a function, a class, a constant, an array."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
        return True
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        return all(_makes(part) for part in _runs(node.value) if isinstance(part, ast.Call))
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _runs(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of an expression that run when it does: not the bodies of lambdas."""
    yield node
    if not isinstance(node, ast.Lambda):
        for part in ast.iter_child_nodes(node):
            yield from _runs(part)


def _makes(call: ast.Call) -> bool:
    """Whether a call makes an array, as parameters and small examples are made, or counts."""
    *before, name = ast.unparse(call.func).split(".")
    if not before:
        return name in COUNTING
    if before == ["np", "random"] or before == ["numpy", "random"]:
        return name not in ("shuffle", "seed")
    return name in MAKING


def _is_main(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`, which an import leaves out as well."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _execute(node: ast.stmt, filename: str, source: Source) -> None:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        _stub(node, source)
    try:
        exec(compile(ast.Module([node], []), filename, "exec"), source.scope)
    except NameError as error:
        # a constant that is made of something that was not executed
        source.notes.append(f"line {node.lineno} was left out: {error}")
    except Exception as error:
        # a class, say, whose base was to come from a module that is missing: the others remain
        what = f"{type(error).__name__}: {error}"
        source.notes.append(f"line {node.lineno} was left out: {what}")


def _stub(node: ast.Import | ast.ImportFrom, source: Source) -> None:
    """Put a stand-in in place of a module that is missing.

    One that no gradient needs does nothing; any other says that it is missing once it is used.
    """
    if isinstance(node, ast.ImportFrom) and node.level:
        node.level = 0  # a file of a package is read as a file of its folder
        if node.module is None:
            return
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
    for name in names:
        if not name or not _is_missing(name):
            continue
        top = name.partition(".")[0]
        kind = _Stub if top in STUBBED else _Missing
        for part in _prefixes(name):
            sys.modules.setdefault(part, kind(part))
        does = "does nothing" if kind is _Stub else "fails where it is needed"
        note = f"{top} is not installed: a stand-in that {does} is used"
        if note not in source.notes:
            source.notes.append(note)


def _is_missing(name: str) -> bool:
    """Whether a module cannot be found, or stands in for one that was not."""
    top = name.partition(".")[0]
    if name in sys.modules:
        return isinstance(sys.modules[name], _Stub)
    if isinstance(sys.modules.get(top), _Stub):
        return True
    try:
        return importlib.util.find_spec(top) is None
    except (ImportError, ValueError):
        return True


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


class _Stub(types.ModuleType):
    """A module of which every attribute is a function that returns its first argument."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **_: args[0] if args else None


class _Missing(_Stub):
    """A module of which every attribute is a function that says that the module is missing.

    To let a missing sigmoid return its argument would make a right program wrong.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__name__

        def fails(*_: Any, **__: Any) -> Any:
            raise ImportError(f"it needs {name} of {module}, and {module} is not installed")

        return fails


def _cells(text: str, path: Path) -> str:
    """The code of a notebook, without the commands of the notebook itself."""
    try:
        cells = json.loads(text)["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise CannotRunError(f"{path} is no notebook: {error}") from error
    lines: list[str] = []
    for cell in cells:
        if cell.get("cell_type") == "code":
            code = cell.get("source", "")
            written = "".join(code).splitlines()
            lines += ["" if s.lstrip().startswith(("%", "!", "?")) else s for s in written]
            lines.append("")
    return "\n".join(lines) + "\n"
