"""Where arrays are in a person's objects: their paths, reading and writing them, what changed."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.tensor import Tensor

DEEPEST = 6  # attributes of attributes of ... that are looked at
SKIPPED = (str, bytes, int, float, bool, type(None), type, types.ModuleType, types.FunctionType)


@dataclass(frozen=True)
class Place:
    """One array in a tree of objects: `layers[0].W` is attribute, item, attribute."""

    path: str
    holder: Any
    key: Any
    kind: str  # "attribute", "item"

    def get(self) -> Any:
        """What is there now."""
        return getattr(self.holder, self.key) if self.kind == "attribute" else self.holder[self.key]

    def put(self, value: Any) -> None:
        """Put something else there."""
        if self.kind == "attribute":
            setattr(self.holder, self.key, value)
        else:
            self.holder[self.key] = value

    @property
    def name(self) -> str:
        """The last word of the path: `W` of `layers[0].W`, `W1` of `params['W1']`."""
        if self.kind == "attribute" or isinstance(self.key, str):
            return str(self.key)
        return self.path


def places(root: Any, path: str = "") -> Iterator[Place]:
    """Every array (or Tensor) of numbers that an object holds, at any depth, each object once."""
    yield from _walk(root, path, {id(root)}, 0, _is_array)


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.floating, Tensor))


def _walk(
    found: Any, path: str, seen: set[int], depth: int, wanted: Callable[[Any], bool]
) -> Iterator[Place]:
    if depth > DEEPEST:
        return
    for key, value, kind in _entries(found):
        here = _joined(path, key, kind)
        if wanted(value):
            yield Place(here, found, key, kind)
        elif id(value) not in seen and not isinstance(value, SKIPPED):
            seen.add(id(value))
            yield from _walk(value, here, seen, depth + 1, wanted)


def _entries(found: Any) -> Iterator[tuple[Any, Any, str]]:
    if isinstance(found, dict):
        yield from ((key, value, "item") for key, value in list(found.items()))
    elif isinstance(found, (list, tuple)):
        yield from ((i, value, "item") for i, value in enumerate(found))
    elif hasattr(found, "__dict__") and not isinstance(found, SKIPPED):
        yield from ((key, value, "attribute") for key, value in list(vars(found).items()))


def _joined(path: str, key: Any, kind: str) -> str:
    if kind == "attribute":
        return f"{path}.{key}" if path else str(key)
    return f"{path}[{key!r}]"


def whole_numbers(root: Any) -> Iterator[Place]:
    """Every Python integer that an object holds, as sizes are."""
    yield from _walk(root, "", {id(root)}, 0, lambda value: type(value) is int)


def generators(root: Any) -> list[tuple[np.random.Generator, Any]]:
    """The random generators that an object holds, with their states."""
    kept = _walk(root, "", {id(root)}, 0, lambda value: isinstance(value, np.random.Generator))
    return [(found, found.bit_generator.state) for found in (place.get() for place in kept)]


def is_float(value: Any) -> bool:
    """Whether it is an array of floats."""
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"


def widened(root: Any) -> Any:
    """A deep copy with float64 arrays for narrower ones, so that differences are not rounding."""
    made = copy.deepcopy(root)
    for place in list(places(made)):
        value = place.get()
        if is_float(value) and value.dtype != np.float64 and not isinstance(place.holder, tuple):
            place.put(np.asarray(value, np.float64))
    return made


def snapshot(root: Any) -> dict[str, Any]:
    """Copies of all arrays by path."""
    return {place.path: np.array(place.get(), copy=True) for place in places(root)}


def changed(root: Any, before: dict[str, Any]) -> dict[str, Any]:
    """The arrays that are new, or have other numbers, than in an earlier snapshot."""
    found = {}
    for path, value in snapshot(root).items():
        old = before.get(path)
        if (
            old is None
            or old.shape != value.shape
            or not np.array_equal(old, value, equal_nan=True)
        ):
            found[path] = value
    return found
