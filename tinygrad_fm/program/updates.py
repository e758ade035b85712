"""Optimizers in a program: gradients are computed where the optimizer reads them, then it steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from tinygrad_fm.program.calls import is_elementwise, takes_out
from tinygrad_fm.program.values import Instruction, Value, layout, steps, values_in
from tinygrad_fm.rules.products import multiply


class OuterProducts:
    """The gradients that stay a column and a row, as nothing but an update uses their product.

    Attributes:
        by_value: the Factors, by the value that the product would be.
        by_parameter: the same, by the id of the parameter.
    """

    def __init__(
        self,
        instructions: Sequence[Instruction] = (),
        outside: Collection[Value] = (),
        fresh: Sequence[Value] = (),
    ):
        self.by_value: dict[Value, Any] = {}
        self.by_parameter: dict[int, Any] = {}
        self._of: dict[int, list[Any]] = {}
        makers = {result: i for i in instructions for result in i.results}
        times = Counter(v.root for i in instructions for v in i.operands)
        times.update(value.root for value in fresh)
        for update in instructions:
            if update.kind == "update":
                alone = {
                    id(p): gradient
                    for p, gradient in update.args[0]
                    if times[gradient.root] == 1
                    and gradient in outside
                    and _is_product(makers[gradient])
                }
                found = update.function.factored(alone)
                if any(found):
                    self._of[id(update)] = found
                for factored in filter(None, found):
                    self.by_parameter |= factored.factors
                    self.by_value |= {alone[key]: f for key, f in factored.factors.items()}

    def of(self, update: Instruction) -> list[Any] | None:
        """For each flat buffer of its optimizer what it has of them; None where that is nothing."""
        return self._of.get(id(update))


def _is_product(call: Instruction) -> bool:
    """Whether it is a column times a row."""
    if call.function is not multiply or not all(isinstance(a, Value) for a in call.args):
        return False
    column, row = call.args
    return (
        column.shape[1:] == (1,)
        and len(row.shape) == 2
        and column.dtype == row.dtype == call.results[0].dtype
    )


def gradient_views(optimizer: Any) -> dict[int, Any]:
    """By the id of a parameter: where the optimizer reads its gradient."""
    return {
        id(p): view
        for flat in optimizer._flats
        for p, view in zip(flat.parameters, flat.gradient_views, strict=True)
    }


def updated(instructions: list[Instruction]) -> dict[int, tuple[Value, Any]]:
    """By the id of a parameter: the gradient of its last update, and where that lies."""
    found: dict[int, tuple[Value, Any]] = {}
    for update in instructions:
        if update.kind == "update":
            views = gradient_views(update.function)
            found |= {id(p): (gradient, views[id(p)]) for p, gradient in update.args[0]}
    return found


def in_place(instructions: list[Instruction]) -> dict[Value, tuple[Any, Any]]:
    """The values that can be computed straight into an optimizer's buffer.

    Returns:
        by the value that owns the memory: that part of the buffer, and the parameter.
    """
    makers = {result: i for i in instructions for result in i.results}
    times = Counter(id(p) for i in instructions if i.kind == "update" for p, _ in i.args[0])
    found: dict[Value, tuple[Any, Any]] = {}
    for update in instructions:
        if update.kind != "update":
            continue
        views = gradient_views(update.function)
        for p, gradient in update.args[0]:
            view, root = views[id(p)], gradient.root
            maker = makers.get(root)
            if maker is None or not takes_out(maker) or not root.shape:
                continue
            if times[id(p)] > 1:  # the next gradient would overwrite it, while it may be used
                continue
            if root in found or gradient.dtype != view.dtype:
                continue
            if (root.shape, steps(root)) == (view.shape, steps(view)):
                place = view
            elif _reshaped(gradient, root) and view.flags.c_contiguous:
                place = view.reshape(root.shape)
            else:
                continue
            if steps(gradient) == steps(view):
                found[root] = place, p
    return found


def overwritten(
    instructions: list[Instruction], outside: dict[Value, tuple[Any, Any]], fresh: list[Value]
) -> set[Value]:
    """The gradients from before the call that are used after their memory may be written to.

    They may lie in the optimizer's buffers, to which the new ones go.
    """
    written: dict[int, int] = {}  # by the id of a parameter: when its new gradient is computed
    last: dict[Value, int] = {}
    for i, instruction in enumerate(instructions):
        targets = [outside[r][1] for r in instruction.results if r in outside]
        if instruction.kind == "update":
            targets += [p for p, _ in instruction.args[0]]
        for p in targets:  # what is computed element by element may read what it overwrites
            written.setdefault(id(p), i + is_elementwise(instruction))
        last |= {value.root: i for value in instruction.operands}
    last |= {value.root: len(instructions) for value in values_in(fresh)}
    return {
        value
        for value, end in last.items()
        if value.kind == "gradient" and end >= written.get(id(value.holds), end + 1)
    }


def _reshaped(gradient: Value, root: Value) -> bool:
    """Whether the gradient is all of the other's memory, in C order, in another shape."""
    return gradient.bytes == root.bytes and layout(gradient) == layout(root) == "C"
