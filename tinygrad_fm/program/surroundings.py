"""What a step reads from around it: variables, attributes, items, and what its functions read."""

from __future__ import annotations

import collections
import dis
import functools
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.engine import PACKAGE, Primitive
from tinygrad_fm.program.trace import GENERATORS
from tinygrad_fm.recorded import Recorded

PLAIN = (bool, int, float, str, type(None))
_KEPT = (*PLAIN, tuple, list, dict, *GENERATORS)  # of what is private to a module
_BAGS = (set, frozenset, collections.deque)
_LIBRARIES = (PACKAGE, str(Path(dis.__file__).parent), str(Path(np.__file__).parents[1]))
_OURS = "tinygrad_fm."
_MOST = 64  # a longer list, tuple or dictionary is data and no setting; of objects, a structure

Look = Callable[[], Any]  # a ValueError: of a variable that is no longer assigned


class Surroundings:
    """Where to look for what a step reads from around it.

    These are the variables that each function reads; of each object that is met on the way, the
    attributes (its own, or its class's) with a name that any of the functions reads; the items of
    short containers; and the same for functions and methods that are met, but for those of
    installed libraries. It may find more than is read, and then a step is traced once too often.

    Attributes:
        settings: each place, how to look there, and what is there now.
        unnoticed: those that may change without an attribute of a module being set, or its __dict__
            being another.
        own: the __dict__ of each of this library's modules.
    """

    def __init__(self, modules: Iterable[Any], function: Any, cells: Iterable[Any]):
        self.settings: list[tuple[str, Look, Any]] = []
        self.unnoticed: list[tuple[str, Look, Any]] = []
        self.own: list[dict[str, Any]] = []
        self._cells = {id(tensor) for tensor in cells}
        self._read: set[Any] = set()
        self._modules: dict[int, Any] = {}
        self._objects: dict[int, tuple[str, Any]] = {}
        self._attributes: dict[str, None] = {}
        for module in modules:
            self._watch_module(module)
        self._watch_inside("the step", function, noticed=False)
        self._watch_objects()

    def _add(self, name: str, look: Look, value: Any, noticed: bool) -> None:
        self.settings.append((name, look, value))
        if not noticed:
            self.unnoticed.append((name, look, value))

    def _watch(self, name: str, look: Look, noticed: bool = False) -> None:
        """Watch a value, and what it consists of; `noticed` is whether its changes are anyway."""
        value = look()
        if isinstance(value, Recorded) and id(value) not in self._cells:
            return  # a result that is kept for somebody to look at
        if isinstance(value, _BAGS):
            look = functools.partial(_written, look)
            value = look()
        self._add(name, look, value, noticed)
        self._watch_inside(name, value, noticed)

    def _watch_inside(self, name: str, value: Any, noticed: bool) -> None:
        if isinstance(value, Primitive):
            value = value.function
        if isinstance(value, (types.FunctionType, types.MethodType)):
            self._watch_function(value)
        elif _is_module(value):
            self._watch_module(value)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self._watch_inside(name, part, noticed)
        elif isinstance(value, (list, tuple, dict)):
            self._watch_items(name, value, noticed)
        elif not isinstance(value, (*PLAIN, *GENERATORS, Recorded, np.ndarray, np.generic)):
            own = getattr(value, "__dict__", {})
            self._watch_function(own.get("__wrapped__"))  # of which a decorator made it
            if callable(value) and not isinstance(value, type):
                self._watch_function(getattr(value, "__call__", None))  # noqa: B004 (a bound method)
            if len(self._objects) < _MOST and not _is_interface(value):
                self._objects.setdefault(id(value), (name, value))

    def _watch_items(self, name: str, value: Any, noticed: bool) -> None:
        if len(value) > _MOST or id(value) in self._read:
            return
        self._read.add(id(value))
        parts = list(value.values()) if isinstance(value, dict) else value
        # of numbers, or layers; to lists of results a step may add in the calls that are traced
        counts = any(map(callable, parts)) or all(isinstance(part, PLAIN) for part in parts)
        if counts and not isinstance(value, tuple):
            self._add(f"the length of {name}", value.__len__, len(value), noticed=False)
        get = value.get if isinstance(value, dict) else functools.partial(_item, value)
        for key in value if isinstance(value, dict) else range(len(value)):
            inside = noticed and isinstance(value, tuple)  # which stays what it is
            self._watch(f"{name}[{key!r:.40}]", functools.partial(get, key), inside)

    def _watch_module(self, module: Any) -> None:
        if id(module) in self._modules:
            return
        self._modules[id(module)] = module
        kind = type(module)
        own = vars(module)
        noticed = kind.__module__.startswith(_OURS)
        if noticed:
            self.own.append(own)
        else:
            self._objects[id(module)] = kind.__name__, module
        if kind not in self._read:
            self._read.add(kind)
            of_kind = functools.partial(getattr, kind, "training", None)
            self._add(f"training of all {kind.__name__}", of_kind, kind.training, noticed=False)
            if not noticed:
                forward = functools.partial(getattr, kind, "forward", None)
                self._add(f"forward of {kind.__name__}", forward, kind.forward, noticed=False)
        training = functools.partial(getattr, module, "training", None)  # may be the class's
        self._add(f"training of {kind.__name__}", training, module.training, noticed)
        names = functools.partial(_names_in, own)
        self._add(f"the attributes of {kind.__name__}", names, names(), noticed)
        for name, value in own.items():
            if _is_kept(name, value):
                place = f"{name} of {kind.__name__}"
                self._watch(place, functools.partial(own.get, name), noticed)
        self._watch_function(kind.forward)

    def _watch_function(self, function: Any) -> None:
        """Watch what a function's own code reads from around it."""
        owner = getattr(function, "__self__", None)
        function = getattr(function, "__func__", function)
        if not isinstance(function, types.FunctionType) or function in self._read:
            return
        self._read.add(function)
        code = function.__code__
        if code.co_filename.startswith(_LIBRARIES):
            return
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        looks: dict[str, Look] = {name: _into(cell) for name, cell in cells}
        attributes: dict[str, None] = {}
        for part in _parts(code):
            attributes |= dict.fromkeys(part.co_names)
            looks |= {
                name: functools.partial(function.__globals__.get, name)
                for name in _globals_read(part)
            }
        if owner is not None:
            looks["self"] = lambda: owner
        for kind in ("__defaults__", "__kwdefaults__"):
            if getattr(function, kind):
                place = f"{kind.strip('_')} of {function.__name__}"
                looks[place] = functools.partial(getattr, function, kind)
        for name, look in looks.items():
            self._watch(name, look)
            thing = look()
            if _is_interface(thing):  # of these the names in this code alone: NumPy has many
                for attribute in attributes:
                    self._watch_own(name, thing, attribute)
        self._attributes |= attributes

    # ---- attributes ------------------------------------------------------------------------------

    def _watch_objects(self) -> None:
        """Watch the attributes that are read, until no more objects and names are found."""
        done: set[tuple[int, str]] = set()
        while True:
            new = [(i, a) for i in self._objects for a in self._attributes if (i, a) not in done]
            if not new:
                return
            done.update(new)
            for key, attribute in new:
                name, thing = self._objects[key]
                if not self._watch_own(name, thing, attribute):
                    self._watch_attribute_of_class(name, thing, attribute)

    def _watch_own(self, name: str, thing: Any, attribute: str) -> bool:
        """Watch an attribute if it is in the object's __dict__; returns whether it is."""
        own = getattr(thing, "__dict__", None)
        if not isinstance(own, dict) or isinstance(thing, types.FunctionType):
            return False
        if attribute not in own:
            return False
        if not (_is_module(thing) and _is_kept(attribute, own[attribute])):  # which is watched
            self._watch(f"{name}.{attribute}", functools.partial(own.get, attribute))
        return True

    def _watch_attribute_of_class(self, name: str, thing: Any, attribute: str) -> None:
        kind = thing if isinstance(thing, type) else type(thing)
        owner = next((c for c in kind.__mro__ if attribute in vars(c)), None)
        if owner is None or _is_library(owner.__module__):
            return
        found = vars(owner)[attribute]
        place = f"{name}.{attribute}"
        if hasattr(type(found), "__get__") and not isinstance(found, types.MemberDescriptorType):
            # methods and properties, of which one only looks whether they are the same
            self._add(place, functools.partial(vars(owner).get, attribute), found, noticed=False)
            for part in ("fget", "func", "__func__"):
                self._watch_function(getattr(found, part, None))
            self._watch_function(found)
        else:
            self._watch(place, functools.partial(getattr, thing, attribute, None))


