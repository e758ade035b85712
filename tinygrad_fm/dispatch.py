"""Answering NumPy for functions that are no primitives: rewrites, questions, and refusals."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Primitive, registry, rewrites, state
from tinygrad_fm.engine.registry import numpy_signature, unknown_keyword
from tinygrad_fm.recorded import Recorded, plain, recorded, wrapped
from tinygrad_fm.rules import special

# Questions about arrays, answered in plain Python values whether or not a graph is recorded.
QUESTIONS = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.min_scalar_type}
QUESTIONS |= {np.may_share_memory, np.shares_memory, np.array_equal, np.array_equiv, np.allclose}
QUESTIONS |= {np.array2string, np.array_repr, np.array_str, np.nonzero, np.iscomplexobj}
QUESTIONS |= {np.diag_indices_from, np.tril_indices_from, np.triu_indices_from}
QUESTIONS |= {np.isrealobj, np.argwhere, np.flatnonzero, np.save, np.savetxt, np.savez}
# Those that are answered without a look at the numbers.
OF_SHAPES = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj}
OF_SHAPES |= {np.may_share_memory, np.shares_memory, np.isrealobj}
OF_SHAPES |= {np.diag_indices_from, np.tril_indices_from, np.triu_indices_from}


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
    if state.mode.trace is not None and function not in OF_SHAPES:
        _leave_trace(_public_name(function), (args, keywords))
    if function in QUESTIONS:
        return function(*plain(args), **plain(keywords))
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
    result = function(*plain(args), **plain(keywords))
    if function in _WRITES and isinstance(args[0], Recorded):
        engine.mark_changed(engine.memory_of(args[0]._array))
    return wrapped(result)


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
    if state.mode.trace is not None:
        _leave_trace(f"np.{ufunc.__name__}.{method}", (inputs, keywords, out))
    if out is not None:
        keywords = {**keywords, "out": plain(out)}
    result = getattr(ufunc, method)(*plain(inputs), **plain(keywords))
    for written in (out, inputs[0] if method == "at" else None):
        if isinstance(written, Recorded):
            engine.mark_changed(engine.memory_of(written._array))
    return out if out is not None else wrapped(result)


def _leave_trace(name: str, values: Any) -> None:
    """A function that no program knows takes these values: refused where they are of Tensors."""
    if isinstance(values, Recorded):
        state.mode.trace.left(values, name)
    elif isinstance(values, (list, tuple)):
        for value in values:
            _leave_trace(name, value)
    elif isinstance(values, dict):
        _leave_trace(name, tuple(values.values()))


def masked_into(ufunc: Any, inputs: Any, keywords: dict[str, Any], out: Any) -> Any:
    """`ufunc(..., out=out, where=mask)`: where the mask is false, `out` keeps what it held."""
    if state.mode.recording and (recorded(inputs) or recorded(keywords) or recorded(out)):
        raise TypeError(
            f"np.{ufunc.__name__} with out= and where= has no derivative rule; write "
            f"out = np.where(mask, np.{ufunc.__name__}(...), out)"
        )
    if state.mode.trace is not None:
        _leave_trace(f"np.{ufunc.__name__} with out= and where=", (inputs, keywords, out))
    ufunc(*plain(inputs), **plain(keywords), out=plain(out))
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
