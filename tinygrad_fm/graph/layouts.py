"""Where everything lies in a page: a layout by Graphviz for each folding that can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tinygrad_fm.graph.dot import cluster_name, to_dot
from tinygrad_fm.graph.fold import MANY, SMALL, first_in, view
from tinygrad_fm.graph.model import Graph
from tinygrad_fm.graph.render import lay_out
from tinygrad_fm.graph.repeats import Path, grouped

# A page holds so many foldings at most; and so many nodes in one of them, and in all of them.
STATES = 200
WORK = 500_000  # foldings times nodes of the graph: each folding looks at all of them
NODES = 400
NODES_IN_ALL = 7_000
FEW = 24  # nodes in a level that opens with all that is in it

Open = frozenset[Path]


@dataclass
class Layout:
    """One folding: which levels are open, and where its boxes, lines and frames are, in points.

    Attributes:
        boxes: (key of a node, x and y of its centre, width, height).
        lines: (key, key, the `d` of an SVG path from the one to the other).
        frames: (level, x and y of the upper left corner, width, height), outer ones first.
    """

    open: Open
    width: float
    height: float
    boxes: list[tuple[str, float, float, float, float]] = field(default_factory=list)
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    frames: list[tuple[Path, float, float, float, float]] = field(default_factory=list)


class Levels:
    """The levels of a graph (modules, repeats, sections), and which foldings a page offers."""

    def __init__(self, graph: Graph):
        self.graph, self.repeats = grouped(graph)
        self.children: dict[Path, dict[Path, None]] = {(): {}}
        self.direct: dict[Path, int] = {(): 0}
        self.members: dict[Path, int] = {}
        for node in self.graph.nodes:
            for i in range(1, len(node.modules) + 1):
                path = node.modules[:i]
                self.children[path[:-1]].setdefault(path)
                self.children.setdefault(path, {})
                self.direct.setdefault(path, 0)
                self.members[path] = self.members.get(path, 0) + 1
            self.direct[node.modules] += 1

    def shown(self, opened: Open) -> int:
        """How many nodes a folding shows."""
        return sum(
            self.direct[path] + sum(child not in opened for child in self.children[path])
            for path in ((), *opened)
        )

    def at_depth(self, depth: int) -> Open:
        """All levels down to a depth open: none at 0."""
        return frozenset(path for path in self.children if 0 < len(path) <= depth)

    def first(self) -> Open:
        """What the page shows first: as a picture does, repeats folded and about MANY nodes."""
        everything = self.at_depth(len(self.children))
        if len(self.graph.nodes) <= SMALL:
            return everything
        deepest = max(map(len, self.children))
        for depth in range(deepest, -1, -1):
            opened = frozenset(
                path for path in self.at_depth(depth) if first_in(path, self.repeats) is None
            )
            if self.shown(opened) <= MANY:
                break
        return opened

    def depths(self) -> list[Open]:
        """The foldings by depth, as far as they are not too large."""
        deepest = max(map(len, self.children))
        found = (self.at_depth(depth) for depth in range(deepest + 1))
        return [opened for opened in found if self.shown(opened) <= NODES]

    def offered(self) -> list[Open]:
        """The foldings a page holds: the first, those by depth, then what is one click away, two...

        Clicks from the first folding come before clicks from the others.
        """
        offered: dict[Open, None] = {}
        room = NODES_IN_ALL
        most = max(24, min(STATES, WORK // len(self.graph.nodes)))

        def take(opened: Open) -> bool:
            nonlocal room
            size = self.shown(opened)
            if opened not in offered:
                if offered and (size > NODES or size > room or len(offered) == most):
                    return False
                offered[opened] = None
                room -= size
            return True

        first, depths = self.first(), self.depths()
        for opened in (first, *depths):
            take(opened)
        for starts in ([first], depths):
            waiting = dict.fromkeys(starts)
            while waiting and len(offered) < most:
                opened = next(iter(waiting))
                del waiting[opened]
                if take(opened):
                    near = self._one_click_away(opened)
                    waiting.update((other, None) for other in near if other not in offered)
        return list(offered)

    def opening(self, path: Path) -> Open:
        """What opens with a level: all that is in it, where that is few nodes, else it alone."""
        if self.members[path] > FEW:
            return frozenset({path})
        found = [path]
        for level in found:  # the list grows while it is walked
            found += self.children[level]
        return frozenset(found)

    def _one_click_away(self, opened: Open) -> Iterator[Open]:
        visible = [child for path in ((), *sorted(opened)) for child in self.children[path]]
        for path in visible:
            if path in opened:
                yield frozenset(p for p in opened if p[: len(path)] != path)
            else:
                yield opened | self.opening(path)


def layouts(levels: Levels) -> list[Layout]:
    """The layouts of all foldings that the page offers, by one run of the renderer.

    Raises:
        RenderError: no renderer is found, or it failed.
    """
    offered = levels.offered()
    texts = []
    paths: list[dict[str, Path]] = []
    for opened in offered:
        shown = view(levels.graph, lambda path, opened=opened: _closed(path, opened))  # type: ignore[misc]
        texts.append(to_dot(shown))
        first: dict[Path, int] = {}
        for node in shown.nodes:
            for i in range(1, len(node.modules) + 1):
                first.setdefault(node.modules[:i], node.number)
        paths.append({cluster_name(number, path): path for path, number in first.items()})
    drawn = lay_out("".join(texts))
    return [
        _read(opened, found, names)
        for opened, found, names in zip(offered, drawn, paths, strict=True)
    ]


def _closed(path: Path, opened: Open) -> Path | None:
    return next((path[:i] for i in range(1, len(path) + 1) if path[:i] not in opened), None)


def _read(opened: Open, drawn: dict[str, Any], names: dict[str, Path]) -> Layout:
    """A layout from Graphviz's JSON, with y going down."""
    _, _, width, height = _numbers(drawn["bb"])
    made = Layout(opened, round(width, 1), round(height, 1))
    keys: dict[int, str] = {}
    for found in drawn.get("objects", ()):
        name = found["name"]
        if name in names:
            left, low, right, high = _numbers(found["bb"])
            made.frames.append(
                (names[name], *_short(left, height - high, right - left, high - low))
            )
        elif "pos" in found:
            keys[found["_gvid"]] = name
            x, y = _numbers(found["pos"])
            size = float(found["width"]) * 72, float(found["height"]) * 72
            made.boxes.append((name, *_short(x, height - y, *size)))
    made.frames.sort(key=lambda frame: len(frame[0]))
    for edge in drawn.get("edges", ()):
        path = _curve(edge["pos"], height)
        made.lines.append((keys[edge["tail"]], keys[edge["head"]], path))
    return made


def _curve(pos: str, height: float) -> str:
    """An SVG path from Graphviz's spline, from its start to the tip of its arrow."""
    tip = ""
    points = []
    for part in pos.split():
        if part.startswith("e,"):
            x, y = _numbers(part[2:])
            tip = f"L{x:.0f} {height - y:.0f}"
        elif not part.startswith("s,"):
            x, y = _numbers(part)
            points.append(f"{x:.0f} {height - y:.0f}")
    return f"M{points[0]}C{' '.join(points[1:])}{tip}"


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _short(a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
    return round(a, 1), round(b, 1), round(c, 1), round(d, 1)