def _is_module(value: Any) -> bool:
    """Whether it is a module, of which this room knows nothing else."""
    return callable(getattr(type(value), "named_modules", None))


def _is_kept(name: str, value: Any) -> bool:
    """Whether an attribute of a module is watched in any case."""
    return not name.startswith("_") or isinstance(value, _KEPT)


def _names_in(own: dict[str, Any]) -> str:
    """The names of a module's public attributes; whether it trains is watched by itself."""
    return sys.intern(" ".join(name for name in own if name[0] != "_" and name != "training"))


def _written(look: Look) -> str:
    """What is in a set or the like, if that is plain, as text."""
    bag = look()
    plain = isinstance(bag, _BAGS) and len(bag) <= _MOST and all(isinstance(v, PLAIN) for v in bag)
    return sys.intern(repr(bag) if plain else f"{type(bag)} {id(bag)}")


def _is_interface(thing: Any) -> bool:
    """Whether an installed library offers it: a module, class, function, or plain constant."""
    if isinstance(thing, types.ModuleType):
        return _is_library(thing.__name__)
    if not callable(thing):
        return not hasattr(thing, "__dict__") and _is_library(type(thing).__module__)
    return _is_library((thing if isinstance(thing, type) else type(thing)).__module__)


@functools.cache
def _is_library(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return module != "__main__" and (file is None or file.startswith(_LIBRARIES))


def _into(cell: types.CellType) -> Look:
    """How to look at a variable of an enclosing function."""
    if cell == types.CellType():  # empty, as this one: not assigned yet
        return functools.partial(_content, cell)
    return functools.partial(getattr, cell, "cell_contents")  # a function would take twice as long


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _item(values: Any, i: int) -> Any:
    return values[i] if i < len(values) else None


def _globals_read(code: types.CodeType) -> list[str]:
    return [str(i.argval) for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"]


def _parts(code: types.CodeType | None) -> list[types.CodeType]:
    """Code, and that of the functions and comprehensions in it."""
    if code is None:
        return []
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return [code, *(part for c in inner for part in _parts(c))]
