"""A graph as a Mermaid flowchart, which Markdown on GitHub and GitLab shows as a picture."""

from __future__ import annotations

from tinygrad_fm.graph import style
from tinygrad_fm.graph.model import Graph, GraphNode, shorten


def to_mermaid(graph: Graph) -> str:
    """The text of the flowchart; names are written so that none can be markup."""
    lines = [f"flowchart {graph.direction}"]
    _write_level(graph.nodes, (), lines, "  ", graph)
    keys = {node.number: node.key for node in graph.nodes}
    lines += [f"  {keys[start]} --> {keys[end]}" for start, end in graph.edges]
    members: dict[str, list[str]] = {}
    for node in graph.nodes:
        members.setdefault(style.look_of(node, graph), []).append(node.key)
    for name, look in style.KINDS.items():
        if name in members:
            dashes = ",stroke-dasharray:4" if look.dashed else ""
            width = 2 if look.thick else 1
            # the name of the class is ours alone: Mermaid keeps some words for itself
            lines.append(
                f"  classDef {name}_ fill:{look.fill},stroke:{look.line},color:#222222,"
                f"stroke-width:{width}px{dashes}"
            )
            lines.append(f"  class {','.join(members[name])} {name}_")
    return "\n".join(lines) + "\n"


def _write_level(
    nodes: list[GraphNode], path: tuple[str, ...], lines: list[str], indent: str, graph: Graph
) -> None:
    inner: dict[str, list[GraphNode]] = {}
    for node in nodes:
        if len(node.modules) > len(path):
            inner.setdefault(node.modules[len(path)], []).append(node)
            continue
        parts = [style.MARKS.get(node.change, "") + node.label, *style.lines_of(node, graph)]
        parts += [f"! {badge}" for badge in node.badges]
        parts += [shorten(line, 90) for line in node.note.splitlines()[:6]] * (node.kind == "error")
        label = "<br/>".join(_text(part) for part in parts)
        rounded = style.KINDS[style.look_of(node, graph)].rounded
        opening, closing = ("(", ")") if rounded else ("[", "]")
        lines.append(f'{indent}{node.key}{opening}"{label}"{closing}')
    for title, members in inner.items():
        name = f"cluster_{members[0].number}_{len(path)}"
        lines.append(f'{indent}subgraph {name}["{_text(shorten(title))}"]')
        _write_level(members, (*path, title), lines, indent + "  ", graph)
        lines.append(f"{indent}end")


def _text(value: str) -> str:
    """Words with everything but letters, digits and a few signs as Mermaid's entity codes."""
    return "".join(
        c
        if c.isalnum() or c in " .,=_+-\u00d7\u2026\u2212/()"
        else f"#{ord(c)};"
        if c.isprintable()
        else "?"
        for c in value
    )
