"""The graph in which the way of a NaN or an infinity is marked."""

from __future__ import annotations

from typing import Any

from tinygrad_fm.engine import Node
from tinygrad_fm.graph.build import Builder, ancestors
from tinygrad_fm.graph.model import Graph
from tinygrad_fm.graph.watch import Watch


def poisoned_graph(
    root: Node | None, origin: Any, results: dict[Node, Any], gradients: dict[Node, Any]
) -> Graph:
    """The graph behind `root`; nodes whose result or gradient is bad by `origin` are marked.

    Raises:
        ValueError: there is no node to draw from.
    """
    if root is None:
        raise ValueError(
            "there is no graph to mark: nothing that is recorded turned NaN or infinite; compute "
            "inside `with tg.debug.trace_nonfinite() as trace:`, or name a recorded result"
        )
    forward = ancestors([root])
    graph = Graph()
    builder = Builder(graph, forward, Watch())
    builder.add(forward)
    graph.results = [builder.numbers[root]]
    if origin is None:
        return graph
    bad = gradients if origin.backward else results
    way = [node for node in forward if bad.get(node) is origin]
    for node in way:
        graph.nodes[builder.numbers[node]].change = "poisoned"
    if origin.backward:  # where the rule stands is no part of the way: its gradient was finite
        known = (origin.operation, origin.line)
        starts = [n for n in forward if n not in way and any(p in way for p in n.parents)]
        start = next((n for n in starts if (n.name, n.line) == known), None)
    else:
        start = way[0] if way else None
    if start is not None:
        drawn = graph.nodes[builder.numbers[start]]
        drawn.change = "poisoned"
        which = "gradient" if origin.backward else "result"
        drawn.badges = [f"first bad {which}: {origin.found}", *drawn.badges]
        drawn.note = str(origin)
    return graph
