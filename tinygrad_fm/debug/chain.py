"""The ways from a loss back to a parameter: which results lie on them, and why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import GraphError, Node
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.tensor import Tensor


@dataclass
class Chain:
    """What `explain` tells of.

    Attributes:
        loss, parameter: the two ends.
        nodes: on a way between them, the loss first, the parameter last: each after its users.
        uses: for each node the operations that used it, as (node, position of the argument).
        norms: the 2-norm of each gradient, where the graph still holds what that takes.
        missing: why there are no norms.
        forward: every node behind the loss.
    """

    loss: Node
    parameter: Node
    nodes: list[Node]
    uses: dict[Node, list[tuple[Node, int]]]
    forward: list[Node]
    norms: dict[Node, float] = field(default_factory=dict)
    missing: str = ""


def find_chain(loss: Any, parameter: Any) -> Chain:
    """Every way from the loss to the parameter.

    Raises:
        TypeError: one of them is no Tensor.
        ValueError: no way leads there; the message says why.
    """
    for name, value in (("loss", loss), ("parameter", parameter)):
        if not isinstance(value, Tensor):
            raise TypeError(f"explain takes a Tensor as {name}, not {value!r:.60}")
    if loss.node is None:
        raise ValueError(
            f"there is no way from the loss to {_called(parameter)}: the loss is not recorded; it "
            "was computed under no_grad(), detached, or from nothing that requires a gradient"
        )
    if parameter.node is None:
        raise ValueError(
            f"there is no way from the loss to {_called(parameter)}, which is frozen: "
            "requires_grad is False, or it was detached; write requires_grad_() before the loss is "
            "computed"
        )
    forward = ancestors([loss.node])
    reached = {parameter.node} if parameter.node in set(forward) else set()
    if not reached:
        raise ValueError(
            f"there is no way from the loss to {_called(parameter)}: nothing that was computed "
            "from it is in the loss; it was not used, or detached (.detach(), .data, no_grad()) on "
            "its way, or made to require a gradient only afterwards"
        )
    for node in forward:  # oldest first
        if any(parent in reached for _, parent in _edges(node)):
            reached.add(node)
    if loss.node not in reached:
        raise ValueError(_blocked(parameter, forward, reached))
    nodes: list[Node] = []
    uses: dict[Node, list[tuple[Node, int]]] = {loss.node: []}
    for node in sorted(reached, key=lambda node: node.serial, reverse=True):
        if node in uses:  # the loss, or used by something that leads to it
            nodes.append(node)
            for i, parent in _edges(node):
                if parent in reached:
                    uses.setdefault(parent, []).append((node, i))
    chain = Chain(loss.node, parameter.node, nodes, uses, forward)
    _measure(chain, loss)
    return chain


def _edges(node: Node) -> Iterator[tuple[int, Node]]:
    """The arguments that a gradient of the node reaches."""
    if node.primitive is None or not node.requires_grad:
        return
    for i, parent in enumerate(node.inputs):
        reached = node.primitive is engine.pick or node.primitive.reaches >> i & 1
        if reached and type(parent) is Node and parent.requires_grad:
            yield i, parent


def _called(parameter: Tensor) -> str:
    return f"{parameter.name!r}" if parameter.name else f"the Tensor of shape {parameter.shape}"


def _blocked(parameter: Tensor, forward: list[Node], reached: set[Node]) -> str:
    """Every way ends in an operation without a derivative: which ones these are."""
    ends = []
    for node in forward:
        for i, parent in enumerate(node.inputs):
            if type(parent) is Node and parent in reached and node not in reached:
                where = f" (argument {i}, at {node.line})" if node.line else f" (argument {i})"
                ends.append(f"{node.name}{where}")
    return (
        f"no gradient leads from the loss to {_called(parameter)}: on every way there is an "
        f"operation without a derivative: {', '.join(dict.fromkeys(ends))}"
    )


def _measure(chain: Chain, loss: Tensor) -> None:
    """The norms of all gradients on the way, by a backward pass that changes nothing."""
    wanted = [node for node in chain.nodes if not isinstance(node.dtype, tuple)]
    hooks = {node: node.hooks for node in chain.forward if node.hooks}
    observer, engine.state.mode.observer = engine.state.mode.observer, None
    try:
        for node in hooks:
            node.hooks = None  # they may count, print or change
        seeds = [(chain.loss, np.ones_like(loss.data))]
        with np.errstate(all="ignore"):
            found = engine.backward(seeds, targets=wanted, keep=True)
            chain.norms = {node: float(np.linalg.norm(np.ravel(g))) for node, g in found.items()}
    except GraphError as error:
        freed = "freed" in str(error)
        chain.missing = (
            "the graph was freed by a backward pass: explain before it, or use retain_graph=True"
            if freed
            else "an array that the graph needs was changed in place since"
        )
    finally:
        engine.state.mode.observer = observer
        for node, given in hooks.items():
            node.hooks = given
