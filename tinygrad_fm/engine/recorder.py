"""Recording: the node of an operation that was just computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_fm.engine.node import Constant, Node, clock, find_origin, layout_of, state
from tinygrad_fm.engine.registry import Primitive, pick

_new: Any = object.__new__
_NOTHING: dict[str, Any] = {}
# what stays in the graph as it is
_PLAIN = frozenset({int, float, bool, str, slice, type(None), type(Ellipsis)})


def record(
    primitive: Primitive,
    nodes: Sequence[Node | None],
    values: Sequence[Any],
    keywords: dict[str, Any],
    y: Any,
) -> Node:
    """The node of `y = primitive(*values, **keywords)`; `nodes` holds each argument's node."""
    inputs = []
    wanted, bit = 0, 1  # a bit for each argument that a gradient is to reach
    plain = False
    for node, value in zip(nodes, values):  # noqa: B905  (strict costs on the hot path)
        if node is None:
            plain = True
            inputs.append(value if type(value) in _PLAIN else _skeleton(value))
        else:
            inputs.append(node)
            if node.requires_grad:
                wanted |= bit
        bit <<= 1
    if wanted & ~primitive.covers:
        _refuse_missing(primitive, wanted)
    wanted &= primitive.reaches
    if primitive.multiple:
        made = _blank(primitive, tuple(inputs), y[0], state.mode.scope)
        made.shape = tuple([part.shape for part in y])
        made.dtype = tuple([part.dtype for part in y])
        made.layout = None
    else:
        made = _blank(primitive, tuple(inputs), y, state.mode.scope)
        if made.dtype.kind != "f":
            if made.dtype.kind in "cO":
                _refuse_complex(primitive, made.dtype)
            wanted = 0
    made.keywords = keywords
    if wanted:
        made.requires_grad = True
        keep_y, keep = primitive.plans.get(wanted) or primitive.plan(wanted, len(inputs))
        if keep_y:
            made.y = y
        for i in keep:
            inputs[i] = values[i]
        if plain:
            # a plain argument that nothing is differentiated by (an axis, an index) is kept always
            for i, n in enumerate(nodes):
                if n is None and not primitive.reaches >> i & 1:
                    inputs[i] = values[i]
        made.args = tuple(inputs)
    return made


def record_one(primitive: Primitive, n: Node, x: Any, y: Any, scope: Any) -> Node:
    """`record` for a function of one argument and no keywords: the same without loops."""
    made = _blank(primitive, (n,), y, scope)
    if n.requires_grad and primitive.reaches and made.dtype.kind == "f":
        made.requires_grad = True
        keep_y, keep = primitive.plans.get(1) or primitive.plan(1, 1)
        if keep_y:
            made.y = y
        if keep:
            made.args = (x,)
    elif made.dtype.kind in "cO":
        _refuse_complex(primitive, made.dtype)
    return made


def record_two(
    primitive: Primitive, n: Node | None, m: Node | None, a: Any, b: Any, y: Any, scope: Any
) -> Node:
    """`record` for a function of two arguments and no keywords: the same without loops."""
    wanted = 0
    i: Any = n
    j: Any = m
    if n is None:
        i = a if type(a) in _PLAIN else _skeleton(a)
    elif n.requires_grad:
        wanted = 1
    if m is None:
        j = b if type(b) in _PLAIN else _skeleton(b)
    elif m.requires_grad:
        wanted += 2
    if wanted & ~primitive.covers:
        _refuse_missing(primitive, wanted)
    wanted &= primitive.reaches
    made = _blank(primitive, (i, j), y, scope)
    if wanted and made.dtype.kind == "f":
        made.requires_grad = True
        keep_y, keep = primitive.plans.get(wanted) or primitive.plan(wanted, 2)
        if keep_y:
            made.y = y
        if keep:
            made.args = (a if 0 in keep else i, b if 1 in keep else j)
    elif made.dtype.kind in "cO":
        _refuse_complex(primitive, made.dtype)
    return made


def _blank(primitive: Primitive, inputs: tuple[Any, ...], y: Any, scope: Any) -> Node:
    """The node of `y`, as yet without gradient; slot by slot, for a constructor costs a call."""
    made: Node = _new(Node)
    made.primitive = primitive
    made.inputs = made.args = inputs
    made.keywords = _NOTHING
    made.shape = y.shape
    made.dtype = y.dtype
    made.requires_grad = False
    made.y = made.hooks = made.owner = None
    made.layout = layout_of(y) if y.ndim > 1 else None
    made.scope = scope
    made.serial = next(clock)
    made.origin = (scope and scope.origin) or find_origin(5)
    return made


def _refuse_missing(primitive: Primitive, wanted: int) -> None:
    missing = (wanted & ~primitive.covers).bit_length() - 1
    raise TypeError(
        f"{primitive.name} has no derivative rule for argument {missing}, which requires a "
        f"gradient; its definition gives {len(primitive.rules)} rules: add one for each argument, "
        "None where there is no derivative"
    )


def _refuse_complex(primitive: Primitive, dtype: Any) -> None:
    raise TypeError(
        f"{primitive.name} gave a result of dtype {dtype} in a graph; derivatives are defined for "
        "real floats only: compute real and imaginary parts on their own, and convert Fraction or "
        "Decimal to float"
    )


def record_pick(whole: Node, i: int, part: Any) -> Node:
    """The node of result `i` of an operation with several results."""
    grad = whole.requires_grad and part.dtype.kind == "f"
    node = Node(pick, (whole, i), (), {}, None, part.shape, part.dtype, grad)
    node.layout = layout_of(part)
    node.scope, node.origin = whole.scope, whole.origin
    return node


def _skeleton(value: Any) -> Any:
    """What stays of an argument that is not recorded when the graph is freed."""
    if type(value) is np.ndarray:  # by far the most frequent, so asked first
        return Constant(value.shape, value.dtype)
    if isinstance(value, np.generic):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(v if type(v) in _PLAIN else _skeleton(v) for v in value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return Constant(value.shape, value.dtype)
    return value
