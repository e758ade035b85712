"""The arguments of a call of a compiled step: arrays, their signature, and their names."""

from __future__ import annotations

import inspect
import itertools
import keyword
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.program.emit import RESERVED
from tinygrad_fm.recorded import Recorded
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.trees import leaves


class Call:
    """The arguments of a call, taken apart."""

    def __init__(self, args: tuple[Any, ...], keywords: dict[str, Any]):
        self.args = args
        self.keywords = keywords
        if keywords or any(isinstance(a, (tuple, list, dict)) for a in args):
            self.values = leaves((args, keywords))
            kinds: list[Any] = [_form(args), _form(keywords)]
        else:  # the same without a walk, which costs more than small arithmetic
            self.values = list(args)
            kinds = []
        self.arrays: list[Any] = []
        self.recorded = False
        for value in self.values:
            if isinstance(value, Recorded):
                self.recorded = self.recorded or value._node is not None
                value = value._array
            if isinstance(value, np.ndarray):
                value = value if type(value) is np.ndarray else Tensor(value)._array
                flags = value.flags
                if not flags.aligned:
                    value = np.require(value, requirements=["A"])
                self.arrays.append(value)
                order = None if flags.c_contiguous else value.strides
                kinds.append((value.shape, value.dtype, order))
            elif isinstance(value, (float, complex, np.inexact)):
                kinds.append((type(value), repr(value)))  # -0.0 is not 0.0, and nan is nan
            else:
                kinds.append((type(value), value))
        self.signature = tuple(kinds)

    @property
    def plain(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each argument, if all are arrays in C order; otherwise nothing."""
        plain = not self.keywords and all(type(a) is np.ndarray for a in self.args)
        plain = plain and all(a.flags.c_contiguous for a in self.args)
        return [(a.shape, a.dtype) for a in self.args] if plain else []

    def overlaps(self) -> bool:
        """Whether two of the arrays may share memory."""
        return any(np.may_share_memory(a, b) for a, b in itertools.combinations(self.arrays, 2))

    def refusal(self) -> TypeError:
        """The error for an argument that has no place in a signature."""
        bad = next(v for v in self.values if getattr(type(v), "__hash__", None) is None)
        return TypeError(
            f"a compiled step takes arrays and plain values, not {bad!r:.60}; what it shares with "
            "the rest of the program, as models and optimizers, it takes from around it"
        )


def _form(tree: Any) -> Any:
    """How a tree is built, without its values; None for a value."""
    if isinstance(tree, dict):
        return tuple((key, _form(value)) for key, value in tree.items())
    if isinstance(tree, (list, tuple)):
        return type(tree), *[_form(value) for value in tree]
    return None


def names(step: Callable[..., Any], call: Call) -> list[str]:
    """A name for each value of the arguments: of its parameter, and its place in that."""
    try:
        bound = inspect.signature(step).bind(*call.args, **call.keywords)
        parameters = list(bound.signature.parameters)
    except (TypeError, ValueError):
        parameters = []
    named = [*parameters, *(f"argument_{i}" for i in range(len(parameters), len(call.args)))]
    found: list[str] = []
    for name, tree in [*zip(named, call.args, strict=False), *call.keywords.items()]:
        found += [identifier(f"{name}{path}") for path in _paths_in(tree)]
    return [f"{name}_{i}" if found.count(name) > 1 else name for i, name in enumerate(found)]


def identifier(name: str) -> str:
    """A name that the source of a program may use."""
    name = re.sub(r"\W+", "_", name).strip("_")
    return f"{name}_" if keyword.iskeyword(name) or name in RESERVED else name


def _paths_in(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        return [f"_{key}{path}" for key, value in tree.items() for path in _paths_in(value)]
    if isinstance(tree, (list, tuple)):
        return [f"_{i}{path}" for i, value in enumerate(tree) for path in _paths_in(value)]
    return [""]
