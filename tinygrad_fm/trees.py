"""Nested arguments: tuples, lists and dictionaries of arrays, taken apart and rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_fm.tensor import Tensor


def leaves(tree: Any) -> list[Any]:
    """The values in a tree of tuples, lists and dictionaries, in order."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, (list, tuple)):
        return [leaf for value in tree for leaf in leaves(value)]
    return [tree]


def leaves_like(tree: Any, other: Any, what: str) -> list[Any]:
    """The values of `other` in the order of `tree`, which has the same form.

    Raises:
        ValueError: another form.
    """
    if isinstance(tree, dict):
        if not isinstance(other, dict) or tree.keys() != other.keys():
            keys = list(other) if isinstance(other, dict) else type(other).__name__
            raise ValueError(f"{what} has {keys} where the keys {list(tree)} are expected")
        return [leaf for key in tree for leaf in leaves_like(tree[key], other[key], what)]
    if isinstance(tree, (list, tuple)):
        if not isinstance(other, (list, tuple)) or len(tree) != len(other):
            raise ValueError(f"{what} has {other!r:.60} where {len(tree)} values are expected")
        pairs = zip(tree, other, strict=True)
        return [leaf for a, b in pairs for leaf in leaves_like(a, b, what)]
    return [other]


def rebuild(tree: Any, values: list[Any]) -> Any:
    """A tree of the same form with other values, which are taken from the front of `values`."""
    if isinstance(tree, dict):
        return {key: rebuild(value, values) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [rebuild(value, values) for value in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return values.pop(0)


def map_tree(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`function` of each value, and of the values in the same place of the other trees."""
    columns = zip(
        leaves(tree), *(leaves_like(tree, other, "a tree") for other in others), strict=True
    )
    return rebuild(tree, [function(*row) for row in columns])


def unwrap(value: Any) -> Any:
    """The plain array of a Tensor; a Python number for an array without axes."""
    data = value.data if isinstance(value, Tensor) else value
    return data.item() if getattr(data, "ndim", None) == 0 else data
