"""Assignment to a part of a Tensor, x[i] = v: a new node, and the same memory where possible.

Filling an array in a loop is n assignments. Each makes a node of its own, and the Tensor is bound
to the newest. The numbers are written into the Tensor's own memory as long as nobody can see the
older version: no node keeps the array for a derivative, no view and no variable refers to it, which
is what its reference count says. Otherwise the array is copied first, and the copy is the Tensor's
own again.

So that reading h[t - 1] to compute h[t] does not end that, a small part read from a Tensor that is
being filled is a copy. It still is that part, as in NumPy: written to, it changes the whole, and it
follows when the whole changes. `Family` knows who is a part of whom.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import GraphError, Node, state
from tinygrad_fm.operand_errors import explain
from tinygrad_fm.recorded import Recorded
from tinygrad_fm.recording import apply, no_grad
from tinygrad_fm.rules.indexing import getitem, set_at
from tinygrad_fm.sharing import Family, Share


class _Holder:
    __slots__ = ("_array",)


_held = _Holder()
_held._array = np.empty(0)  # type: ignore[attr-defined]
_SOLE = sys.getrefcount(_held._array)  # type: ignore[attr-defined]  # of an array that only a Tensor holds


def assign(target: Any, parts: tuple[Any, ...], value: Any) -> None:
    """Record `target[parts] = value`, and all that changes with it.

    Raises:
        GraphError: a leaf that requires a gradient, or another Tensor that shares memory.
    """
    line = _line(target)
    others = _others(line, parts)
    _set(target, parts, value)
    _settle(line, others)


def rebind(target: Any, value: Any) -> None:
    """Let `target` become `value`, as in `target += 1`, and all that changes with it.

    Raises:
        GraphError: as for `assign`.
    """
    line = _line(target)
    others = _others(line, None)
    _bind(target, value._array, value._node)
    _settle(line, others)


def part_of(made: Any, source: Any, parts: tuple[Any, ...]) -> None:
    """Say that `made` is a view, just taken, of `source` at the index `parts`."""
    made._view = weakref.ref(source), parts
    share = source._memory
    if type(share) is Share and share.family.root() is source:
        made._memory.parts = parts
    _keep_apart(made, source)


def _keep_apart(made: Any, source: Any) -> None:
    """Copy a small part of what is being filled: a node that keeps it keeps no more than that."""
    if state.mode.trace is not None:
        return  # a copy that no operation makes would be taken for a constant
    node = source._node
    filled = node is not None and node.primitive is set_at
    if filled and type(made._array) is np.ndarray and 2 * made._array.size <= source._array.size:
        made._array = np.copy(made._array, order="K")


def is_filled_above(tensor: Any) -> bool:
    """Whether this is a part of a recorded result, so that writing to it is recorded too."""
    return any(t._node is not None and t._node.primitive is not None for t in _line(tensor))


def wrote_plainly(tensor: Any) -> None:
    """After a write that is not recorded: the parts that are copies follow."""
    line = _line(tensor)
    for part, source in itertools.pairwise(line):
        if not _same_memory(part, source):
            _write(source, _plain(part._view[1]), part._array)
    for member in tensor._memory.family.living():
        source = member._view[0]() if member._view is not None else None
        if source is None or _same_memory(member, source) or any(member is t for t in line):
            continue
        with no_grad():
            read = apply(getitem, (source, *member._view[1]), {})
        _write(member, (Ellipsis,), read._array)


def _write(tensor: Any, parts: tuple[Any, ...], value: Any) -> None:
    """Write into a Tensor's array, without a record in the graph."""
    trace = state.mode.trace
    if trace is not None:
        trace.assigns(tensor._array)
    tensor._array[parts] = value
    engine.mark_changed(engine.memory_of(tensor._array))
    if trace is not None:
        trace.assigned(tensor._array, parts, value)


def _line(tensor: Any) -> list[Any]:
    """The Tensor, what it is a part of, what that is a part of, as far as they live."""
    line = [tensor]
    while line[-1]._view is not None and (source := line[-1]._view[0]()) is not None:
        line.append(source)
    return line


