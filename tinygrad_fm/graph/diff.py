"""What changed between two graphs: nodes and edges that were added, removed or changed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

from tinygrad_fm.graph.model import Graph, GraphNode

# What may differ for a node to be the same one, changed; with how a note calls it.
FACTS = {"label": "was", "shape": "shape was", "dtype": "dtype was", "kind": "was a"}


def graph_diff(before: Graph | str | Path, after: Graph | str | Path) -> Graph:
    """One graph that shows both: what only `after` has is added, what only `before` has removed.

        tg.graph_diff("monday.json", tg.draw(loss)).save("what_changed.svg")

    Nodes are the same where the operation, or the name of a parameter, is the same in the same
    module and the same order; if its shape, dtype or options differ, it is changed.

    Args:
        before, after: graphs, or paths of graphs that were saved as .json.

    Raises:
        ValueError: a file holds no graph.
        TypeError: something else than a graph or a path.
    """
    a, b = _graph(before), _graph(after)
    pairs = _matched(a.nodes, b.nodes)
    new_of = {old.number: new.number for old, new in pairs}
    old_of = {new.number: old for old, new in pairs}
    nodes: list[GraphNode] = []
    numbers_a: dict[int, int] = {}
    numbers_b: dict[int, int] = {}

    def append(node: GraphNode, **changes: object) -> int:
        nodes.append(replace(node, number=len(nodes), **changes))  # type: ignore[arg-type]
        return len(nodes) - 1

    waiting = list(a.nodes)
    for node in b.nodes:
        old = old_of.get(node.number)
        if old is None:
            numbers_b[node.number] = append(node, change="added")
            continue
        # what was removed stands where it was: before the next node that both have
        while waiting and waiting[0] is not old:
            gone = waiting.pop(0)
            if gone.number not in new_of:
                numbers_a[gone.number] = append(gone, change="removed")
        if waiting:
            waiting.pop(0)
        note = _changes(old, node)
        numbers_b[node.number] = append(node, change="changed" if note else "", note=note)
    for gone in waiting:
        if gone.number not in new_of:
            numbers_a[gone.number] = append(gone, change="removed")
    for number, new in new_of.items():
        numbers_a[number] = numbers_b[new]
    kept = [(numbers_b[start], numbers_b[end]) for start, end in b.edges]
    known = set(kept)
    lost = [(numbers_a[start], numbers_a[end]) for start, end in a.edges]
    return Graph(
        nodes=nodes,
        edges=kept + [edge for edge in dict.fromkeys(lost) if edge not in known],
        results=[numbers_b[number] for number in b.results],
        direction=b.direction,
        error=b.error,
        title=f"{a.title or 'before'} \u2192 {b.title or 'after'}",
    )


def _graph(given: Graph | str | Path) -> Graph:
    if isinstance(given, Graph):
        return given
    if isinstance(given, (str, Path)):
        return Graph.load(given)
    raise TypeError(f"graph_diff takes graphs or paths of .json files, not {given!r:.80}")


def _key(node: GraphNode) -> Hashable:
    own = node.operation or (node.name if node.kind == "parameter" else node.kind)
    return (node.modules, own, node.part, node.label if node.kind == "input" else "")


def _matched(a: list[GraphNode], b: list[GraphNode]) -> list[tuple[GraphNode, GraphNode]]:
    """Pairs of nodes that are the same, in order; ends that are equal cost nothing to match."""
    keys_a, keys_b = [_key(n) for n in a], [_key(n) for n in b]
    start = 0
    while start < min(len(a), len(b)) and keys_a[start] == keys_b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and keys_a[-1 - end] == keys_b[-1 - end]:
        end += 1
    middle_a, middle_b = keys_a[start : len(a) - end], keys_b[start : len(b) - end]
    pairs = list(zip(a[:start], b[:start], strict=True))
    matcher = SequenceMatcher(None, middle_a, middle_b, autojunk=False)
    for i, j, length in matcher.get_matching_blocks():
        pairs += [(a[start + i + k], b[start + j + k]) for k in range(length)]
    return pairs + list(zip(a[len(a) - end :], b[len(b) - end :], strict=True))


def _changes(old: GraphNode, new: GraphNode) -> str:
    found = [
        f"{words} {old.size if name == 'shape' else getattr(old, name)}"
        for name, words in FACTS.items()
        if getattr(old, name) != getattr(new, name)
    ]
    return "\n".join(found)
