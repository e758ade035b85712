"""The person's backward pass, on plain arrays, watched line by line; the gradients it gives."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np

from tinygrad_fm.engine.node import PACKAGE
from tinygrad_fm.testing.backward.places import (
    changed,
    generators,
    is_float,
    places,
    snapshot,
    widened,
)
from tinygrad_fm.testing.backward.problem import CannotRunError, Problem, generator_kept
from tinygrad_fm.testing.backward.record import clean, in_words

LARGEST = 4096  # elements of an array that is still looked at, line by line


SMALL = 1e-4


@dataclass(eq=False)
class Made:
    """An array that a line of the backward pass made."""

    name: str
    array: Any
    file: str
    line: int
    function: str
    depth: int  # how many calls deep, 0 for the backward function itself
    change: Any = None  # what was added to it, where it was there before
    arguments: tuple[Any, ...] = ()  # arrays that the function was called with

    @property
    def forms(self) -> list[Any]:
        """The array, and what was added to it."""
        return [self.array] if self.change is None else [self.array, self.change]


@dataclass
class Theirs:
    """What the backward pass gave.

    Attributes:
        found: arrays that are gradients, by path: what was returned, what is new or changed.
        updated: parameters that backward changed, by path: their change.
        mutated: data and arguments that forward changed in place.
        overwritten: those that backward changed in place.
        made: every array that a line made, in order.
        small: a number that keeps a denominator from 0, such as 1e-8; 0 where the code has none.
        returned: what backward returned, in words.
    """

    found: dict[str, Any] = field(default_factory=dict)
    updated: dict[str, Any] = field(default_factory=dict)
    mutated: list[str] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    error: str = ""
    small: float = 0.0
    returned: str = "nothing"


def run_theirs(problem: Problem, upstream: Any, parameters: set[str]) -> Theirs:
    """Run forward and backward on float64 arrays, watching the lines of backward.

    Raises:
        CannotRunError: the backward pass raised; the message has the person's own line.
    """
    world = widened(problem.world)
    theirs = Theirs()
    with generator_kept(), np.errstate(all="ignore"):
        start = {clean(k): v for k, v in snapshot(world).items()}
        drawing = generators(world)
        result, rest = problem.forward(world)
        before = snapshot(world)
        now = {clean(k): v for k, v in before.items()}
        theirs.mutated = [path for path in problem.world if _differs(start, now, path)]
        given = upstream.copy() if np.ndim(upstream) else float(upstream)
        watcher = Lines(files_of(problem))
        old_trace = sys.gettrace()
        sys.settrace(watcher.call)
        for generator, state in drawing:  # one that runs forward again has the same noise
            generator.bit_generator.state = state
        try:
            with generator_kept():
                returned = problem.backward(world, result, rest, given)
        except CannotRunError:
            raise
        except Exception as error:
            raise CannotRunError(f"the backward pass fails: {in_words(error)}") from error
        finally:
            sys.settrace(old_trace)
    theirs.made = watcher.made
    if returned is not None:
        theirs.returned = f"a {type(returned).__name__}"
    theirs.small = _small_one(watcher.numbers(world))
    for path, value in _flat(returned, problem.names, watcher.names):
        theirs.found[path] = value
    after = changed(world, before)
    theirs.overwritten = [n for n in problem.data if n in {clean(path) for path in after}]
    for path, value in after.items():
        name = clean(path)
        if name in parameters:
            old = before.get(path)
            if old is not None and old.shape == value.shape:
                theirs.updated[name] = value - old
        elif is_float(value):
            theirs.found.setdefault(name, value)
    return theirs


def _small_one(numbers: list[float]) -> float:
    """The largest that is small, also where Python has made 1.00001 of 1 + 1e-5."""
    beside_one = [float(f"{abs(n - 1):.3g}") for n in numbers]
    return max((n for n in [*numbers, *beside_one] if 0 < n <= SMALL), default=0.0)


def _differs(start: dict[str, Any], now: dict[str, Any], path: str) -> bool:
    return path in start and path in now and not np.array_equal(start[path], now[path])


def _flat(
    returned: Any, written: tuple[str, ...], variables: dict[int, str]
) -> list[tuple[str, Any]]:
    """The float arrays in what backward returned, by the names that it has for them."""
    parts = returned if isinstance(returned, tuple) else (returned,)
    labels = list(written) if len(written) == len(parts) else [""] * len(parts)
    labels = [
        label if label.isidentifier() else variables.get(id(part), label or f"returned {i}")
        for i, (label, part) in enumerate(zip(labels, parts, strict=True))
    ]
    found: list[tuple[str, Any]] = []
    for label, part in zip(labels, parts, strict=True):
        if isinstance(part, (dict, list, tuple)):  # at any depth
            label = "grads" if isinstance(part, dict) else label
            found += [(f"{label}{p.path}", p.get()) for p in places(part) if is_float(p.get())]
        elif is_float(part):
            found.append((label, np.asarray(part)))
    return found


def files_of(problem: Problem) -> set[str]:
    """The files that the person's functions and classes are written in, and those beside them."""
    found: set[str] = set()
    left: list[Any] = [f for f in problem.functions if isinstance(f, (type, FunctionType))]
    while left:
        file, scope = _written_in(left.pop())
        if file and file not in found and not file.startswith(PACKAGE):
            found.add(file)
            kinds = (type, FunctionType, ModuleType)
            beside = [value for value in list(scope.values()) if isinstance(value, kinds)]
            left += [b for b in beside if Path(_written_in(b)[0]).parent == Path(file).parent]
    return found


