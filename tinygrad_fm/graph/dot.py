"""A graph as text in Graphviz's language: modules as clusters, one style in one place."""

from __future__ import annotations

from typing import Any

from tinygrad_fm.graph.model import DrawnNode, Graph

# Tints of the Okabe-Ito palette, which stays distinct for colour-blind readers; shapes differ too.
STYLE = {
    "operation": {"shape": "box", "style": "rounded,filled", "fillcolor": "#FFFFFF"},
    "constant": {"shape": "box", "style": "filled", "fillcolor": "#ECECEC", "color": "#8A8A8A"},
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "#CFE8F7", "color": "#0072B2"},
    "leaf": {"shape": "box", "style": "filled", "fillcolor": "#D5F0E6", "color": "#009E73"},
    "result": {
        "shape": "box",
        "style": "rounded,filled",
        "fillcolor": "#FBE3C8",
        "color": "#D55E00",
    },
}
FONT = "Helvetica"
CLUSTER = {
    "style": "rounded,filled",
    "fillcolor": "#0000000A",  # nearly transparent: nested modules grow darker
    "color": "#BBBBBB",
    "fontcolor": "#666666",
    "fontsize": "11",
    "labeljust": "l",
}


def to_dot(graph: Graph) -> str:
    """DOT text; the same program gives the same text."""
    lines = [
        "digraph tinygrad_fm {",
        f"  graph [rankdir={graph.direction}, fontname={FONT}, nodesep=0.25, ranksep=0.35];",
        f'  node [fontname={FONT}, fontsize=12, color="#444444", margin="0.16,0.06"];',
        '  edge [color="#777777", arrowsize=0.7];',
    ]
    _write_level(graph.nodes, (), lines, "  ", graph)
    lines += [f"  n{start} -> n{end};" for start, end in graph.edges]
    lines.append("}")
    return "\n".join(lines) + "\n"


def _write_level(
    nodes: list[DrawnNode], path: tuple[str, ...], lines: list[str], indent: str, graph: Graph
) -> None:
    """The nodes directly in the module `path`, then a cluster for each module call inside it."""
    inner: dict[str, list[DrawnNode]] = {}
    for node in nodes:
        if len(node.modules) > len(path):
            inner.setdefault(node.modules[len(path)], []).append(node)
        else:
            lines.append(f"{indent}n{node.number} [{_attributes(_node_style(node, graph))}];")
    for title, members in inner.items():
        lines.append(f"{indent}subgraph cluster_{members[0].number}_{len(path)} {{")
        lines.append(f"{indent}  graph [{_attributes({'label': _quoted(title), **CLUSTER})}];")
        _write_level(members, (*path, title), lines, indent + "  ", graph)
        lines.append(f"{indent}}}")


def _node_style(node: DrawnNode, graph: Graph) -> dict[str, str]:
    is_result = node.number == len(graph.nodes) - 1
    style = dict(STYLE["result" if is_result else node.kind])
    if node.kind == "operation" and not node.requires_grad:
        style["style"] += ",dashed"  # recorded, but no gradient flows through it
    size = " \u00d7 ".join(map(str, node.shape)) or "scalar"
    # the dtype of the result goes without saying
    kind = "" if node.dtype == graph.nodes[-1].dtype else f" {node.dtype}"
    style["label"] = _quoted(f"{node.label}\n{size}{kind}")
    return style


def _quoted(text: str) -> str:
    """A label as DOT reads it literally: no markup, no escapes of the user's making."""
    import graphviz

    return '"' + str(graphviz.escape(text)).replace('"', '\\"').replace("\n", "\\n") + '"'


def _attributes(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{key}={value}" if str(value).startswith('"') else f'{key}="{value}"'
        for key, value in values.items()
    )
