"""The drawn graph as data: numbered nodes with their facts, and the edges between them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinygrad_fm.engine import Constant, Node
from tinygrad_fm.tensor import Tensor


@dataclass
class DrawnNode:
    """One node: an operation, a parameter or other leaf, or an array that nothing leads to."""

    number: int
    kind: str  # "operation", "parameter", "leaf" or "constant"
    label: str
    shape: tuple[int, ...]
    dtype: str
    modules: tuple[str, ...] = ()  # the module calls around it, outermost first
    requires_grad: bool = False
    line: str = ""


@dataclass
class Graph:
    """A graph to look at. Numbers follow the order of computation, so the same program gives the
    same text; a node comes after everything it is computed from."""

    nodes: list[DrawnNode] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    direction: str = "TB"

    def to_dot(self) -> str:
        """The graph in Graphviz's language."""
        from tinygrad_fm.graph.dot import to_dot

        return to_dot(self)

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain values, ready for JSON."""
        return {"nodes": [asdict(n) for n in self.nodes], "edges": [list(e) for e in self.edges]}

    def save(self, path: str | Path) -> Path:
        """Write the graph; the ending of the name says how.

        Args:
            path: `.dot` and `.json` always work; `.svg`, `.png` and `.pdf` need a renderer.

        Raises:
            RenderError: no renderer is found, or it failed; nothing is written then.
            ValueError: another ending.
        """
        from tinygrad_fm.graph.render import FORMATS, render

        path = Path(path)
        ending = path.suffix.lower()
        if ending == ".dot":
            content = self.to_dot().encode()
        elif ending == ".json":
            content = (json.dumps(self.to_dict(), indent=1) + "\n").encode()
        elif ending[1:] in FORMATS:
            content = render(self.to_dot(), ending[1:])
        else:
            raise ValueError(
                f"a graph is saved as .dot, .json, .svg, .png or .pdf, not as {path.name!r}"
            )
        path.write_bytes(content)
        return path

    def _repr_svg_(self) -> str | None:
        """For notebooks: the picture, or nothing (then the text is shown) without a renderer."""
        try:
            from tinygrad_fm.graph.render import render

            return render(self.to_dot(), "svg").decode()
        except Exception:
            return None

    def __repr__(self) -> str:
        return f"Graph({len(self.nodes)} nodes, {len(self.edges)} edges)"


def draw(tensor: Tensor, *, direction: str = "TB") -> Graph:
    """The graph of everything that `tensor` was computed from.

        tg.draw(loss).save("loss.svg")

    Args:
        tensor: a recorded Tensor; its graph may already be freed by backward().
        direction: "TB", top to bottom, or "LR", left to right.

    Raises:
        ValueError: nothing was recorded, or another direction.
    """
    if not isinstance(tensor, Tensor) or tensor.node is None:
        raise ValueError(
            f"draw takes a recorded Tensor, not {tensor!r:.80}; compute it from a Tensor with "
            "requires_grad=True, outside no_grad()"
        )
    if direction not in ("TB", "LR"):
        raise ValueError(f"direction is 'TB' or 'LR', not {direction!r}")
    graph = Graph(direction=direction)
    nodes = _ancestors(tensor.node)
    names = _parameter_names(nodes)
    homes = _homes(nodes)
    numbers: dict[Node, int] = {}
    for node in nodes:
        parents = []
        for given in node.inputs:
            if type(given) is Node:
                parents.append(numbers[given])
            elif isinstance(given, Constant):
                parents.append(len(graph.nodes))
                graph.nodes.append(
                    DrawnNode(len(graph.nodes), "constant", "array", given.shape, str(given.dtype))
                )
        number = numbers[node] = len(graph.nodes)
        graph.nodes.append(_drawn(number, node, names, homes))
        graph.edges += [(parent, number) for parent in parents]
    return graph


def _ancestors(root: Node) -> list[Node]:
    """Every recorded node behind `root`, and `root`, oldest first."""
    found = {root}
    stack = [root]
    for node in stack:  # the list grows while it is walked
        for parent in node.inputs:
            if type(parent) is Node and parent not in found:
                found.add(parent)
                stack.append(parent)
    return sorted(stack, key=lambda node: node.serial)


def _homes(nodes: list[Node]) -> dict[Node, tuple[str, ...]]:
    """The modules around each leaf's only use; a leaf used in several places belongs to none."""
    homes: dict[Node, tuple[str, ...]] = {}
    for node in nodes:
        for parent in node.parents:
            if parent.primitive is None:
                homes[parent] = _modules(node) if parent not in homes else ()
    return homes


def _drawn(
    number: int, node: Node, names: dict[Node, str], homes: dict[Node, tuple[str, ...]]
) -> DrawnNode:
    shape = node.shape if not (node.primitive and node.primitive.multiple) else ()
    dtype = str(node.dtype) if shape is node.shape else "tuple"
    if node.primitive is None:
        owner = node.owner() if node.owner is not None else None
        name = names.get(node) or getattr(owner, "name", None) or node.keywords.get("name")
        kind = "parameter" if node in names else "leaf"
        label = name or ("leaf" if node.requires_grad else "input")
        home = homes.get(node, ()) if kind == "parameter" else ()
        return DrawnNode(number, kind, label, shape, dtype, home, node.requires_grad)
    return DrawnNode(
        number,
        "operation",
        _label(node),
        shape,
        dtype,
        _modules(node),
        node.requires_grad,
        node.line,
    )


def _label(node: Node) -> str:
    """The operation, with the plain numbers among its arguments: `multiply 0.5`."""
    plain = [
        f"{given:.6g}" if isinstance(given, float) else str(given)
        for given in node.inputs
        if isinstance(given, (int, float)) and not isinstance(given, bool)
    ]
    options = [f"{k}={v}" for k, v in node.keywords.items() if isinstance(v, (int, str, tuple))]
    return " ".join([node.name, *plain, *options])[:60]


def _modules(node: Node) -> tuple[str, ...]:
    """The module calls around a node, outermost first: ("Sequential", "0 (Linear)")."""
    found = []
    scope = node.scope
    while scope is not None:
        found.append(scope.title())
        scope = scope.outer
    return tuple(reversed(found))


def _parameter_names(nodes: list[Node]) -> dict[Node, str]:
    """The path of every leaf that is a parameter of a module that ran."""
    names: dict[Node, str] = {}
    seen = set()
    for node in nodes:
        scope = node.scope
        while scope is not None and scope.outer is not None:
            scope = scope.outer
        module = scope.module() if scope is not None else None
        if module is not None and id(module) not in seen:
            seen.add(id(module))
            for name, parameter in module.named_parameters():
                if parameter.node is not None:
                    names.setdefault(parameter.node, name)
    return names