def _others(line: list[Any], parts: tuple[Any, ...] | None) -> list[Any]:
    """Who else sees the elements of `line[0]` at `parts` (None: all), and can be read anew.

    Raises:
        GraphError: a leaf would be overwritten, or somebody sees them who cannot be read anew.
    """
    for tensor in line:
        if tensor._node is not None and tensor._node.primitive is None and tensor.requires_grad:
            raise GraphError(
                f"{tensor._describe()} is a leaf that requires a gradient and would be "
                "overwritten; to train it, write `with tg.no_grad(): w -= ...`; to compute with "
                "it, y = w + ..."
            )
    target = line[0]
    share = target._memory
    if share is None:
        return []
    if type(share) is not Share:
        # each Tensor holds one reference, this function one, and getrefcount itself another
        if sys.getrefcount(target._memory) > len(line) + 2:
            raise _shared(target)
        return []
    family = share.family
    others = [m for m in family.living() if not any(m is t for t in line)]
    if not others:
        return []
    root = family.root()
    written = None
    if root is not None and root is line[-1]:
        written = _elements(root, parts if target is root else share.parts)
    found = []
    for member in others:
        if not _overlap(written, _elements(root, member._memory.parts)):
            continue
        if member._view is None or member._view[0]() is None:
            raise _shared(target)
        found.append(member)
    return found


def _shared(tensor: Any) -> GraphError:
    return GraphError(
        f"{tensor._describe()} shares memory with another Tensor (a view such as x.T, "
        "x.reshape(...) or a part of one); NumPy would change both, a graph cannot: write "
        "x = x.copy() first"
    )


def _settle(line: list[Any], others: list[Any]) -> None:
    """After a change of `line[0]`: what it is a part of changes, and the others read anew."""
    for part, source in itertools.pairwise(line):
        _set(source, part._view[1], part)
    for member in others:
        source, parts = member._view[0](), member._view[1]
        read = apply(getitem, (source, *parts), {})
        _bind(member, read._array, read._node)
        _keep_apart(member, source)
    root = line[-1]
    if root._memory is None or (type(root._memory) is not Share and root._view is None):
        family = Family(root)
        root._memory = Share(family, None)
        for part in reversed(line[:-1]):
            part._memory = Share(family, line[-2]._view[1])
            family.add(part)


def _set(target: Any, parts: tuple[Any, ...], value: Any) -> None:
    """`target[parts] = value`, recorded; in the Tensor's own memory if only it refers to that."""
    alone = (
        type(target._array) is np.ndarray
        and target._array.base is None
        and target._array.flags.writeable
        and state.mode.observer is None  # who may compare the versions
        and sys.getrefcount(target._array) <= _SOLE
    )
    if not alone:
        changed = apply(set_at, (target, value, *parts), {})
        _bind(target, changed._array, changed._node)
        return
    args = (target, value, *parts)
    values = [a._array if isinstance(a, Recorded) else a for a in args]
    array = values[0]
    try:
        array[tuple(values[2:])] = values[1]
    except (ValueError, IndexError) as error:
        raise explain(set_at, args, values, error) from error.__cause__
    nodes = [a._node if isinstance(a, Recorded) else None for a in args]
    node = None
    if state.mode.recording and any(n is not None for n in nodes):
        node = engine.record(set_at, nodes, values, {}, array)
    _bind(target, array, node)


def _bind(tensor: Any, array: Any, node: Node | None) -> None:
    old = tensor._node
    if old is not None and old.owner is not None and node is not None:
        node.owner, old.owner = old.owner, None  # retain_grad moves along
    tensor._array, tensor._node = array, node


def _plain(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([p._array if isinstance(p, Recorded) else p for p in parts])


def _same_memory(a: Any, b: Any) -> bool:
    memories = engine.memory_of(a._array), engine.memory_of(b._array)
    return memories[0] is None or memories[1] is None or memories[0][0] is memories[1][0]


def _elements(root: Any, parts: tuple[Any, ...] | None) -> Any:
    """The root's elements at the index, as a view; None where they may be any."""
    if root is None or parts is None or type(root._array) is not np.ndarray:
        return None
    plain = _plain(parts)
    if any(isinstance(p, np.ndarray) for p in plain):
        return None
    if not any(p is Ellipsis for p in plain):
        plain = (*plain, Ellipsis)  # a view of one element, where it would be a scalar
    try:
        return root._array[plain]
    except IndexError:
        return None  # the assignment itself will say so


def _overlap(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return True
    try:
        return np.shares_memory(a, b, max_work=100)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
