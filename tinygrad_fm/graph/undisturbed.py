"""Running a model without a trace: its buffers and random generators are put back afterwards."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm.tensor import Tensor

_GENERATORS = (np.random.Generator, np.random.RandomState)


class Undisturbed:
    """Remembers what a call can change, and puts it back at the end of a `with` block.

    From the start these are the default generators, and modules, buffers and generators that the
    function is, belongs to, or refers to by a variable; later every module, before its first call.
    """

    def __init__(self, function: Any, inputs: tuple[Any, ...]):
        self._searched: set[int] = set()
        self._buffers: list[tuple[Tensor, Any]] = []
        self._generators: list[tuple[Any, Any]] = []
        for found in (*_defaults(), *_around(function), *_each(inputs)):
            self.remember(found)

    def remember(self, found: Any) -> None:
        """Remember a generator as it is now, or what a module and all in it hold of such state."""
        if id(found) in self._searched:
            return
        if isinstance(found, _GENERATORS):
            self._searched.add(id(found))
            self._generators.append((found, state_of(found)))
        elif _is_module(found):
            new = [module for module in found.modules() if id(module) not in self._searched]
            self._searched.update(map(id, new))
            for value in (value for module in new for value in _held(module)):
                if isinstance(value, _GENERATORS):
                    self.remember(value)
            for _, buffer in found.named_buffers():
                if id(buffer) not in self._searched:
                    self._searched.add(id(buffer))
                    self._buffers.append((buffer, np.copy(buffer.data)))

    def __enter__(self) -> Undisturbed:
        return self

    def __exit__(self, *error: object) -> None:
        for buffer, old in self._buffers:
            if not np.array_equal(buffer.data, old, equal_nan=True):
                buffer.data = old
        for generator, old in self._generators:
            put_state(generator, old)


def _is_module(found: Any) -> bool:
    return hasattr(type(found), "named_buffers")


def _defaults() -> Iterator[Any]:
    """NumPy's generator of old, and that of layers which are given none."""
    yield np.random.mtrand._rand
    layers = sys.modules.get("tinygrad_fm.nn.init")  # without it, nothing can draw from it
    if layers is not None:
        yield layers.generator()


def _around(function: Any) -> Iterator[Any]:
    """What a function is, belongs to, or refers to by a variable."""
    while isinstance(function, functools.partial):
        yield from _each([*function.args, *function.keywords.values()])
        function = function.func
    yield function
    owner = getattr(function, "__self__", function)
    yield owner
    if not isinstance(owner, type) and not _is_module(owner):
        yield from _held(owner)
    function = getattr(function, "__func__", function)  # of a method
    if inspect.isfunction(function):
        variables = inspect.getclosurevars(function)
        for names in (variables.nonlocals, variables.globals, function.__kwdefaults__ or {}):
            yield from _each(names.values())
        yield from _each(function.__defaults__ or ())


def _held(owner: Any) -> Iterator[Any]:
    """The values of an object's attributes."""
    return _each(vars(owner).values() if hasattr(owner, "__dict__") else ())


def _each(values: Iterable[Any]) -> Iterator[Any]:
    """The values, and those in tuples, lists and dictionaries among them."""
    for value in values:
        yield value
        if isinstance(value, (tuple, list)):
            yield from value
        elif isinstance(value, dict):
            yield from value.values()


def state_of(generator: Any) -> Any:
    """Where a Generator or RandomState stands in its sequence."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state()


def put_state(generator: Any, old: Any) -> None:
    """Let a generator go on from where `state_of` found it."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = old
    else:
        generator.set_state(old)
