"""A graph as one page that opens from disk: its data, its layouts and its script in one file."""

from __future__ import annotations

import html
import json
from dataclasses import asdict, fields
from importlib import resources
from typing import Any

from tinygrad_fm.graph import style
from tinygrad_fm.graph.fold import merge
from tinygrad_fm.graph.layouts import Layout, Levels, layouts
from tinygrad_fm.graph.model import Graph, GraphNode, shorten
from tinygrad_fm.graph.repeats import Path
from tinygrad_fm.graph.save import without_nan
from tinygrad_fm.graph.statistics import badges

# Points of a picture that can be read as a whole in a window of an ordinary screen.
READABLE = (1_500, 1_150)
SHOWN = 500  # characters of a name or a note in the side panel


def to_html(graph: Graph) -> str:
    """The page. It asks the network for nothing, and shows every name as text, never as markup.

    Raises:
        RenderError: there is no renderer to lay it out.
    """
    levels = Levels(graph)
    data = _data(levels, layouts(levels))
    folder = resources.files("tinygrad_fm.graph") / "page"
    parts = {
        "TITLE": html.escape(shorten(graph.title) or "graph"),
        "STYLE": (folder / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": (folder / "page.js").read_text(encoding="utf-8"),
        # no "<" in it, so nothing can end the element it stands in
        "DATA": json.dumps(without_nan(data), allow_nan=False, separators=(",", ":")).replace(
            "<", "\\u003c"
        ),
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        before, _, after = page.partition("{{" + name + "}}")
        page = before + text + after
    return page


def _data(levels: Levels, found: list[Layout]) -> dict[str, Any]:
    graph = levels.graph
    paths = [path for path in levels.children if path]
    number_of = {path: i for i, path in enumerate(paths)}
    members: dict[Path, list[GraphNode]] = {path: [] for path in paths}
    for node in graph.nodes:
        for i in range(1, len(node.modules) + 1):
            members[node.modules[:i]].append(node)
    offered = [layout.open for layout in found]
    return {
        "title": graph.title,
        "error": graph.error[:SHOWN],
        "direction": graph.direction,
        "results": graph.results,
        "looks": {name: asdict(look) for name, look in style.KINDS.items()},
        "totals": {"parameters": graph.parameters, "flops": graph.flops, "kept": graph.kept},
        "nodes": [
            {**_card(node, graph), "group": number_of.get(node.modules, -1)} for node in graph.nodes
        ],
        "groups": [
            {
                **_card(merge(path, members[path]), graph),
                "parent": number_of.get(path[:-1], -1),
                "opens": sorted(number_of[inner] for inner in levels.opening(path)),
            }
            for path in paths
        ],
        "edges": graph.edges,
        "states": [_state(layout, number_of) for layout in found],
        "start": _start(levels, found),
        "depths": [offered.index(opened) for opened in levels.depths() if opened in offered],
        "frames": [
            {
                "step": frame.step,
                "values": {n: asdict(s) for n, s in frame.values.items()},
                "gradients": {n: asdict(s) for n, s in frame.gradients.items()},
                "badges": _badges(graph, frame.values, frame.gradients),
            }
            for frame in graph.frames
        ],
    }


def _start(levels: Levels, found: list[Layout]) -> int:
    """The layout to begin with: the first, or where it is too large to be read, a shallower one."""

    def fits(layout: Layout) -> bool:
        return layout.width <= READABLE[0] and layout.height <= READABLE[1]

    if fits(found[0]):
        return 0
    offered = {layout.open: i for i, layout in enumerate(found)}
    by_depth = [offered[opened] for opened in reversed(levels.depths()) if opened in offered]
    smaller = [i for i in by_depth if fits(found[i]) and len(found[i].boxes) > 2]
    return smaller[0] if smaller else 0


_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(GraphNode)} | {"badges": []}
_UNUSED = {"number", "modules", "shape"}


def _card(node: GraphNode, graph: Graph) -> dict[str, Any]:
    """What the page knows of a node; facts at their defaults are left out."""
    facts = {k: v for k, v in asdict(node).items() if k not in _UNUSED and v != _DEFAULTS[k]}
    for name in ("name", "note"):
        if name in facts:
            facts[name] = facts[name][:SHOWN]
    return {
        **facts,
        "key": node.key,
        "number": node.number,
        "size": node.size,
        "look": style.look_of(node, graph),
        "lines": [style.MARKS.get(node.change, "") + node.label, *style.lines_of(node, graph)],
    }


def _state(layout: Layout, number_of: dict[Path, int]) -> dict[str, Any]:
    return {
        "open": sorted(number_of[path] for path in layout.open),
        "size": [layout.width, layout.height],
        "boxes": layout.boxes,
        "lines": layout.lines,
        "frames": [[number_of[path], *where] for path, *where in layout.frames],
    }


def _badges(graph: Graph, values: Any, gradients: Any) -> dict[int, list[str]]:
    found = {
        node.number: badges(
            node.operation or node.kind, values.get(node.number), gradients.get(node.number)
        )
        for node in graph.nodes
    }
    return {number: words for number, words in found.items() if words}
