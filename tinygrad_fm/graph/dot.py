"""A graph as text in Graphviz's language: modules as clusters, labels that no name can break."""

from __future__ import annotations

import html
from collections.abc import Callable

from tinygrad_fm.graph import style
from tinygrad_fm.graph.model import Graph, GraphNode, printable, shorten

Label = Callable[[GraphNode, Graph], str]


def to_dot(graph: Graph, *, legend: bool = False) -> str:
    """DOT text; the same program gives the same text."""
    lines = [
        "digraph tinygrad_fm {",
        f"  graph [rankdir={graph.direction}, fontname={style.FONT}, nodesep=0.25, ranksep=0.35,"
        f' bgcolor="#FFFFFF", pad=0.15];',
        f'  node [fontname={style.FONT}, fontsize=12, shape=box, margin="0.14,0.05", height=0.3];',
        f'  edge [color="{style.EDGE}", arrowsize=0.7];',
    ]
    _write_level(graph.nodes, (), lines, "  ", graph)
    looks = {node.number: style.look_of(node, graph) for node in graph.nodes}
    keys = {node.number: node.key for node in graph.nodes}
    for start, end in graph.edges:
        gone = "removed" in (looks[start], looks[end])
        options = f' [color="{style.KINDS["removed"].line}", style=dashed]' if gone else ""
        lines.append(f"  {keys[start]} -> {keys[end]}{options};")
    if legend:
        lines.append(_legend(looks.values()))
    lines.append("}")
    return "\n".join(lines) + "\n"


def cluster_name(first: int, path: tuple[str, ...]) -> str:
    """What DOT calls the module `path`, whose first node has the number `first`."""
    return f"cluster_{first}_{len(path)}"


def _write_level(
    nodes: list[GraphNode], path: tuple[str, ...], lines: list[str], indent: str, graph: Graph
) -> None:
    """The nodes directly in the module `path`, then a cluster for each module call inside it."""
    inner: dict[str, list[GraphNode]] = {}
    for node in nodes:
        if len(node.modules) > len(path):
            inner.setdefault(node.modules[len(path)], []).append(node)
        else:
            lines.append(f"{indent}{node.key} [{_attributes(node, graph)}];")
    for title, members in inner.items():
        lines.append(f"{indent}subgraph {cluster_name(members[0].number, (*path, title))} {{")
        lines.append(
            f'{indent}  graph [label=<{text(shorten(title))}>, style="rounded,filled", '
            f'fillcolor="{style.CLUSTER_FILL}", color="{style.CLUSTER_LINE}", '
            f'fontcolor="{style.FAINT}", fontsize=11, labeljust=l];'
        )
        _write_level(members, (*path, title), lines, indent + "  ", graph)
        lines.append(f"{indent}}}")


def _attributes(node: GraphNode, graph: Graph) -> str:
    look = style.KINDS[style.look_of(node, graph)]
    words = ["rounded"] * look.rounded + ["filled"]
    if look.dashed or (node.kind == "operation" and not node.requires_grad):
        words.append("dashed")  # recorded, but no gradient flows through it
    width = ", penwidth=2" if look.thick else ""
    return (
        f'label=<{label(node, graph)}>, style="{",".join(words)}", fillcolor="{look.fill}", '
        f'color="{look.line}"{width}'
    )


def label(node: GraphNode, graph: Graph) -> str:
    """A node's label in Graphviz's HTML: its name, its shape in grey, what is worth a look."""
    parts = [text(style.MARKS.get(node.change, "") + node.label)]
    parts += [
        f'<FONT POINT-SIZE="10" COLOR="{style.FAINT}">{text(shorten(line))}</FONT>'
        for line in style.lines_of(node, graph)
    ]
    alarms = [f"! {badge}" for badge in node.badges]
    if node.kind == "error":
        alarms = [shorten(line, 90) for line in node.note.splitlines()[:6]]
    parts += [
        f'<FONT POINT-SIZE="10" COLOR="{style.ALARM}">{text(alarm)}</FONT>' for alarm in alarms
    ]
    return "<BR/>".join(parts)


def text(value: str) -> str:
    """Words as DOT's HTML labels read them literally, without characters that XML does not know."""
    return html.escape(printable(value)) or " "


def _legend(looks: object) -> str:
    used = set(looks)  # type: ignore[call-overload]
    rows = "".join(
        f'<TR><TD BGCOLOR="{look.fill}" COLOR="{look.line}" BORDER="1" '
        f'FIXEDSIZE="TRUE" WIDTH="20" HEIGHT="12"></TD><TD ALIGN="LEFT" BORDER="0">'
        f'<FONT POINT-SIZE="10" COLOR="{style.FAINT}">{look.meaning}</FONT></TD></TR>'
        for name, look in style.KINDS.items()
        if name in used
    )
    table = f'<TABLE BORDER="0" CELLSPACING="3" CELLPADDING="2">{rows}</TABLE>'
    return f"  legend [shape=plain, label=<{table}>];"
