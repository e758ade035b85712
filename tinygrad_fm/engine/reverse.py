"""The backward pass: gradients carried from the roots of a graph to its leaves.

At heart it is this, where what is not yet there counts as 0:

    gradients = dict(seeds)  # the roots, each with its gradient
    for node in topological(gradients):  # children before parents: all contributions have arrived
        g = gradients[node]
        for parent, rule in zip(node.inputs, node.primitive.rules):  # a leaf has neither
            gradients[parent] += rule(g, node.y, *node.args)

The rest of `backward` gives each contribution its parent's shape, dtype and memory order, adds up
without copies, leaves out what no target needs, calls hooks, frees nodes, and refuses stale graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_fm.engine import changes
from tinygrad_fm.engine.node import (
    BackwardObserver,
    GraphError,
    Node,
    Recomputed,
    layout_of,
    quoted,
    state,
)
from tinygrad_fm.engine.recorder import record_pick
from tinygrad_fm.engine.registry import Primitive, pick


def topological(roots: Iterable[Node]) -> list[Node]:
    """Every node that gradients of the roots pass through, children before parents."""
    stack = list(roots)
    found = set(stack)
    for node in stack:  # the list grows while it is walked
        for parent in node.inputs:
            if type(parent) is Node and parent.requires_grad and parent not in found:
                found.add(parent)
                stack.append(parent)
    stack.sort(key=attrgetter("serial"), reverse=True)
    return stack


def backward(
    seeds: Iterable[tuple[Node, Any]],
    *,
    targets: Iterable[Node] | None = None,
    wrap: Callable[[Any, Any], Any] | None = None,
    keep: bool = False,
) -> dict[Node, Any]:
    """Carry gradients from the roots to the leaves.

    Args:
        seeds: pairs (root, gradient of the root). A gradient has the root's shape.
        targets: the nodes whose gradients are wanted, and nothing else is computed; by default all
            leaves that require a gradient, and the nodes whose Tensor asked to retain theirs.
        wrap: `(value, node) -> Tensor`. Given it, the rules are recorded, which makes the
            gradients themselves differentiable.
        keep: keep the graph for another pass; otherwise each node is freed as it is passed.

    Returns:
        the gradient of each target that was reached. Without `wrap` these may be read-only views
        or arrays shared with others: copy what you keep.

    Raises:
        GraphError: a part of the graph was freed by an earlier pass, or changed in place since.
    """
    gradients: dict[Node, Any] = {}
    for root, seed in seeds:
        gradients[root] = gradients[root] + seed if root in gradients else seed
    order = topological(gradients)
    wanted = None if targets is None else set(targets)
    useful = None if wanted is None else _leading_to(wanted, order)
    mode = state.mode
    scope = mode.scope
    watcher = mode.observer
    if watcher is not None and not isinstance(watcher, BackwardObserver):
        watcher = None
    try:
        return _carry(order, gradients, wanted, useful, wrap, keep, watcher)
    finally:
        mode.scope = scope
        if watcher is not None:
            watcher.ended()


def _carry(
    order: list[Node],
    gradients: dict[Node, Any],
    wanted: set[Node] | None,
    useful: set[Node] | None,
    wrap: Callable[[Any, Any], Any] | None,
    keep: bool,
    watcher: BackwardObserver | None,
) -> dict[Node, Any]:
    """The walk of `backward` along `order`, from the `gradients` of the roots."""
    ours: set[Node] = set()  # whose gradient is an array made here, safe to add to in place
    results: dict[Node, Any] = {}
    every = state.mode.trace is not None  # a trace is to see what rules do to constants, too

    for node in order:
        g = gradients.pop(node, None)
        if g is None:
            continue
        primitive = node.primitive
        if type(g) is dict:
            g = _fill_missing(g, node)
        if node.hooks is not None:
            for hook in node.hooks:
                replaced = hook(g)
                g = g if replaced is None else replaced
        if watcher is not None:
            watcher.arrived(node, g)
        if (primitive is None or node.owner is not None) if wanted is None else node in wanted:
            results[node] = g
        if primitive is None:
            continue
        if primitive is pick:
            parent, i = node.inputs
            if useful is None or parent in useful:
                parts = gradients.setdefault(parent, {})
                parts[i] = parts[i] + g if i in parts else g  # a rule may have picked it again
            continue
        args = node.args
        if args is None:
            raise GraphError(
                f"the graph behind {node.name} {node.shape} was freed by an earlier backward pass; "
                "write backward(retain_graph=True) in the earlier one, or compute the result again"
            )
        y = node.y
        since = node.serial
        if isinstance(args, Recomputed):
            args, y, since = args.take(node)
        if changes.newest[0] > since:
            _check_unchanged(node, args, y, since)
        if wrap is not None:
            state.mode.scope = node.scope  # what a rule records belongs to the module of its node
            args = tuple(
                [
                    wrap(a, n)
                    if type(n) is Node and a is not n
                    else wrap(a, None)
                    if every and isinstance(a, np.ndarray)
                    else a
                    for a, n in zip(args, node.inputs, strict=True)
                ]
            )
            if type(y) is tuple:
                y = tuple([wrap(part, record_pick(node, i, part)) for i, part in enumerate(y)])
            elif y is not None:
                y = wrap(y, node)
        if y is None:
            y = node
        keywords = node.keywords
        rules = primitive.rules
        joint = primitive.joint
        joint_gradients = None if joint is None else joint(g, y, *args, **keywords)
        inputs = node.inputs
        fresh = partial = False
        if primitive.in_place is not None and wrap is None and _is_numpy(g):
            fresh = True  # what the rule of the first argument returns is an array of its own
            if primitive.in_place.adds is not None:
                partial = inputs[0] in gradients
            else:
                partial = node in ours and node.hooks is None and node not in results
                partial = partial and g.flags.writeable
            if partial:
                inputs = (None, *inputs[1:])  # the first comes last, and in place
        for i, parent in enumerate(inputs):
            if type(parent) is not Node or not parent.requires_grad:
                continue
            if useful is not None and parent not in useful:
                continue
            if joint_gradients is not None:
                contribution = joint_gradients[i]
                if contribution is None:
                    continue
            elif primitive.variadic is not None:
                contribution = primitive.variadic(i, g, y, *args, **keywords)
            else:
                rule = rules[i] if i < len(rules) else None
                if rule is None:
                    continue
                contribution = rule(g, y, *args, **keywords) if keywords else rule(g, y, *args)
            if watcher is not None:
                watcher.passed(node, i, g, y, args, contribution)
            if contribution.shape != parent.shape:
                if not primitive.elementwise:
                    raise ValueError(_wrong_shape(primitive, contribution.shape, parent.shape))
                contribution = sum_to(contribution, parent.shape)
            if contribution.dtype is not parent.dtype and contribution.dtype != parent.dtype:
                contribution = contribution.astype(parent.dtype)
            if len(parent.shape) > 1 and (wrap is None or every):
                array = contribution if wrap is None else contribution._array
                if layout_of(array) != parent.layout:
                    contribution = _in_layout(contribution, parent.layout)
            total = gradients.get(parent)
            if total is None:
                gradients[parent] = contribution
                if fresh and i == 0:
                    ours.add(parent)
            elif parent in ours:
                np.add(total, contribution, out=total)
            else:
                gradients[parent] = total = total + contribution
                if wrap is None and isinstance(total, np.ndarray):
                    ours.add(parent)
        if partial:
            parent = node.inputs[0]
            useless = useful is not None and parent not in useful
            if type(parent) is Node and parent.requires_grad and not useless:
                _carry_part(node, parent, g, args, gradients, ours)
        if not keep:
            node.args = node.y = None
    return results


def _carry_part(
    node: Node,
    parent: Node,
    g: Any,
    args: tuple[Any, ...],
    gradients: dict[Node, Any],
    ours: set[Node],
) -> None:
    """The gradient of the array that `node` read or wrote a part of, at the cost of that part.

    What the rule returns has the shape of the whole, mostly zeros or a copy of `g`: a loop over
    n elements would take n times as long.
    """
    in_place = node.primitive.in_place  # type: ignore[union-attr]
    total = gradients.get(parent)
    if in_place.adds is not None:  # type: ignore[union-attr]
        if parent not in ours:
            total = _in_layout(total, parent.layout)
        in_place.adds(total, g, *args)  # type: ignore[union-attr]
    else:
        for other in node.inputs[1:]:  # what was read from g must not change with it
            read = gradients.get(other) if type(other) is Node else None
            if _is_numpy(read) and np.may_share_memory(read, g):
                gradients[other] = read.copy(order="K")  # type: ignore[union-attr]
        total = gradients.get(parent)
        in_place.clears(g, *args)  # type: ignore[union-attr,misc]
        if layout_of(g) != parent.layout:
            g = _in_layout(g, parent.layout)
        total = g if total is None else total + g
    gradients[parent] = total
    ours.add(parent)


def _is_numpy(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic))


def _leading_to(targets: set[Node], order: list[Node]) -> set[Node]:
    """The nodes of `order` from which a target can be reached going towards the leaves."""
    useful = set(targets)
    for node in reversed(order):
        if node not in useful and any(type(p) is Node and p in useful for p in node.inputs):
            useful.add(node)
    return useful


def _fill_missing(found: dict[int, Any], node: Node) -> tuple[Any, ...]:
    """The gradients of all results of a node with several, zeros where none arrived."""
    like = next(iter(found.values()))
    return tuple(
        found[i] if i in found else np.zeros_like(like, shape=shape, dtype=dtype)
        for i, (shape, dtype) in enumerate(zip(node.shape, node.dtype, strict=True))
    )


def sum_to(value: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting: sum `value` over the axes along which an array of `shape` was repeated."""
    if value.shape == shape:
        return value
    extra = value.ndim - len(shape)
    if extra > 0 and value.shape[extra:] == shape:
        axes = tuple(range(extra))
        # a third of np.sum's time where nothing is recorded: the bias of every layer comes here
        if type(value) is np.ndarray:
            return np.add.reduce(value, axis=axes)
        return np.sum(value, axis=axes)
    axes = tuple(i for i in range(value.ndim) if i < extra or shape[i - extra] != value.shape[i])
    return np.reshape(np.sum(value, axis=axes, keepdims=True), shape)


