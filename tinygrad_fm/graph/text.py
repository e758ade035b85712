"""A graph as lines for a terminal: one a node, by module, with what it is computed from."""

from __future__ import annotations

import itertools

from tinygrad_fm.graph import style
from tinygrad_fm.graph.model import Graph, count, printable, shorten


def to_text(graph: Graph, all_counted: bool = True) -> str:
    """The lines, and totals under them; not `all_counted` if some operation's work is unknown."""
    inputs: dict[int, list[int]] = {node.number: [] for node in graph.nodes}
    for start, end in graph.edges:
        inputs[end].append(start)
    digits = len(str(max(inputs, default=0)))
    rows: list[tuple[str, str, str]] = []
    open_path: tuple[str, ...] = ()
    for node in graph.nodes:
        pairs = zip(open_path, node.modules, strict=False)
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        rows += [
            (" " * (digits + 2) + "  " * depth + shorten(node.modules[depth]), "", "")
            for depth in range(shared, len(node.modules))
        ]
        open_path = node.modules
        name = style.MARKS.get(node.change, "") + node.label
        left = f"{node.number:>{digits}}  {'  ' * len(node.modules)}{name}"
        of = " ".join(map(str, inputs[node.number]))
        facts = [f"from {of}" if of else node.kind]
        facts += (
            [f"{node.parameters:,} parameters"] if node.kind == "module" and node.parameters else []
        )
        facts += [f"! {badge}" for badge in node.badges]
        facts += ["<- result"] if node.number in graph.results and not graph.error else []
        rows.append((left, f"{node.size} {node.dtype}".strip(), "  ".join(facts)))
        if node.note:
            notes = [printable(line) for line in node.note.splitlines()]
            rows += [(" " * (digits + 4) + line, "", "") for line in notes]
    short = [row for row in rows if row[1] or row[2]]
    widths = [max((len(row[i]) for row in short), default=0) for i in (0, 1)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    nodes = sum(node.count for node in graph.nodes)
    least = "" if all_counted else "at least "
    lines.append(
        f"{nodes:,} nodes, {graph.parameters:,} parameters, {least}{count(graph.flops, 'FLOP')}, "
        f"{count(graph.kept, 'B')} kept for the backward pass"
    )
    return "\n".join(lines) + "\n"
