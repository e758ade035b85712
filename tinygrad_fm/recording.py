"""Applying operations to Tensors: compute, and record where something traced comes in.

This file knows of a Tensor only what every recorded value has: its array and its node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node, Primitive, state
from tinygrad_fm.operand_errors import explain
from tinygrad_fm.recorded import Recorded, make, plain, stacked
from tinygrad_fm.sharing import Share

_new = object.__new__
_ORDINARY = frozenset({float, int, np.ndarray})  # none of these opts out of NumPy's protocol
_SEQUENCES = frozenset({list, tuple, range})
_NOTHING: dict[str, Any] = {}


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
        if mode.trace is not None:
            mode.trace.reads((a,))
    if getattr(result, "base", None) is not None:
        _mark_view(made, a)
    return made


def apply_two(primitive: Primitive, a: Any, b: Any) -> Any:
    """`apply` to two arguments, of which at least one is a Tensor, likewise without loops."""
    if isinstance(a, Recorded):
        x, n = a._array, a._node
    elif type(a) in _SEQUENCES:
        return apply_two(primitive, stacked(a), b)
    else:
        x, n = a, None
    if isinstance(b, Recorded):
        y, m = b._array, b._node
    elif type(b) in _ORDINARY:
        y, m = b, None
    elif type(b) in _SEQUENCES:
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
        if mode.trace is not None:
            mode.trace.reads((a, b))
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
    if type(result) is not np.ndarray and isinstance(result, (np.generic, float, int)):
        result = np.asarray(result)
    node = None
    mode = state.mode
    if nodes is not None and mode.recording:
        node = engine.record(primitive, nodes, values, keywords, result)
    made = make(result, node)
    if mode.observer is not None:
        mode.observer.computed(primitive, values, keywords, result, node)
        if mode.trace is not None:
            mode.trace.reads(args)
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
        if state.mode.trace is not None:
            state.mode.trace.reads(args)
    for part in made:
        _mark_view(part, args[0])
    return made


def check(function: Callable[..., None], *args: Any) -> None:
    """Call a function that looks at numbers and raises where they are wrong, on plain arrays.

    A compiled program makes the same check at each call.
    """
    values = tuple(plain(a) for a in args)
    function(*values)
    if state.mode.trace is not None:
        state.mode.trace.check(function, values)


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
