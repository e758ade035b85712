"""`draw`: run or take what is to be drawn, differentiate it where asked, and build the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm import engine
from tinygrad_fm.engine import Node
from tinygrad_fm.graph.build import Builder, ancestors
from tinygrad_fm.graph.model import Graph
from tinygrad_fm.graph.statistics import Statistics, describe
from tinygrad_fm.graph.watch import Failure, Watch, call
from tinygrad_fm.recorded import make
from tinygrad_fm.recording import enable_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.trees import leaves


def draw(
    target: Any,
    inputs: Any = None,
    *,
    backward: bool | str = False,
    values: bool = False,
    direction: str = "TB",
) -> Graph:
    """The graph of what a Tensor was computed from, or of what a model computes.

        tg.draw(loss).save("loss.svg")
        tg.draw(model, images).save("model.html")
        tg.draw(lambda x, labels: criterion(model(x), labels), (images, labels), values=True)

    A module or function is run on the inputs once; its running statistics and random generators are
    put back afterwards, and no `.grad` changes. If it raises, the graph ends in the operation or
    module call that did, in red, and `graph.error` says why.

    Args:
        target: a recorded Tensor or a list, tuple or dictionary of them (their graph may be freed
            already), or a module or function.
        inputs: what to call a module or function with: an array, or a tuple of several.
        backward: True draws the gradients of all parameters as well, "only" draws them alone. They
            are those of the sum, where the result is no single number.
        values: describe the numbers of every node, and of its gradient where the result is a single
            number, and measure its time. Of a Tensor only what the graph still holds can be
            described; of a model or function everything.
        direction: "TB", top to bottom, or "LR", left to right.

    Raises:
        ValueError: nothing was recorded, or another direction.
        TypeError: the target is none of these.
        GraphError: `backward` of a Tensor whose graph was freed.
    """
    if direction not in ("TB", "LR"):
        raise ValueError(f"direction is 'TB' or 'LR', not {direction!r}")
    if backward not in (False, True, "only"):
        raise ValueError(f"backward is False, True or 'only', not {backward!r}")
    watch = Watch(statistics=values)
    failure = None
    if callable(target) and not isinstance(target, Tensor):
        _check_inputs(target, inputs)
        if values:  # the first run of anything takes longer: not what is to be measured
            call(target, inputs, Watch())
        tensors, error = call(target, inputs, watch)
        if error is not None:
            failure = next((f for f in watch.failures if f.error is error), None) or Failure(
                error, type(error).__name__, watch.last and watch.last.scope, [watch.last]
            )
        title = getattr(target, "__name__", type(target).__name__)
    else:
        if inputs is not None:
            raise TypeError("inputs are for a module or a function; a Tensor is computed already")
        tensors, title = _tensors(target), ""
    roots = [t.node for t in tensors if t.node is not None]
    if not roots and failure is None:
        raise ValueError(_nothing_recorded(target, tensors))
    if failure is not None:
        roots = _reached(failure, watch)
        backward = False
    forward = ancestors(roots)
    if values:
        _describe_held(forward, tensors, watch)
    graph = Graph(direction=direction, title="" if title == "<lambda>" else title)
    builder = Builder(graph, forward, watch)
    results = list(dict.fromkeys(roots))
    shown = forward
    single = len(tensors) == 1 and tensors[0].size == 1
    if (backward or (values and single)) and failure is None:
        try:
            builder.gradients, builder.gradient_of = _differentiate(
                tensors, forward, watch, bool(backward), values and single
            )
        except engine.GraphError:
            if (
                backward
            ):  # else it is only that a graph which was freed has no gradients to describe
                raise
        if backward:
            known = set(forward)
            later = [n for n in ancestors(list(builder.gradient_of)) if n not in known]
            shown = later if backward == "only" else forward + later
            results += builder.gradient_of
    builder.add(shown, clusters=backward is True)
    graph.results = [builder.numbers[node] for node in results if node in builder.numbers]
    if failure is not None:
        builder.add_failure(failure)
    return graph


def _check_inputs(target: Any, inputs: Any) -> None:
    """Refuse what is no input before the model does in words about itself.

    Raises:
        TypeError: a module without inputs, or with a shape for them.
    """
    name = type(target).__name__
    if inputs is None and hasattr(target, "named_parameters"):
        raise TypeError(f"draw runs the model: give it inputs, draw({name.lower()}, x)")
    if isinstance(inputs, tuple) and len(inputs) > 1 and all(type(i) is int for i in inputs):
        raise TypeError(f"{inputs} looks like a shape; give an array, np.zeros({inputs})")


def _nothing_recorded(target: Any, tensors: list[Tensor]) -> str:
    if isinstance(target, Tensor) or not callable(target):
        return (
            f"draw takes a recorded Tensor, not {target!r:.80}; compute it from a Tensor with "
            "requires_grad=True, outside no_grad()"
        )
    name = getattr(target, "__name__", type(target).__name__)
    returned = "a Tensor that was not recorded" if tensors else "no Tensor"
    return (
        f"there is no graph: {name} returned {returned}; draw needs a Tensor (or a tuple, list or "
        "dictionary of them) computed from float arrays in inputs or from parameters, not detached "
        "and not under no_grad()"
    )


def _tensors(target: Any) -> list[Tensor]:
    found = leaves(target)
    wrong = [value for value in found if not isinstance(value, Tensor)]
    if wrong:
        if isinstance(target, Tensor) or not found:
            return []
        raise TypeError(
            f"draw takes a recorded Tensor, a module or a function, not {target!r:.80} "
            f"({type(wrong[0]).__name__})"
        )
    return found


def _describe_held(forward: list[Node], tensors: list[Tensor], watch: Watch) -> None:
    """Statistics of what was not computed under the watch: parameters, and what a graph holds."""
    held: dict[Node, Any] = {tensor.node: tensor.data for tensor in tensors if tensor.node}
    for node in forward:
        if node.primitive is None:
            owner = node.owner() if node.owner is not None else None
            if owner is not None:
                held[node] = owner.data
        elif node.args is not None:
            if node.y is not None:
                held[node] = node.y
            pairs = zip(node.inputs, node.args, strict=False)  # a pick holds none
            held.update((n, a) for n, a in pairs if type(n) is Node and a is not n)
    for node, array in held.items():
        if node not in watch.values and not isinstance(array, tuple):
            found = describe(array)
            if found is not None:
                watch.values[node] = found


def _differentiate(
    tensors: list[Tensor], forward: list[Node], watch: Watch, record: bool, values: bool
) -> tuple[dict[Node, Statistics], dict[Node, Node]]:
    """Statistics of every node's gradient; and for each recorded gradient of a leaf, the leaf."""
    seeds: list[tuple[Node, Any]] = []
    for tensor in tensors:
        node = tensor.node
        if node is None or not node.requires_grad:
            continue
        ones = np.ones_like(tensor.data)
        seeds.append((node, make(ones, engine.leaf(ones, False, "1")) if record else ones))
    if not seeds:
        if record:
            raise ValueError(
                "there is no backward graph: nothing that requires a gradient leads to this result"
            )
        return {}, {}
    wanted = [n for n in forward if n.requires_grad and (values or n.primitive is None)]
    with enable_grad(), watch:
        found = engine.backward(seeds, targets=wanted, wrap=make if record else None, keep=True)
    statistics: dict[Node, Statistics] = {}
    roots: dict[Node, Node] = {}
    for node, gradient in found.items():
        plain = gradient.data if isinstance(gradient, Tensor) else gradient
        described = describe(plain) if values and not isinstance(plain, tuple) else None
        if described is not None:
            statistics[node] = described
        if isinstance(gradient, Tensor) and gradient.node is not None and node.primitive is None:
            roots[gradient.node] = node
    return statistics, roots


def _reached(failure: Failure, watch: Watch) -> list[Node]:
    """The nodes that a failed call was given; where it was given none, the last computed."""
    found = [watch.node_of(value) for value in failure.values]
    reached = list(dict.fromkeys(node for node in found if node is not None))
    return reached or ([watch.last] if watch.last is not None else [])
