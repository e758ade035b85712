"""Parameters in one argument, params["W1"] or W1, b1 = params: what it holds, told by the code."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

from tinygrad_fm.testing.backward.roles import role_of

DEEPEST = 4  # layers whose parameters are in one container, where their number is not written


def content(function: Any, name: str) -> Any:
    """What an argument that is a container holds, every array as its own name.

    {"W1": "W1", "b1": "b1"} by its keys, ["W1", "b1"] where it is unpacked, "?" where the code
    does not tell, and None of an argument that is no container.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    keys: dict[str, tuple[int, int]] = {}  # where each is first used
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == name:
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                at = node.lineno, node.col_offset
                keys[node.slice.value] = min(at, keys.get(node.slice.value, at))
        elif isinstance(node, ast.Assign) and ast.unparse(node.value) == name:
            for target in node.targets:
                if isinstance(target, (ast.Tuple, ast.List)):
                    return _written(target)
    if keys and role_of(name) not in ("x", "t"):
        return {key: key for key in sorted(keys, key=lambda key: keys[key])}
    return "?" if role_of(name) == "parameters" else None


def _written(target: ast.expr) -> Any:
    if isinstance(target, (ast.Tuple, ast.List)):
        return [_written(part) for part in target.elts]
    return ast.unparse(target)


def contents(parts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The containers, with several contents tried for those of which the code does not tell."""
    if "?" not in parts.values():
        yield parts
        return
    layers = (2, *range(3, DEEPEST + 1), 1)
    for count, words in itertools.product(layers, ("W{} b{}", "w{} b{}", "W{}", "w{}")):
        rows = [words.format(i, i).split() for i in range(1, count + 1)]
        flat = [word for row in rows for word in row]
        for made in ({word: word for word in flat}, rows, flat):
            yield {name: made if held == "?" else held for name, held in parts.items()}


def leaves(held: Any) -> list[str]:
    """The names of all arrays in a container."""
    if isinstance(held, str):
        return [held]
    values = held.values() if isinstance(held, dict) else held
    return [leaf for value in values for leaf in leaves(value)]


def filled(held: Any, arrays: dict[str, Any]) -> Any:
    """The container with the arrays in the places of their names."""
    if isinstance(held, str):
        return arrays[held]
    if isinstance(held, dict):
        return {key: filled(value, arrays) for key, value in held.items()}
    return [filled(value, arrays) for value in held]
