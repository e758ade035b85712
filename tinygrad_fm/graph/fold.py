"""Folding: a graph with modules, repeats or sections shown as one node each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from tinygrad_fm.graph.model import Graph, GraphNode, present
from tinygrad_fm.graph.repeats import Path, grouped

SMALL = 40  # up to so many nodes are shown as they are
MANY = 100  # and a folded graph is to have no more than so many


def fold_graph(graph: Graph, fold: Any) -> Graph:
    """See `Graph.fold`."""
    if graph.folded or fold in ("none", None):
        return graph
    if fold == "auto":
        return graph if len(graph.nodes) <= SMALL else automatic(*grouped(graph))
    if isinstance(fold, int) and not isinstance(fold, bool) and fold >= 0:
        depth = fold
        return view(graph, lambda path: path[: depth + 1] if len(path) > depth else None)
    if isinstance(fold, str) or not isinstance(fold, Iterable):
        raise ValueError(f"fold is 'auto', 'none', a depth from 0, or module titles; not {fold!r}")
    return _titles(graph, list(fold))


def _titles(graph: Graph, wanted: list[Any]) -> Graph:
    paths = {node.modules[:i] for node in graph.nodes for i in range(1, len(node.modules) + 1)}
    chosen: set[Path] = set()
    for name in wanted:
        found = {path for path in paths if path[-1] == name or path == tuple(name)}
        if not found:
            known = ", ".join(sorted({path[-1] for path in paths})[:12]) or "none"
            raise ValueError(f"{name!r} is no module of this graph; it has {known}")
        chosen |= found
    return view(graph, lambda path: first_in(path, chosen))


def automatic(graph: Graph, repeats: set[Path]) -> Graph:
    """Repeats folded, and the deepest level at which there are no more than MANY nodes."""
    members = Counter(node.modules for node in graph.nodes)
    closed = {path: first_in(path, repeats) for path in members}
    for depth in range(max(map(len, members), default=0), -1, -1):
        chosen = {path: _to_depth(path, depth, closed[path]) for path in members}
        open_nodes = sum(members[path] for path, level in chosen.items() if level is None)
        if open_nodes + len(set(chosen.values()) - {None}) <= MANY:
            break
    return view(graph, chosen.__getitem__)


def _to_depth(path: Path, depth: int, closed: Path | None) -> Path | None:
    """The level that stands for what is in `path`: a closed one, or the first that is too deep."""
    if closed is not None and len(closed) <= depth:
        return closed
    return path[: depth + 1] if len(path) > depth else None


def first_in(path: Path, closed: set[Path]) -> Path | None:
    """The outermost level of a path that is closed; None if all are open."""
    if not closed:
        return None
    return next((path[:i] for i in range(1, len(path) + 1) if path[:i] in closed), None)


def view(graph: Graph, closed_at: Callable[[Path], Path | None]) -> Graph:
    """The graph with nodes merged: `closed_at(path)` is the level that stands for what is in it."""
    members: dict[Path, list[GraphNode]] = {}
    place: dict[int, int] = {}
    nodes: list[GraphNode | Path] = []
    known: dict[Path, Path | None] = {}
    for node in graph.nodes:
        if node.modules not in known:
            known[node.modules] = closed_at(node.modules)
        path = known[node.modules]
        if path is None:
            nodes.append(node)
            place[node.number] = node.number
            continue
        if path not in members:
            members[path] = []
            nodes.append(path)
        members[path].append(node)
        place[node.number] = members[path][0].number
    merged = {members[path][0].number for path in members}
    edges: dict[tuple[int, int], None] = {}
    plain = []
    for start, end in graph.edges:
        edge = place[start], place[end]
        if edge[0] == edge[1] and edge[0] in merged:
            continue
        if merged.isdisjoint(edge):
            plain.append(edge)
        elif edge not in edges:
            edges[edge] = None
            plain.append(edge)
    return replace(
        graph,
        nodes=[n if isinstance(n, GraphNode) else merge(n, members[n]) for n in nodes],
        edges=plain,
        results=list(dict.fromkeys(place[number] for number in graph.results)),
        frames=[],
        folded=True,
    )


def merge(path: Path, nodes: list[GraphNode]) -> GraphNode:
    """One node for all in a level: sums of what adds up, the result's shape."""
    counted = present(nodes) or nodes  # what was removed counts only where all of it was
    last = next((n for n in reversed(nodes) if n.kind in ("operation", "error")), nodes[-1])
    seconds = [n.seconds for n in nodes if n.seconds is not None]
    changes = {n.change for n in nodes}
    return GraphNode(
        number=nodes[0].number,
        kind="module",
        label=path[-1],
        shape=last.shape,
        dtype=last.dtype,
        modules=path[:-1],
        part=last.part,
        requires_grad=any(n.requires_grad for n in nodes),
        line=last.line,
        parameters=sum(n.parameters for n in counted),
        flops=sum(n.flops or 0 for n in counted),
        kept=sum(n.kept for n in counted),
        seconds=sum(seconds) if seconds else None,
        badges=list(dict.fromkeys(badge for n in nodes for badge in n.badges))[:3],
        change=changes.pop() if len(changes) == 1 else "changed",
        note="\n".join(n.note for n in nodes if n.note)[:500],
        count=sum(n.count for n in nodes),
    )
