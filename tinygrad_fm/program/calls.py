"""How each function is written in a program: as which call of NumPy, and into which memory.

A function that is not named here is called as it stands, and makes its result itself.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.program.values import Instruction, Value, layout
from tinygrad_fm.rules import compiled_images, elementwise, indexing, products, shaping

Texts = list[str]

# The ufunc that a reduction is made of costs a third of the function with its name.
_REDUCTIONS = {np.sum: "np.add", np.max: "np.maximum", np.min: "np.minimum", np.prod: "np.multiply"}
# Functions that take `out=`, and are pure Python around it.
_TAKE_OUT: set[Any] = {np.mean, np.var, np.std, np.cumsum, np.clip}
_GETITEM = indexing.getitem.function
_ASTYPE = elementwise.astype.function
_CONCATENATE = shaping.concatenate.function
_FILLED = {np.zeros_like: "0", np.ones_like: "1"}
_WRITTEN: set[Any] = {_GETITEM, _ASTYPE, _CONCATENATE, products.multiply}


def is_written(function: Any) -> bool:
    """Whether a Python function is written in a way of its own, and not by what is inside it."""
    return function in _WRITTEN or function is indexing.scatter_add.function


def check_shape(array: Any, shape: tuple[int, ...], function: str) -> None:
    """Refuse an array of another shape than in the trace, which NumPy might broadcast unseen."""
    if np.shape(array) != shape:
        raise ValueError(
            f"{function} returned an array of shape {np.shape(array)}, and {shape} when the step "
            "was traced: a program keeps the shapes of its arrays, whatever numbers they hold"
        )


def is_foreign(function: Any) -> bool:
    """Whether a function is neither NumPy's nor the library's, so that it may return any shape."""
    module = str(getattr(function, "__module__", "") or "")
    return not (
        isinstance(function, np.ufunc) or module.startswith(("numpy", "tinygrad_fm.", "builtins"))
    )


def is_called_by_name(function: Any) -> bool:
    """Whether a program calls a function that NumPy does not have."""
    return function not in _WRITTEN and not function_name(function)


def is_elementwise(call: Instruction) -> bool:
    """Whether element i of the result depends on element i of the arguments alone."""
    function = call.function
    return isinstance(function, np.ufunc) and function.nout == 1 and function.signature is None


def takes_out(call: Instruction) -> bool:
    """Whether the result can be written into memory that is given."""
    if call.kind != "call" or call.several:
        return False
    function = call.function
    if isinstance(function, np.ufunc):
        return function.nout == 1
    return (
        function in _REDUCTIONS
        or function in _TAKE_OUT
        or function in _FILLED
        or function in (_ASTYPE, _CONCATENATE, np.copy)
        or (_is_reshape(call) and call.results[0].base is None)
        or _has_out(function)
    )


def _is_reshape(call: Instruction) -> bool:
    """Whether it is a plain one, in C order."""
    plain = call.function is np.reshape and len(call.args) == 2 and not call.keywords
    return plain and isinstance(call.args[0], Value)


@functools.cache
def _has_out(function: Any) -> bool:
    """Whether it is a function of the rules that writes its result to `*, out` if need be."""
    if not str(getattr(function, "__module__", "")).startswith("tinygrad_fm.rules."):
        return False
    place = inspect.signature(function).parameters.get("out")
    return place is not None and place.kind is place.KEYWORD_ONLY


def expression(call: Instruction, name: Callable[[Any], str], out: str = "") -> str:
    """The call as text; `name` gives the text of an argument, `out` is where the result goes."""
    function = call.function
    texts = [name(argument) for argument in call.args]
    named = [f"{key}={name(value)}" for key, value in call.keywords.items()]
    into = [f"out={out}"] if out else []
    if function is _GETITEM:
        return f"{texts[0]}[{', '.join(map(subscript(name), call.args[1:]))}]"
    if function is _ASTYPE:
        return _copied(texts[0], out) if out else f"{texts[0]}.astype({texts[1]})"
    if function is np.copy and out:
        return _copied_whole(call, name, out)
    if function in _FILLED and out:
        return f"{out}.fill({_FILLED[function]})"
    if function is _CONCATENATE:
        return _call("np.concatenate", [f"({', '.join(texts)},)"], named, into)
    if function in _REDUCTIONS and _is_plain(call):
        ufunc = _REDUCTIONS[function]
        if len(texts) == 1 and "axis" not in call.keywords:
            named.insert(0, "axis=None")
        return _call(f"{ufunc}.reduce", texts, named, into)
    if function is products.multiply:
        made, cut = _way(call.args)
        return _call(name(made), [*texts, *map(str, cut)], named, into)
    if _is_reshape(call):
        if out:  # of an array in another order, which is copied
            return _copied_whole(call, name, f"{out}.reshape({name(call.args[0].shape)})")
        return f"{texts[0]}.reshape({texts[1]})"
    if function is np.transpose and isinstance(call.args[0], Value) and not call.args[1:]:
        axes = call.keywords.get("axes")
        return f"{texts[0]}.T" if axes is None else f"{texts[0]}.transpose({name(axes)})"
    return _call(name(function), texts, named, into)


def _is_plain(call: Instruction) -> bool:
    return call.keywords.keys() <= {"axis", "keepdims"}


def _call(function: str, *arguments: Texts) -> str:
    return f"{function}({', '.join(a for group in arguments for a in group)})"


def _copied(source: str, out: str) -> str:
    return f'np.copyto({out}, {source}, casting="unsafe")'


def _copied_whole(call: Instruction, name: Callable[[Any], str], out: str) -> str:
    """Of an array of the same dtype, maybe in another order."""
    source = call.args[0]
    if math.prod(source.shape) < compiled_images.LARGE:
        return _copied(name(source), out)
    return _call(name(compiled_images.copyto), [out, name(source)])


def subscript(name: Callable[[Any], str]) -> Callable[[Any], str]:
    """The text of one part of an index, slices with colons."""

    def text(part: Any) -> str:
        if isinstance(part, slice):
            ends = ["" if p is None else name(p) for p in (part.start, part.stop, part.step)]
            return ":".join(ends[:2] if part.step is None else ends)
        return name(part)

    return text


@functools.cache
def function_name(function: Any) -> str:
    """`np.tanh` for NumPy's; an empty string for a function that has to be brought along."""
    short = getattr(function, "__name__", "")
    for prefix, module in (("np", np), ("np.linalg", np.linalg)):
        if getattr(module, short, None) is function:
            return f"{prefix}.{short}"
    return ""