def _written_in(found: Any) -> tuple[str, dict[str, Any]]:
    """The file and the global variables of a function, a class or a module."""
    if isinstance(found, FunctionType):
        return found.__code__.co_filename, found.__globals__
    module = found if isinstance(found, ModuleType) else sys.modules.get(found.__module__)
    return getattr(module, "__file__", None) or "", getattr(module, "__dict__", {})


class TooLongError(Exception):
    """More lines ran than were allowed."""


class Lines:
    """A trace function that notes which arrays each line makes."""

    def __init__(self, files: set[str], most: int = 0):
        self.files = files
        self.left = most or sys.maxsize  # lines that may run
        self.made: list[Made] = []
        self.known: dict[int, tuple[int, dict[str, Any]]] = {}
        self.depth = 0
        self.counted: set[int] = set()  # frames that are a level of depth
        self.arguments: dict[int, tuple[Any, ...]] = {}
        self.codes: set[CodeType] = set()  # that ran
        self.names: dict[int, str] = {}  # of what was returned, by identity

    def numbers(self, world: dict[str, Any]) -> list[float]:
        """The constants of the code that ran, and the numbers that objects hold."""
        found = [c for code in self.codes for c in code.co_consts if isinstance(c, float)]
        for value in world.values():
            own = getattr(value, "__dict__", {}).values()
            found += [float(v) for v in own if type(v) in (int, float)]
        return list(dict.fromkeys(found))

    def call(self, frame: FrameType, event: str, argument: Any) -> Any:
        """At the start of a call: watch its lines if it is the person's code."""
        if frame.f_code.co_filename not in self.files:
            return None
        self.codes.add(frame.f_code)
        now = self._arrays(frame)
        self.known[id(frame)] = frame.f_lineno, now
        own = {n: a for n, a in now.items() if not n.startswith("self.")}
        self.arguments[id(frame)] = tuple(own.values())
        leads = frame.f_code.co_name == "<lambda>" and not self.depth
        if not leads:  # a lambda that only leads to the backward pass is none of it
            self.depth += 1
            self.counted.add(id(frame))
        return self.line

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Before each line, and at the end: what did the line before make?"""
        if event not in ("line", "return"):
            return self.line
        self.left -= 1
        if self.left < 0:
            raise TooLongError
        number, old = self.known.get(id(frame), (frame.f_lineno, {}))
        now = self._arrays(frame)
        if event == "return" and is_float(argument):
            now["return"] = np.array(argument, copy=True)
        if event == "return" and isinstance(argument, tuple):
            held = {id(value) for value in frame.f_locals.values()}
            for i, part in enumerate(argument):
                if is_float(part) and id(part) not in held:
                    now[f"return[{i}]"] = np.array(part, copy=True)
        for name, array in now.items():
            before = old.get(name)
            if (
                before is None
                or before.shape != array.shape
                or not np.array_equal(before, array, equal_nan=True)
            ):
                where = frame.f_lineno if name.startswith("return") else number
                change = None
                if before is not None and before.shape == array.shape:
                    change = array - before
                code = frame.f_code
                self.made.append(
                    Made(
                        name,
                        array,
                        code.co_filename,
                        where,
                        code.co_name,
                        self.depth - 1,
                        change,
                        self.arguments.get(id(frame), ()),
                    )
                )
        self.known[id(frame)] = frame.f_lineno, now
        if event == "return":
            parts = argument if isinstance(argument, tuple) else (argument,)
            for name, value in frame.f_locals.items():
                if any(value is part for part in parts):
                    self.names.setdefault(id(value), name)
            self.depth -= id(frame) in self.counted
            self.counted.discard(id(frame))
            self.known.pop(id(frame), None)
        return self.line

    def _is_theirs(self, value: Any) -> bool:
        """Whether it is an object of a class in one of the files."""
        module = sys.modules.get(type(value).__module__)
        return getattr(module, "__file__", None) in self.files

    def _arrays(self, frame: FrameType) -> dict[str, Any]:
        """Copies of the float arrays that the locals hold, and those of `self`."""
        found: dict[str, Any] = {}
        for name, value in frame.f_locals.items():
            if is_float(value) and value.size <= LARGEST:
                found[name] = np.array(value, copy=True)
            elif isinstance(value, (dict, list)) or self._is_theirs(value):
                dot = "" if isinstance(value, (dict, list)) else "."
                for path, array in snapshot(value).items():
                    if is_float(array) and array.size <= LARGEST:
                        found[f"{name}{dot}{path}"] = array
        return found
