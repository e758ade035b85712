"""Guards: what a program took for granted, and what must still be so for it to be run again."""

from __future__ import annotations

import dis
import functools
import operator
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_fm.engine import PACKAGE, Primitive, latest_setting, state
from tinygrad_fm.program.trace import GENERATORS, Trace
from tinygrad_fm.recorded import Recorded

_PLAIN = (bool, int, float, str, type(None))
_KEPT = (*_PLAIN, tuple, list, dict, *GENERATORS)  # of what is private to a module
_LIBRARIES = (PACKAGE, str(Path(dis.__file__).parent), str(Path(np.__file__).parents[1]))
_OURS = "tinygrad_fm."
_MOST = 64  # a longer list, tuple or dictionary is data and no setting

Look = Callable[[], Any]


class Guards:
    """What was so when a step was traced.

    Settings and parts of the modules that were called (`training`, a dropout's p, its generator),
    which parameters require a gradient and have one already, whether gradients are recorded at all,
    and what the step's code, and that of functions it calls, reads from around it: variables, and
    attributes and items of what these hold. Not the numbers in plain arrays.
    """

    def __init__(self, trace: Trace, function: Callable[..., Any], cells: list[Any]):
        self.recording = state.mode.recording
        self.settings: list[tuple[str, Look, Any]] = []
        # Those that may change without an attribute of a module being set, or its __dict__ being
        # another. The others are looked at after that: each look takes a tenth of a microsecond, in
        # a step of fifty.
        self._unnoticed: list[tuple[str, Look, Any]] = []
        self._seen = latest_setting[0]
        self._own: list[dict[str, Any]] = []
        self._cells = {id(tensor) for tensor in cells}
        self._read: set[Any] = set()
        self._modules: dict[int, Any] = {}
        for module in trace.modules.values():
            self._watch_module(module)
        self._watch_function(function)
        self._before = list(map(dict, self._own))
        self._looks = [look for _, look, _ in self._unnoticed]
        self._values = [value for _, _, value in self._unnoticed]
        self.needed = [(tensor, tensor.requires_grad) for tensor in cells]
        self.gradients = [
            (tensor, before is not None) for tensor, before, read in trace.touched() if read
        ]

    def broken(self) -> str:
        """What is no longer so; an empty string if everything is."""
        if state.mode.recording is not self.recording:
            return "no_grad()"
        seen = latest_setting[0]
        quick = seen is self._seen and _equal_dicts(self._own, self._before)
        found_now = map(operator.call, self._looks)
        if not (quick and all(map(operator.is_, found_now, self._values))):  # the very same
            for name, look, value in self._unnoticed if quick else self.settings:
                found = look()
                if found is not value and not _equal(found, value):
                    return name
            self._values = [look() for look in self._looks]  # equal ones, but maybe others
        if not quick:
            self._seen = seen
            self._before = list(map(dict, self._own))
        for tensor, wanted in self.needed:
            node = tensor._node
            if (node is not None and node.requires_grad) is not wanted:
                return f"requires_grad of {tensor._describe()}"
        for tensor, had in self.gradients:
            if (tensor._grad is not None) is not had:
                return f".grad of {tensor._describe()}"
        return ""

    # ---- what to watch ---------------------------------------------------------------------------

    def _add(self, name: str, look: Look, value: Any, noticed: bool) -> None:
        self.settings.append((name, look, value))
        if not noticed:
            self._unnoticed.append((name, look, value))

    def _watch(self, name: str, look: Look, noticed: bool = False) -> None:
        """Watch a value, and what it consists of; `noticed` is whether its changes are anyway."""
        value = look()
        if isinstance(value, Recorded) and id(value) not in self._cells:
            return  # a result that is kept for somebody to look at
        self._add(name, look, value, noticed)
        if isinstance(value, Primitive):
            value = value.function
        if isinstance(value, (types.FunctionType, types.MethodType)):
            self._watch_function(value)
        elif _is_module(value):
            self._watch_module(value)
        elif isinstance(value, (list, tuple, dict)) and len(value) <= _MOST:
            if id(value) in self._read:
                return
            self._read.add(id(value))
            parts = value.values() if isinstance(value, dict) else value
            if not isinstance(value, tuple) and any(map(callable, parts)):  # layers
                self._add(f"the length of {name}", value.__len__, len(value), noticed=False)
            get = value.get if isinstance(value, dict) else functools.partial(_item, value)
            for key in value if isinstance(value, dict) else range(len(value)):
                inside = noticed and isinstance(value, tuple)  # which stays what it is
                self._watch(f"{name}[{key!r:.40}]", functools.partial(get, key), inside)
        elif callable(value) and not isinstance(value, type):
            self._watch_function(getattr(value, "__call__", None))  # noqa: B004 (a bound method)

    def _watch_module(self, module: Any) -> None:
        if id(module) in self._modules:
            return
        self._modules[id(module)] = module
        kind = type(module)
        own = vars(module)
        noticed = kind.__module__.startswith(_OURS)
        if noticed:
            self._own.append(own)
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
        read = dict.fromkeys(n for part in _parts(_code(kind.forward)) for n in part.co_names)
        for name, value in own.items():
            if not name.startswith("_") or isinstance(value, _KEPT):
                place = f"{name} of {kind.__name__}"
                self._watch(place, functools.partial(own.get, name), noticed)
                if not noticed and not isinstance(value, Recorded) and not _is_module(value):
                    self._watch_attributes(place, value, read)
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
        looks: dict[str, Look] = {name: functools.partial(_content, cell) for name, cell in cells}
        attributes: list[str] = []
        for part in _parts(code):
            attributes += part.co_names
            looks |= {
                name: functools.partial(function.__globals__.get, name)
                for name in _globals_read(part)
            }
        if owner is not None:
            looks["self"] = lambda: owner
        for name, look in looks.items():
            self._watch(name, look)
            self._watch_attributes(name, look(), dict.fromkeys(attributes))

    def _watch_attributes(self, name: str, thing: Any, read: Iterable[str]) -> None:
        """Watch those attributes of an object that code reads."""
        own = getattr(thing, "__dict__", None)
        if isinstance(own, dict) and not isinstance(thing, types.FunctionType):
            for attribute in read:
                if attribute in own:
                    self._watch(f"{name}.{attribute}", functools.partial(own.get, attribute))


def _is_module(value: Any) -> bool:
    """Whether it is a module, of which this room knows nothing else."""
    return callable(getattr(type(value), "named_modules", None))


def _names_in(own: dict[str, Any]) -> str:
    """The names of a module's public attributes; whether it trains is watched by itself."""
    return sys.intern(" ".join(name for name in own if name[0] != "_" and name != "training"))


def _equal_dicts(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    """Whether all values are the very same, or are equal."""
    try:
        return a == b
    except Exception:  # of arrays that were compared, as one took the other's place
        return False


def _code(function: Any) -> Any:
    return getattr(getattr(function, "__func__", function), "__code__", None)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned
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


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, _PLAIN) and bool(a == b)