def literal(value: Any) -> str | None:
    """Python text that gives back the very value; None for what has none."""
    if value is None or value is Ellipsis or type(value) in (bool, int, str):
        return "..." if value is Ellipsis else repr(value)
    if type(value) is float:
        return repr(value) if np.isfinite(value) else _not_finite(value)
    if isinstance(value, np.dtype):
        return f"np.{value.name}" if value.isbuiltin == 1 else None
    if isinstance(value, type) and issubclass(value, np.generic):
        return f"np.{value.__name__}"
    if isinstance(value, type) and value in (bool, int, float):
        return value.__name__
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        inner = literal(value.item())
        return None if value.dtype.itemsize > 8 else f"np.{value.dtype.name}({inner})"
    if isinstance(value, slice):
        parts = [literal(p) for p in (value.start, value.stop, value.step)]
        return None if None in parts else f"slice({', '.join(map(str, parts))})"
    return None


def _not_finite(value: float) -> str:
    return "np.nan" if value != value else "np.inf" if value > 0 else "-np.inf"


def shared(call: Instruction) -> Instruction:
    """The same call; a product that is worth several threads as one that they share."""
    if call.function is not products.multiply or not _are_alike(call.args):
        return call
    a, b = call.args
    if threads.several(a.shape[0] * a.shape[1] * b.shape[1]) == 1:
        return call
    made = copy.copy(call)
    made.function, made.name = products.by_threads, products.by_threads.__name__
    return made


def _are_alike(values: Sequence[Any]) -> bool:
    """Whether np.dot takes them: in six times less time for a column times a row.

    Of two dtypes, or out of order, it makes other numbers than np.matmul, in the last digit:
    rules.products.multiply asks the same of arrays, and the two must agree.
    """
    return (
        all(
            isinstance(v, Value)
            and len(v.shape) == 2
            and v.dtype.kind == "f"
            and v.dtype.isnative
            and layout(v) != "A"
            for v in values
        )
        and len({v.dtype for v in values}) == 1
    )


def _way(values: Sequence[Any]) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """The function by which `rules.products.multiply` makes a product, and what else it takes."""
    if not _are_alike(values):
        return np.matmul, ()
    a, b = values
    turned = layout(a) != "C", layout(b) != "C"
    return products.way(a.shape, b.shape, turned, a.dtype)