def _wrong_shape(primitive: Primitive, found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    return (
        f"the rule of {primitive.name} returned a gradient of shape {found} for an argument of "
        f"shape {shape}; the rule of a function that is no ufunc returns the argument's shape"
    )


def _in_layout(value: Any, layout: tuple[int, ...] | None) -> Any:
    """A copy of `value` whose axes lie in memory as `layout` says (None: C order)."""
    if layout is None:
        return np.copy(value, order="C")
    back = tuple(sorted(range(len(layout)), key=layout.__getitem__))
    return np.transpose(np.copy(np.transpose(value, layout), order="C"), back)


def _check_unchanged(node: Node, args: tuple[Any, ...], y: Any, since: int) -> None:
    """Refuse to use a kept array whose memory was written to after it was kept."""
    kept = [(f"argument {i}", a) for i, a in enumerate(args) if type(a) is not Node]
    results = y if type(y) is tuple else (y,)
    for what, array in [*kept, *(("its result", part) for part in results)]:
        changed = None if array is None else changes.changed_since(array, since)
        if changed is None:
            continue
        recorded = f" (recorded at {quoted(node.line)})" if node.line else ""
        raise GraphError(
            f"{node.name}{recorded} needs {what} of shape {array.shape} for its derivative, but "
            "that array was changed in place after the forward pass"
            + (f", at {quoted(changed)}" if changed else _WAYS)
            + "; compute the result again after the change, or change a copy"
        )


_WAYS = (
    " (by an optimizer's step, load_state_dict, an assignment to .data or x[i], or through a view)"
)
