"""From recorded nodes to the drawn graph: the order, the names, the modules, the facts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tinygrad_fm.engine import Constant, Node
from tinygrad_fm.engine.node import line_of, raised_at
from tinygrad_fm.graph.facts import flops, kept_bytes
from tinygrad_fm.graph.model import Graph, GraphNode, shorten
from tinygrad_fm.graph.statistics import Statistics, badges
from tinygrad_fm.graph.watch import Failure, Watch

GRADIENTS = "gradients"  # the cluster of the backward graph where it stands beside the forward one


def ancestors(roots: list[Node]) -> list[Node]:
    """Every recorded node behind the roots, and they: oldest first, leaves before their use."""
    stack = list(dict.fromkeys(roots))
    found = set(stack)
    for node in stack:  # the list grows while it is walked
        for parent in node.inputs:
            if type(parent) is Node and parent not in found:
                found.add(parent)
                stack.append(parent)
    ordered: dict[Node, None] = {}
    for node in sorted(stack, key=lambda node: node.serial):
        if node.primitive is not None:
            for parent in node.inputs:
                if type(parent) is Node and parent.primitive is None:
                    ordered.setdefault(parent)
            ordered[node] = None
    for node in stack:
        ordered.setdefault(node)  # a leaf that is itself drawn
    return list(ordered)


class Builder:
    """Fills a Graph with drawn nodes.

    Attributes:
        numbers: of the nodes that were added.
        gradients: statistics of the gradient of each node.
        gradient_of: for a node that is the gradient of a leaf, that leaf.
    """

    def __init__(self, graph: Graph, forward: list[Node], watch: Watch):
        self.graph = graph
        self.watch = watch
        self.forward = set(forward)
        self.numbers: dict[Node, int] = {}
        self.gradients: dict[Node, Statistics] = {}
        self.gradient_of: dict[Node, Node] = {}
        self._clusters = False
        self._paths: dict[Any, tuple[str, ...]] = {}
        self._taken: dict[tuple[str, ...], int] = {}
        self._names = parameter_names(forward)
        self._kept = kept_bytes(forward)
        self._homes = self._find_homes(forward)

    def add(self, nodes: Iterable[Node], clusters: bool = False) -> None:
        """Draw nodes that are in order; `clusters` sets those of the backward pass apart."""
        self._clusters = clusters
        for node in nodes:
            self._add_one(node)

    def _add_one(self, node: Node) -> None:
        parents = []
        for i, given in enumerate(node.inputs):
            if type(given) is Node:
                if given not in self.numbers:  # of the forward pass, where only the other is drawn
                    self._append(given, self._used(given))
                parents.append(self.numbers[given])
            elif isinstance(given, Constant):
                parents.append(len(self.graph.nodes))
                self.graph.nodes.append(self._constant(node, i, given))
        number = self._append(node, self._drawn(node))
        self.graph.edges += [(parent, number) for parent in parents]

    def _append(self, node: Node, drawn: GraphNode) -> int:
        drawn.number = self.numbers[node] = len(self.graph.nodes)
        self.graph.nodes.append(drawn)
        return drawn.number

    # ---- one node --------------------------------------------------------------------------------

    def _drawn(self, node: Node) -> GraphNode:
        drawn = self._leaf(node) if node.primitive is None else self._operation(node)
        drawn.requires_grad = node.requires_grad
        drawn.seconds = self.watch.seconds.get(node)
        drawn.value = self.watch.values.get(node)
        drawn.gradient = self.gradients.get(node)
        kind = drawn.operation or drawn.kind
        drawn.badges = badges(kind, drawn.value, drawn.gradient)
        return drawn

    def _operation(self, node: Node) -> GraphNode:
        assert node.primitive is not None
        of = self.gradient_of.get(node)
        return GraphNode(
            number=-1,
            kind="operation",
            label=shorten(" ".join([node.name, *_settings(node)])),
            operation=node.name,
            name=f"gradient of {self._name(of)}" if of is not None else "",
            shape=node.shape,
            dtype="tuple" if node.primitive.multiple else str(node.dtype),
            modules=self._modules(node),
            part="forward" if node in self.forward else "backward",
            line=near(node.line),
            flops=flops(node),
            kept=self._kept.get(node, 0),
        )

    def _leaf(self, node: Node) -> GraphNode:
        learned = node in self._names
        return GraphNode(
            number=-1,
            kind="parameter" if learned else "input",
            label=shorten(self._name(node)),
            name=self._name(node),
            shape=node.shape,
            dtype=str(node.dtype),
            modules=self._homes.get(node, ()) if learned else (),
            part="forward" if node in self.forward else "backward",
            parameters=node.size if learned else 0,
        )

    def _used(self, node: Node) -> GraphNode:
        """A node of the forward pass as the backward graph drawn alone shows it: an input."""
        drawn = self._drawn(node)
        if drawn.kind == "operation":
            drawn.kind, drawn.label = "input", shorten(f"result of {drawn.label}")
            drawn.flops, drawn.kept = 0, 0
        return drawn

    def _constant(self, user: Node, position: int, given: Constant) -> GraphNode:
        name = self.watch.constants.get((user, position), "")
        return GraphNode(
            number=len(self.graph.nodes),
            kind="constant",
            label=shorten(name or "array"),
            name=name,
            shape=given.shape,
            dtype=str(given.dtype),
            modules=self._modules(user),
            part="forward" if user in self.forward else "backward",
        )

    def add_failure(self, failure: Failure) -> None:
        """The operation or module call that raised, after what it was given."""
        number = len(self.graph.nodes)
        said = str(failure.error) or type(failure.error).__name__
        parents = []
        for value in failure.values:
            node = self.watch.node_of(value)
            if node is not None and node in self.numbers:
                parents.append(self.numbers[node])
            elif hasattr(value, "shape"):
                parents.append(len(self.graph.nodes))
                self.graph.nodes.append(
                    GraphNode(
                        number=len(self.graph.nodes),
                        kind="constant",
                        label=shorten(self.watch.name_of(value) or "array"),
                        shape=tuple(value.shape),
                        dtype=str(value.dtype),
                        modules=self._path(failure.scope),
                    )
                )
        number = len(self.graph.nodes)
        self.graph.nodes.append(
            GraphNode(
                number=number,
                kind="error",
                label=shorten(failure.name),
                operation=failure.name,
                modules=self._path(failure.scope),
                note=said,
                line=near(
                    raised_at(failure.error) or line_of(getattr(failure.scope, "origin", None))
                ),
            )
        )
        self.graph.edges += [(parent, number) for parent in parents]
        if not parents:  # it is not known what it was given: it comes after what was computed last
            self.graph.edges += [(result, number) for result in self.graph.results]
        self.graph.results = [number]
        self.graph.error = said

    # ---- names and modules -----------------------------------------------------------------------

    def _name(self, node: Node) -> str:
        if node.primitive is not None:
            return node.name
        owner = node.owner() if node.owner is not None else None
        found = self._names.get(node) or self.watch.names.get(node)
        found = found or getattr(owner, "name", None) or node.keywords.get("name")
        return str(found or ("leaf" if node.requires_grad else "input"))

    def _modules(self, node: Node) -> tuple[str, ...]:
        path = self._path(node.scope)
        return (GRADIENTS, *path) if self._clusters and node not in self.forward else path

    def _path(self, scope: Any) -> tuple[str, ...]:
        """The module calls of a scope, outermost first; a second call of a module is told apart."""
        if scope is None:
            return ()
        known = self._paths.get(scope)
        if known is None:
            path = (*self._path(scope.outer), scope.title())
            calls = self._taken[path] = self._taken.get(path, 0) + 1
            known = path if calls == 1 else (*path[:-1], f"{path[-1]} #{calls}")
            self._paths[scope] = known
        return known

    def _find_homes(self, forward: list[Node]) -> dict[Node, tuple[str, ...]]:
        """The modules that all uses of a leaf have in common."""
        homes: dict[Node, tuple[str, ...]] = {}
        for node in forward:
            for parent in node.parents:
                if parent.primitive is None:
                    path = self._path(node.scope)
                    homes[parent] = _common(homes.get(parent, path), path)
        return homes


def near(line: str) -> str:
    """`file:line` seen from the current folder if it is in there: pictures are passed around."""
    if not line.partition(":")[0].endswith(".py") and "/bin/" in line:
        return ""  # a command, not a program of the user's
    try:
        return str(Path(line).relative_to(Path.cwd())) if line else ""
    except (ValueError, OSError):
        return line


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return tuple(title for title, _ in pairs)


# Operations whose arguments may change places.
_SYMMETRIC = frozenset("add multiply maximum minimum equal not_equal".split())  # noqa: SIM905
# Operations whose arguments from this place on are an index.
_INDEX = {"getitem": 1, "scatter_add": 1, "setitem": 2}


def _given(node: Node) -> list[str]:
    """The plain numbers among the arguments, and where the others stand, if that is the question.

    `multiply 0.5`, `divide 2` for x / 2, but `divide 2, \u00b7` for 2 / x; `getitem [:, 1]`.
    """
    first = _INDEX.get(node.name, len(node.inputs))
    given = node.inputs[:first]
    words = [_word(value) for value in given]
    numbers = [i for i, word in enumerate(words) if word not in ("", "\u00b7")]
    traced = [i for i, word in enumerate(words) if word == "\u00b7"]
    if numbers and traced and numbers[0] < traced[-1] and node.name not in _SYMMETRIC:
        found = [", ".join(word for word in words if word)]
    else:
        found = [words[i] for i in numbers]
    if first < len(node.inputs):
        found.append(f"[{', '.join(map(_place, node.inputs[first:]))}]")
    return found


def _word(given: Any) -> str:
    if isinstance(given, (Node, Constant)):
        return "\u00b7"
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return f"{given:.6g}" if isinstance(given, float) else str(given)
    return ""


def _place(index: Any) -> str:
    """A part of an index as it is written: `1`, `:`, `2:8:2`, `...`, or a dot for an array."""
    if isinstance(index, slice):
        parts = [index.start, index.stop, index.step]
        words = ["" if part is None else str(part) for part in parts]
        return ":".join(words if words[2] else words[:2])
    if index is None or index is Ellipsis:
        return "None" if index is None else "..."
    return str(index) if isinstance(index, int) else "\u00b7"


# Operations whose plain arguments are of their inside: a reader would take 0.03125, one divided by
# the batch size, for the loss itself.
UNTOLD = frozenset({"cross_entropy", "centre", "mean_square", "dropout_mask"})


def _settings(node: Node) -> list[str]:
    """The numbers and options of an operation that a picture shows beside its name."""
    return [] if node.name in UNTOLD else [*_given(node), *_options(node)]


def _options(node: Node) -> list[str]:
    """The settings of an operation: `axis=1`."""
    return [
        f"{k}={v}"
        for k, v in node.keywords.items()
        if v is not False and isinstance(v, (int, str, tuple))
    ]


def parameter_names(nodes: list[Node]) -> dict[Node, str]:
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
