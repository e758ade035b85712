"""The look of every picture of a graph, in one place: change a value here, or in a program.

    from tinygrad_fm.graph import style
    style.KINDS["parameter"].fill = "#FFEEAA"

Colours are tints of the Okabe-Ito palette, which colour-blind readers can tell apart (Okabe and
Ito: Color Universal Design, 2008); shape, border and words say the same as the colours.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinygrad_fm.graph.model import Graph, GraphNode

FONT = "Helvetica"
EDGE = "#777777"
CLUSTER_FILL = "#0000000A"  # nearly transparent: nested modules grow darker
CLUSTER_LINE = "#BBBBBB"
FAINT = "#666666"  # shapes, titles of modules
ALARM = "#B03A00"  # badges and errors


@dataclass
class Look:
    """How a kind of node is drawn, and what the legend calls it."""

    fill: str
    line: str
    meaning: str
    rounded: bool = False
    dashed: bool = False
    thick: bool = False


KINDS: dict[str, Look] = {
    "operation": Look("#FFFFFF", "#444444", "operation", rounded=True),
    "backward": Look("#FBF6CF", "#8A7A00", "operation of the backward pass", rounded=True),
    "parameter": Look("#CFE8F7", "#0072B2", "parameter"),
    "input": Look("#D5F0E6", "#007D5A", "input"),
    "constant": Look("#ECECEC", "#8A8A8A", "array that is not traced"),
    "module": Look("#F1E1EB", "#99527C", "module, folded", rounded=True, thick=True),
    "result": Look("#FBE9C6", "#B87800", "result", rounded=True),
    "error": Look("#F9D5C2", "#B03A00", "what raised the error", thick=True),
    "added": Look("#D5F0E6", "#007D5A", "+ added", rounded=True, thick=True),
    "removed": Look("#F9D5C2", "#B03A00", "\u2212 removed", rounded=True, dashed=True),
    "changed": Look("#F1E1EB", "#99527C", "~ changed", rounded=True, thick=True),
}
MARKS = {"added": "+ ", "removed": "\u2212 ", "changed": "~ "}


def look_of(node: GraphNode, graph: Graph) -> str:
    """The name in KINDS of a node's look."""
    if node.change and node.kind not in ("module", "error"):
        return node.change
    if node.kind == "operation":
        if node.number in graph.results:
            return "result"
        return "backward" if node.part == "backward" else "operation"
    return node.kind


def lines_of(node: GraphNode, graph: Graph) -> list[str]:
    """What a picture writes under a node's name: its shape, and what is worth a look."""
    lines = []
    size = node.size
    ordinary = next((n.dtype for n in reversed(graph.nodes) if n.dtype not in ("", "tuple")), "")
    if size:
        # the dtype of the last node goes without saying
        lines.append(size if node.dtype in (ordinary, "", "tuple") else f"{size} {node.dtype}")
        if size == "scalar" and node.value is not None:
            lines[-1] += f" = {node.value.mean:.4g}"
    if node.kind == "operation" and node.name:
        lines.append(node.name)
    if node.kind == "module" and node.parameters:
        lines.append(f"{node.parameters:,} parameters")
    if node.change == "changed" and node.note and node.kind != "module":
        lines += node.note.splitlines()[:3]
    return lines
