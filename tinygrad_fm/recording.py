"""Applying operations to Tensors: compute, record, and answer NumPy's two protocols.

This file knows of a Tensor only what every recorded value has: its array and its node.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node, Primitive, quoted, registry, rewrites, state
from tinygrad_fm.engine.node import PACKAGE
from tinygrad_fm.engine.registry import numpy_signature, unknown_keyword
from tinygrad_fm.rules import special
from tinygrad_fm.sharing import Share

_new = object.__new__
_ORDINARY = frozenset({float, int, np.ndarray})  # none of these opts out of NumPy's protocol
_NOTHING: dict[str, Any] = {}


class Recorded:
    """An array and its place in the graph; `Tensor` adds all that a person calls."""

    __slots__ = ("__weakref__", "_array", "_grad", "_memory", "_node", "_view", "name")

    _array: Any
    _grad: Any
    _node: Node | None
    _memory: object | None  # a Share, or else one object that all views of one another refer to
    _view: tuple[Any, tuple[Any, ...]] | None  # for x[i]: a weak reference to x, and i
    name: str | None

    result_type: ClassVar[type[Any]]  # what operations return; tensor.py sets it to Tensor

    def _assign(self, value: Any) -> Any:
        raise NotImplementedError

    def _has_left(self, how: str) -> None:
        """Note that the value was taken out of a graph under way, by somebody's own code."""
        if not sys._getframe(2).f_code.co_filename.startswith(PACKAGE):
            state.mode.left = how

    def _describe(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"the Tensor{name} of shape {self._array.shape}"


def as_array(value: Any) -> Any:
    """An array of any library that speaks NumPy's protocols as it is; anything else as ndarray."""
    if hasattr(value, "__array_ufunc__") and not isinstance(value, np.generic):
        return value
    return np.asarray(value)


def as_real_array(value: Any, what: str) -> Any:
    """`as_array` of a gradient or a tangent, which is as real as what it belongs to.

    Raises:
        TypeError: it is complex.
    """
    array = value._array if isinstance(value, Recorded) else as_array(value)
    if array.dtype.kind == "c":
        raise TypeError(
            f"{what} has the dtype {array.dtype}; derivatives are defined for real floats only: "
            "pass its .real and its .imag one after the other"
        )
    return array


def make(data: Any, node: Node | None) -> Any:
    """A Tensor around an array and its node, without checks."""
    made = _new(Recorded.result_type)
    made._array = data
    made._node = node
    made._grad = made._memory = made._view = made.name = None
    return made


def apply(primitive: Primitive, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Compute `primitive(*args, **keywords)` and record it if an argument is recorded."""
    if len(args) == 1 and not keywords and not primitive.multiple:
        return apply_one(primitive, args[0])
    values, nodes, recorded = [], [], False
    for argument in args:
        if isinstance(argument, Recorded):
            node = argument._node
            values.append(argument._array)
            nodes.append(node)
            if node is not None:
                recorded = True
        else:
            values.append(argument)
            nodes.append(None)
    if keywords:
        for name, value in keywords.items():
            if isinstance(value, Recorded):
                raise TypeError(
                    f"{primitive.name} got a Tensor as {name}=..., where its gradient would be "
                    f"lost; pass {name} as {value._describe()}.detach().data"
                )
    return _compute(primitive, args, values, nodes if recorded else None, keywords)


def apply_one(primitive: Primitive, a: Any) -> Any:
    """`apply` to one Tensor: the same without its loops, which cost more than small arithmetic."""
    x, n = a._array, a._node
    try:
        result = primitive.function(x)
    except ValueError as error:
        raise explain(primitive, (a,), (x,), error) from error.__cause__
    if type(result) is not np.ndarray and isinstance(result, (np.generic, float, int)):
        result = np.asarray(result)
    made = _new(Recorded.result_type)
    made._array = result
    made._grad = made._memory = made._view = made.name = None
    made._node = None
    mode = state.mode
    if n is not None and mode.recording:
        made._node = engine.record_one(primitive, n, x, result, mode.scope)
    if mode.observer is not None:
        mode.observer.computed(primitive, (x,), _NOTHING, result, made._node)
    if getattr(result, "base", None) is not None:
        _mark_view(made, a)
    return made


def apply_two(primitive: Primitive, a: Any, b: Any) -> Any:
    """`apply` to two arguments, of which at least one is a Tensor, likewise without loops."""
    if isinstance(a, Recorded):
        x, n = a._array, a._node
    elif type(a) is list:
        return apply_two(primitive, stacked(a), b)
    else:
        x, n = a, None
    if isinstance(b, Recorded):
        y, m = b._array, b._node
    elif type(b) in _ORDINARY:
        y, m = b, None
    elif type(b) is list:
        return apply_two(primitive, a, stacked(b))
    elif getattr(b, "__array_ufunc__", b) is None:
        return NotImplemented  # b opts out of NumPy's protocol and answers for itself
    else:
        y, m = b, None
    try:
        result = primitive.function(x, y)
    except ValueError as error:
        raise explain(primitive, (a, b), (x, y), error) from error.__cause__
    if type(result) is not np.ndarray and isinstance(result, np.generic):
        result = np.asarray(result)
    made = _new(Recorded.result_type)
    made._array = result
    made._grad = made._memory = made._view = made.name = None
    made._node = None
    mode = state.mode
    if (n is not None or m is not None) and mode.recording:
        made._node = engine.record_two(primitive, n, m, x, y, result, mode.scope)
    if mode.observer is not None:
        mode.observer.computed(primitive, (x, y), _NOTHING, result, made._node)
    return made


def _compute(
    primitive: Primitive,
    args: tuple[Any, ...],
    values: Sequence[Any],
    nodes: Sequence[Node | None] | None,
    keywords: dict[str, Any],
) -> Any:
    """The result as a Tensor, recorded where some argument has a node (else `nodes` is None)."""
    try:
        result = primitive.function(*values, **keywords)
    except (ValueError, IndexError) as error:
        raise explain(primitive, args, values, error) from error.__cause__
    if primitive.multiple:
        return _several(primitive, args, values, nodes, keywords, tuple(result))
    if isinstance(result, (np.generic, float, int)):
        result = np.asarray(result)
    node = None
    mode = state.mode
    if nodes is not None and mode.recording:
        node = engine.record(primitive, nodes, values, keywords, result)
    made = make(result, node)
    if mode.observer is not None:
        mode.observer.computed(primitive, values, keywords, result, node)
    if getattr(result, "base", None) is not None:
        _mark_view(made, args[0])
    return made


def _mark_view(made: Any, source: Any) -> None:
    """Let a view and its source know of each other, through one object that both refer to."""
    if isinstance(source, Recorded):
        base = getattr(made._array, "base", None)
        if base is not None and (base is source._array or base is source._array.base):
            memory = source._memory
            if type(memory) is Share:
                made._memory = Share(memory.family, memory.parts)
                memory.family.add(made)
                return
            if memory is None:
                memory = source._memory = object()
            made._memory = memory


def _several(
    primitive: Primitive,
    args: tuple[Any, ...],
    values: Sequence[Any],
    nodes: Sequence[Node | None] | None,
    keywords: dict[str, Any],
    results: tuple[Any, ...],
) -> list[Any]:
    """One node for the tuple of results, and a pick node for each of them."""
    whole = None
    if nodes is None or not state.mode.recording:
        made = [make(part, None) for part in results]
    else:
        whole = engine.record(primitive, nodes, values, keywords, results)
        made = [make(part, engine.record_pick(whole, i, part)) for i, part in enumerate(results)]
    if state.mode.observer is not None:
        state.mode.observer.computed(primitive, values, keywords, results, whole)
    for part in made:
        _mark_view(part, args[0])
    return made


def explain(
    primitive: Primitive, args: Sequence[Any], values: Sequence[Any], error: Exception
) -> Exception:
    """The same error, with the operation, the shapes aligned, where each came from, the module."""
    operands = [(i, args[i], v.shape) for i, v in enumerate(values) if hasattr(v, "shape")]
    shapes = [shape for _, _, shape in operands]
    said = str(error).removeprefix(f"{primitive.name}: ")
    # linear's bias is the third; what does not fit there is not about the product
    if primitive.function is np.matmul or (primitive.name == "linear" and "matmul" in said):
        a, b = shapes[:2]
        if min(len(a), len(b)) > 0:
            said = (
                f"{a} @ {b}: the last axis of the left ({a[-1]}) must equal the last but one of "
                f"the right ({b[-2] if len(b) > 1 else b[-1]})"
            )
            if len(b) > 1 and b[-1] == a[-1]:
                said += "; perhaps the right one is to be transposed: .T"
    lines = [f"{primitive.name}: {said}", *_lines_of(operands)]
    if state.mode.scope is not None:
        lines.append(f"    in module {state.mode.scope.path()}")
    text = "\n".join(lines)
    if type(error) in (ValueError, IndexError):
        error = type(error)(text)
    else:
        error.add_note(text)  # an exception of the user's own keeps its kind and arguments
    if state.mode.observer is not None:
        state.mode.observer.failed(error, primitive, values)
    return error


def explain_call(error: BaseException, scope: Any, arguments: Sequence[Any]) -> None:
    """Note on an error that a module call raised itself: its path, and where its input came from.

    An operation's own error says so already.
    """
    said = "\n".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, ValueError) and "    in module " not in said:
        operands = [(i, a, a.shape) for i, a in enumerate(arguments) if hasattr(a, "shape")]
        error.add_note("\n".join([*_lines_of(operands), f"    in module {scope.path()}"]))


def _lines_of(operands: list[tuple[int, Any, Any]]) -> list[str]:
    """A line for each operand: its shape, aligned on the right, and where it came from."""
    width = max((len(str(shape)) for _, _, shape in operands), default=0)
    return [f"    argument {i}: {s!s:>{width}}  {_source_of(value)}" for i, value, s in operands]


def _source_of(argument: Any) -> str:
    """Where an operand came from: the operation and line that made it, or its name."""
    if not isinstance(argument, Recorded):
        return "an array"
    node = argument._node
    if node is None or node.primitive is None:
        name = argument.name or _path_of(argument)
        if not name:
            return "a leaf without a name" if node is not None else "a Tensor, not recorded"
        return f"the leaf {name!r}" if node is not None else f"the Tensor {name!r}, not recorded"
    if not node.line:
        return f"made by {node.name}"
    return f"made by {node.name} at {quoted(node.line)}"


def _path_of(argument: Any) -> str:
    """The path of a parameter in the outermost module that is being called; empty for another."""
    scope = state.mode.scope
    while scope is not None and scope.outer is not None:
        scope = scope.outer
    module = None if scope is None else scope.module()
    known = () if module is None else (*module.named_parameters(), *module.named_buffers())
    return next((path for path, tensor in known if tensor is argument), "")


def recorded(values: Any) -> bool:
    """Whether a recorded Tensor is among the values, in lists, tuples and dictionaries too."""
    if isinstance(values, Recorded):
        return values._node is not None
    if isinstance(values, dict):
        return any(recorded(v) for v in values.values())
    return isinstance(values, (list, tuple)) and any(recorded(v) for v in values)


def holds_tensor(values: Any) -> bool:
    """Whether a Tensor is among the values of a list or tuple, or of lists in it."""
    return any(
        isinstance(v, Recorded) or (isinstance(v, (list, tuple)) and holds_tensor(v))
        for v in values
    )


def stacked(values: Any) -> Any:
    """A list as one array, as np.array makes it; as one Tensor where the list holds Tensors."""
    if not isinstance(values, (list, tuple)):
        return values
    if not holds_tensor(values):
        return np.asarray(values)
    parts: list[Any] = [stacked(v) for v in values]
    return np.stack(parts)


def _plain(values: Any) -> Any:
    if isinstance(values, Recorded):
        return values._array
    if isinstance(values, (list, tuple)):
        return type(values)(_plain(v) for v in values)
    if isinstance(values, dict):
        return {k: _plain(v) for k, v in values.items()}
    return values


def _wrapped(result: Any) -> Any:
    """Arrays of numbers as Tensors; anything else as it is."""
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype.kind in "fiubc":
        return make(np.asarray(result), None)
    if type(result) in (list, tuple):
        return type(result)(_wrapped(r) for r in result)
    return result


# Questions about arrays, answered in plain Python values whether or not a graph is recorded.
QUESTIONS = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.min_scalar_type}
QUESTIONS |= {np.may_share_memory, np.shares_memory, np.array_equal, np.array_equiv, np.allclose}
QUESTIONS |= {np.array2string, np.array_repr, np.array_str, np.nonzero, np.iscomplexobj}
QUESTIONS |= {np.diag_indices_from, np.tril_indices_from, np.triu_indices_from}
QUESTIONS |= {np.isrealobj, np.argwhere, np.flatnonzero, np.save, np.savetxt, np.savez}


def rewritten(function: Any, written: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Compute `function` by what is `written` for it, which may know fewer keywords."""
    places, names = _takes(written)
    if len(args) > places or (names is not None and not keywords.keys() <= names):
        signature = numpy_signature(function)
        if signature is not None and names is not None:
            given = dict(zip((n for n, _ in signature), args, strict=False)) | keywords
            unknown = {
                name: value
                for name, value in given.items()
                if name not in names and value is not dict(signature).get(name, given)
            }
            if unknown:
                if not (state.mode.recording and recorded((args, keywords))):
                    return without_rule(function, args, keywords, None)
                name, value = next(iter(unknown.items()))
                known = ", ".join(sorted(names)) or "no keywords"
                raise TypeError(unknown_keyword(_public_name(function), name, value, known))
            first = {name for name, _ in signature[:places]}
            keywords = {n: v for n, v in given.items() if n in names - first or n in keywords}
            keywords = {n: v for n, v in keywords.items() if n in names}
            args = args[:places]
    return written(*args, **keywords)


@functools.cache
def _takes(written: Any) -> tuple[int, frozenset[str] | None]:
    """How many arguments a rewrite takes by position, and which by name (None: any)."""
    parameters = inspect.signature(written).parameters.values()
    kinds = [p.kind for p in parameters]
    places = sum(k in (k.POSITIONAL_ONLY, k.POSITIONAL_OR_KEYWORD) for k in kinds)
    any_number = any(k is k.VAR_POSITIONAL for k in kinds)
    names = frozenset(p.name for p in parameters if p.kind is not p.VAR_POSITIONAL)
    any_name = any(k is k.VAR_KEYWORD for k in kinds)
    return sys.maxsize if any_number else places, None if any_name else names


def _public_name(function: Any) -> str:
    """How a person writes the function: np.linalg.norm."""
    name = getattr(function, "__name__", str(function))
    module = getattr(function, "__module__", None) or "numpy"
    if isinstance(function, np.ufunc) and getattr(np, name, None) is not function:
        module = "scipy.special" if special.is_special(function) else ""
    return f"{module}.{name}".removeprefix(".").replace("numpy.", "np.", 1)


def _differentiable() -> list[Any]:
    return [f for f, p in registry.items() if p.differentiable] + list(rewrites)


# Modules and functions whose results are complex numbers.
_COMPLEX = ("np.fft.", "np.lib.scimath.", "np.lib._scimath_impl.", "np.linalg.eig", "np.roots")


def without_rule(
    function: Any, args: tuple[Any, ...], keywords: dict[str, Any], found: Primitive | None
) -> Any:
    """Compute a function that has no rule: plainly where nothing is recorded, else an error."""
    if function in QUESTIONS:
        return function(*_plain(args), **_plain(keywords))
    constant = found is not None and not found.differentiable
    if not constant and state.mode.recording and (recorded(args) or recorded(keywords)):
        name = _public_name(function)
        if found is not None:
            unknown, value = next(iter(keywords.items()))
            raise TypeError(unknown_keyword(name, unknown, value, "no keywords"))
        if name.startswith(_COMPLEX):
            raise TypeError(
                f"{name} computes with complex numbers, and derivatives are defined for real "
                "floats only; write real and imaginary parts as two real arrays, or x.detach() "
                "where no gradient is needed"
            )
        known = {_public_name(f).rpartition(".")[2]: _public_name(f) for f in _differentiable()}
        short = name.rpartition(".")[2]
        near = [known[k] for k in difflib.get_close_matches(short, known, n=3, cutoff=0.5)]
        raise TypeError(
            f"{name} has no derivative rule"
            + (f" (near it: {', '.join(near)})" if near else "")
            + f"; give it one with tg.defvjp({name}, ...), or write x.detach() where no gradient "
            "is needed"
        )
    result = function(*_plain(args), **_plain(keywords))
    if function in _WRITES and isinstance(args[0], Recorded):
        engine.mark_changed(engine.memory_of(args[0]._array))
    return _wrapped(result)


# Functions that write into their first argument.
_WRITES = {np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis}

_METHOD_ADVICE = {
    "reduce": "np.sum, np.prod, np.max or np.min",
    "accumulate": "np.cumsum",
    "outer": "np.outer",
    "at": "an assignment x[i] = v",
    "reduceat": "slices and np.sum",
}


def ufunc_method(
    ufunc: Any, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any], out: Any
) -> Any:
    """np.add.reduce and the like: computed where nothing is recorded, else refused with advice."""
    if state.mode.recording and (recorded(inputs) or recorded(out)):
        raise TypeError(
            f"np.{ufunc.__name__}.{method} of a Tensor has no derivative rule; write "
            f"{_METHOD_ADVICE.get(method, 'another NumPy function')} instead"
        )
    if out is not None:
        keywords = {**keywords, "out": _plain(out)}
    result = getattr(ufunc, method)(*_plain(inputs), **_plain(keywords))
    for written in (out, inputs[0] if method == "at" else None):
        if isinstance(written, Recorded):
            engine.mark_changed(engine.memory_of(written._array))
    return out if out is not None else _wrapped(result)


def masked_into(ufunc: Any, inputs: Any, keywords: dict[str, Any], out: Any) -> Any:
    """`ufunc(..., out=out, where=mask)`: where the mask is false, `out` keeps what it held."""
    if state.mode.recording and (recorded(inputs) or recorded(keywords) or recorded(out)):
        raise TypeError(
            f"np.{ufunc.__name__} with out= and where= has no derivative rule; write "
            f"out = np.where(mask, np.{ufunc.__name__}(...), out)"
        )
    ufunc(*_plain(inputs), **_plain(keywords), out=_plain(out))
    if isinstance(out, Recorded):
        engine.mark_changed(engine.memory_of(out._array))
    return out


def into(out: Any, result: Any) -> Any:
    """`out=`: a Tensor is bound to the result; an ndarray takes plain values only."""
    if isinstance(out, tuple):
        out = out[0]
    if isinstance(out, Recorded):
        return out._assign(result)
    if result._node is not None:
        raise TypeError(
            "out= is a plain array and would lose the graph of the result; pass a Tensor as out=, "
            "or leave it out"
        )
    np.copyto(out, result._array, casting="same_kind")
    return out


# --------------------------------------------------------------------------------------------------
# Whether to record
# --------------------------------------------------------------------------------------------------


class _Recording(contextlib.ContextDecorator):
    """A context that switches recording; it can be entered again, also inside itself."""

    on: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(state.mode.recording)
        state.mode.recording = self.on

    def __exit__(self, *error: object) -> None:
        state.mode.recording = self._before.pop()


class no_grad(_Recording):  # noqa: N801  (used like a function, and so spelled)
    """`with no_grad():` computes without recording, in this thread; also `@no_grad()`."""

    on = False


class enable_grad(_Recording):  # noqa: N801
    """`with enable_grad():` records again inside `no_grad()`."""

    on = True


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return state.mode.recording
