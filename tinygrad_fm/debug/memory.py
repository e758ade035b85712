"""The memory of a training step: what the graph keeps, for which operation, and the peak."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tinygrad_fm.engine import GraphError, Node, Recomputed
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.graph.facts import (
    VIEWS,
    held_buffers,
    memory_owner,
    memory_root,
    needed,
    result_bytes,
)
from tinygrad_fm.tensor import Tensor, array_of
from tinygrad_fm.trees import leaves

# Operations whose rules hand the gradient on, or a view of it, to arguments of the same shape.
PASSES_ON = VIEWS | {"add", "concatenate", "copy", "mean", "sum"}


@dataclass(frozen=True)
class Kept:
    """What the graph keeps of one operation's result until the backward pass.

    Attributes:
        operation: its name.
        module: the module calls it was part of, outermost first, as in drawings.
        line: where the program made it, `file:line`.
        shape, dtype: of its result; of several results, of the first.
        bytes: how much memory, each buffer being counted once, for the first operation it is of.
    """

    operation: str
    module: str
    line: str
    shape: tuple[int, ...]
    dtype: Any
    bytes: int

    @property
    def result(self) -> str:
        """Shape and dtype: `256x128 float32`."""
        return f"{'x'.join(map(str, self.shape))} {self.dtype}".lstrip()


@dataclass(frozen=True)
class MemoryAudit:
    """What a training step keeps in memory, in bytes; printed, a table.

    Attributes:
        operations: what is kept, largest first.
        parameters: of the leaves that require gradients, and of their gradients as well.
        inputs: of arrays that were given, as far as the graph keeps them.
        kept: of intermediate results between forward and backward pass.
        optimizer: of its state; 0 where none was given.
        forward_peak, backward_peak: the most that arrays made by the forward pass, and by the
            backward pass (with what is kept, and all gradients), need at once. Predicted from the
            shapes: within a tenth for linear layers, convolutions, ReLU and tanh. What operations
            need while they work is left out; with sigmoids and normalisations it is a third of the
            forward peak.
    """

    operations: tuple[Kept, ...]
    parameters: int
    inputs: int
    kept: int
    optimizer: int
    forward_peak: int
    backward_peak: int

    @property
    def peak(self) -> int:
        """The most that arrays made in a forward and backward pass need at once."""
        return max(self.forward_peak, self.backward_peak)

    @property
    def total(self) -> int:
        """The peak beside parameters, inputs and optimizer state."""
        return self.parameters + self.inputs + self.optimizer + self.peak

    def modules(self) -> dict[str, int]:
        """Bytes kept by module call, the largest first; what belongs to none is under ""."""
        found: Counter[str] = Counter()
        for row in self.operations:
            found[row.module] += row.bytes
        return dict(found.most_common())

    def to_text(self, rows: int = 12) -> str:
        """The table, with so many operations and modules at most."""
        kept = [
            (row.operation, row.result, size(row.bytes), row.module, row.line)
            for row in self.operations
        ]
        by_module = [(name or "outside modules", size(n)) for name, n in self.modules().items()]
        sums = [
            ("parameters", size(self.parameters)),
            ("inputs", size(self.inputs)),
            ("optimizer state", size(self.optimizer)),
            ("kept for the backward pass", size(self.kept)),
            ("peak of the forward pass", size(self.forward_peak)),
            ("peak of the backward pass, with gradients", size(self.backward_peak)),
            ("in all, at the peak", size(self.total)),
        ]
        parts = [
            _table(("operation", "result", "kept", "module", "line"), kept, rows, right=2),
            _table(("module", "kept"), by_module, rows, right=1),
            _table(("a training step", "memory"), sums, len(sums), right=1),
        ]
        return "\n\n".join(parts)

    __str__ = to_text


def memory(loss: Any, optimizer: Any = None, *, inputs: Any = None) -> MemoryAudit:
    """What a graph keeps for its backward pass, by operation and module, and the predicted peak.

        loss = criterion(model(x), y)
        print(tg.debug.memory(loss, optimizer, inputs=(x, y)))
        loss.backward()

    Args:
        loss: a recorded Tensor, before its backward pass.
        optimizer: whose state is to be counted, as in its `state_dict()`.
        inputs: the arrays of the batch, in tuples, lists or dictionaries. Other arrays that the
            graph keeps and that were not recorded, such as the windows of an image, are then taken
            for made by the forward pass; without it, for given.

    Raises:
        GraphError: nothing is recorded behind it, or the graph was freed by a backward pass.
    """
    node = loss.node if isinstance(loss, Tensor) else None
    if node is None or not node.requires_grad:
        raise GraphError(
            f"memory takes a recorded Tensor that requires a gradient, not {loss!r:.60}"
        )
    nodes = ancestors([node])
    if any(n.args is None for n in nodes if n.requires_grad and n.primitive is not None):
        raise GraphError("the graph was freed by a backward pass; call memory(loss) before it")
    buffers = held_buffers(nodes)
    trained = [n for n in nodes if n.primitive is None and n.requires_grad]
    owners = [n.owner() for n in trained if n.owner is not None]
    before = {id(memory_root(tensor.data)) for tensor in owners if tensor is not None}
    arrays = [memory_root(array_of(value)) for value in leaves(inputs)]
    given = 0
    for buffer in buffers:
        if buffer.first is None and id(buffer.memory) not in before:
            if inputs is not None and not any(buffer.memory is array for array in arrays):
                buffer.first = buffer.holders[0]
            else:
                given += buffer.bytes
    kept = Counter[Node]()
    for buffer in buffers:
        if buffer.first is not None:
            kept[buffer.first] += buffer.bytes
    return MemoryAudit(
        operations=tuple(_row(n, count) for n, count in kept.most_common()),
        parameters=sum(map(result_bytes, trained)),
        inputs=given,
        kept=sum(kept.values()),
        optimizer=0 if optimizer is None else _state_bytes(optimizer),
        forward_peak=_forward_peak(nodes, kept, node),
        backward_peak=_backward_peak(nodes, buffers, node),
    )


def _row(node: Node, count: int) -> Kept:
    several = node.primitive is not None and node.primitive.multiple
    return Kept(
        operation=node.name,
        module="" if node.scope is None else node.scope.path(),
        line=node.line,
        shape=node.shape[0] if several else node.shape,
        dtype=node.dtype[0] if several else node.dtype,
        bytes=count,
    )


def _state_bytes(optimizer: Any) -> int:
    return sum(array.nbytes for array in leaves(optimizer.state_dict()) if hasattr(array, "nbytes"))


def _forward_peak(nodes: list[Node], kept: dict[Node, int], root: Node) -> int:
    """Results are made in their order, and die after their last use unless they are kept."""
    staying = set(map(memory_owner, [*kept, root]))
    last_use = {memory_owner(given): node for node in nodes for given in node.parents}
    dying: dict[Node, list[Node]] = {}
    for owner, user in last_use.items():
        if owner.primitive is not None and owner not in staying:
            dying.setdefault(user, []).append(owner)
    live = peak = 0
    for node in nodes:
        own = node.primitive is not None and memory_owner(node) is node
        live += max(result_bytes(node) if own else 0, kept.get(node, 0))
        peak = max(peak, live)
        live -= sum(map(result_bytes, dying.get(node, ())))
    return peak


def _backward_peak(nodes: list[Node], buffers: list[Any], root: Node) -> int:
    """The walk of the backward pass, with sizes in place of arrays."""
    waiting: dict[
        int, list[int]
    ] = {}  # for each buffer that is kept: its size, and the holders still to be passed
    frees: dict[Node, list[int]] = {}
    made: dict[int, list[tuple[Node, list[Node]]]] = _recomputed(nodes)
    live = 0

    def hold(count: int, holders: list[Node]) -> None:
        nonlocal live
        live += count
        key = len(waiting)
        waiting[key] = [count, len(holders)]
        for holder in holders:
            frees.setdefault(holder, []).append(key)

    for buffer in buffers:
        if buffer.first is not None:
            hold(buffer.bytes, [h for h in buffer.holders if h.requires_grad])
    gradients = {root: result_bytes(root)}
    live += result_bytes(root)
    peak = live
    for node in reversed([n for n in nodes if n.requires_grad]):
        g = gradients.pop(node, None)
        if g is None or node.primitive is None:
            continue  # the gradient of a leaf stays
        for owner, holders in made.pop(id(node.args), ()):
            hold(result_bytes(owner), holders)
        passed_on = False
        for parent in node.parents:
            if not parent.requires_grad:
                continue
            arrived = result_bytes(parent)
            if node.name in PASSES_ON and not passed_on and parent.shape == node.shape:
                passed_on, arrived = True, g  # the same memory
                live -= g
            live += arrived
            peak = max(peak, live)
            if parent in gradients:
                live -= arrived  # added to what is there
            else:
                gradients[parent] = arrived
        live -= 0 if passed_on else g
        for key in frees.get(node, ()):
            waiting[key][1] -= 1
            if not waiting[key][1]:
                live -= waiting[key][0]
    return peak


def _recomputed(nodes: list[Node]) -> dict[int, list[tuple[Node, list[Node]]]]:
    """For each checkpoint what its second run keeps: results, and for which nodes."""
    found: dict[int, dict[Node, list[Node]]] = {}
    for node in nodes:
        if isinstance(node.args, Recomputed):
            inside = found.setdefault(id(node.args), {})
            for given in map(memory_owner, needed(node)):
                if given.args is node.args:
                    inside.setdefault(given, []).append(node)
    return {key: list(inside.items()) for key, inside in found.items()}


def size(count: int) -> str:
    """Bytes as a person reads them: `812 B`, `3.2 KiB`, `1.5 MiB`."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def _table(head: tuple[str, ...], rows: list[Any], limit: int, right: int) -> str:
    """Columns under their heads, the column number `right` aligned on the right."""
    shown = [head, *rows[:limit]]
    widths = [max(len(row[i]) for row in shown) for i in range(len(head))]
    lines = [
        "  ".join(
            f"{cell:>{width}}" if i == right else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    if len(rows) > limit:
        lines.append(f"... and {len(rows) - limit} more")
    return "\n".join(lines)
