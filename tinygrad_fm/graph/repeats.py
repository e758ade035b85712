"""Levels that a graph does not name itself: repeats of a block, and sections of what is long."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from tinygrad_fm.graph.model import Graph, GraphNode, by_number, shorten

Path = tuple[str, ...]

LONGEST = 12  # how many parts a repeated block may have
FEWEST = 3  # times that something occurs, to be called a repeat
WIDE = 48  # more than this side by side are put into sections
TIMES = " × "


@dataclass
class _Item:
    """Something at one level of a graph: a node, or a module call with all that is in it."""

    title: str | None
    nodes: list[GraphNode]
    form: Hashable = None

    @property
    def works(self) -> bool:
        """Whether it computes something."""
        return any(node.kind in ("operation", "module", "error") for node in self.nodes)


def grouped(graph: Graph) -> tuple[Graph, set[Path]]:
    """The graph with repeats and sections as further levels, and the paths of the repeats.

    Three or more blocks one after the other that are the same, but for the values of their
    parameters, come under a level such as "Block × 12"; so do operations that repeat.
    """
    inputs: dict[int, list[int]] = {node.number: [] for node in graph.nodes}
    for start, end in graph.edges:
        inputs[end].append(start)
    known = by_number(graph.nodes)
    paths: dict[int, Path] = {}
    repeats: set[Path] = set()

    def arrange(nodes: list[GraphNode], depth: int, prefix: Path) -> None:
        """Give the nodes of one level, `depth` module calls deep, their new paths."""
        items = _items(nodes, depth)
        sizes = Counter(len(item.nodes) for item in items)
        for item in items:  # what is like no other in size is like no other
            alike = sizes[len(item.nodes)] >= FEWEST
            item.form = _form(item, inputs, known, depth) if alike else object()
        taken: set[str] = set()
        levels = _in_sections(_in_repeats(items), taken)
        place(levels, depth, prefix, taken)

    def place(levels: list[_Level | _Item], depth: int, prefix: Path, taken: set[str]) -> None:
        for level in levels:
            if isinstance(level, _Item):
                if level.title is None:
                    paths[level.nodes[0].number] = prefix
                else:
                    arrange(level.nodes, depth + 1, (*prefix, level.title))
            else:
                path = (*prefix, _unique(level.title, taken))
                if level.repeats:
                    repeats.add(path)
                inner: set[str] = set()
                place(_in_sections(level.inside, inner), depth, path, inner)

    arrange(graph.nodes, 0, ())
    nodes = [replace(node, modules=paths[node.number]) for node in graph.nodes]
    return replace(graph, nodes=nodes), repeats


@dataclass
class _Level:
    """A level that this file invents, with what is inside."""

    title: str
    inside: list[_Level | _Item]
    repeats: bool = False


def _items(nodes: list[GraphNode], depth: int) -> list[_Item]:
    items: list[_Item] = []
    by_title: dict[str, _Item] = {}
    for node in nodes:
        if len(node.modules) <= depth:
            items.append(_Item(None, [node]))
        elif node.modules[depth] in by_title:
            by_title[node.modules[depth]].nodes.append(node)
        else:
            by_title[node.modules[depth]] = _Item(node.modules[depth], [node])
            items.append(by_title[node.modules[depth]])
    return items


@functools.lru_cache(maxsize=10_000)
def kind_of(title: str) -> str:
    """The kind of module in a title: `Block` in `3 (Block) #2`."""
    return re.sub(r"^.* \((.*)\)$", r"\1", re.sub(r" #\d+$", "", title))


def _form(
    item: _Item, inputs: dict[int, list[int]], known: dict[int, GraphNode], depth: int
) -> Hashable:
    """What two items have in common that are the same but for values and names."""
    places = {node.number: i for i, node in enumerate(item.nodes)}
    parts = []
    for node in item.nodes:
        sources: list[Hashable] = []
        for start in inputs[node.number]:
            if item.title is not None and start in places:
                sources.append(places[start])
            elif known[start].kind in ("parameter", "input", "constant"):
                sources.append((known[start].kind, known[start].shape))
            else:
                near = node.number - start
                sources.append(("before", near) if item.title is None and near <= 8 else "before")
        label = node.label if node.kind == "operation" else node.label.rpartition(".")[2]
        within = tuple(map(kind_of, node.modules[depth:]))
        label = "" if node.kind in ("input", "constant") else label
        label = "getitem" if node.operation == "getitem" else label  # a loop over x[0], x[1], ...
        parts.append((node.kind, label, node.shape, node.dtype, node.part, within, tuple(sources)))
    return tuple(parts)


def _in_repeats(items: list[_Item]) -> list[_Level | _Item]:
    """Items with runs of equal blocks put under one level each."""
    numbers: dict[Hashable, int] = {}
    forms = [numbers.setdefault(item.form, len(numbers)) for item in items]
    lengths = _run_lengths(forms)
    found: list[_Level | _Item] = []
    i = 0
    while i < len(items):
        best, period = 0, 0
        for p in range(1, LONGEST + 1):
            times = lengths[p][i] // p + 1
            block = items[i : i + p]
            worth = times >= FEWEST and (times * p >= 6 or any(b.title for b in block))
            if worth and times * p > best and any(b.works for b in block):
                best, period = times * p, p
        if not best:
            found.append(items[i])
            i += 1
            continue
        blocks = [items[k : k + period] for k in range(i, i + best, period)]
        name = _name(blocks[0])
        inside: list[_Level | _Item] = [
            _Level(f"{name} {n}", list(block)) if period > 1 else block[0]
            for n, block in enumerate(blocks, 1)
        ]
        found.append(_Level(f"{name}{TIMES}{len(blocks)}", inside, repeats=True))
        i += best
    return found


def _run_lengths(forms: Sequence[int]) -> list[list[int]]:
    """For each period p and place i: for how many places on from i the form p later is the same."""
    n = len(forms)
    lengths = [[0] * n for _ in range(LONGEST + 1)]
    for p in range(1, LONGEST + 1):
        row = lengths[p]
        for i in range(n - p - 1, -1, -1):
            row[i] = row[i + 1] + 1 if forms[i] == forms[i + p] else 0
    return lengths


def _name(block: list[_Item]) -> str:
    names = [
        kind_of(item.title) if item.title is not None else item.nodes[0].label
        for item in block
        if item.works
    ]
    return shorten(", ".join(names), 32)


def _in_sections(levels: list[_Level | _Item], taken: set[str]) -> list[_Level | _Item]:
    """At most WIDE things side by side: more of them are put into sections, and those again."""
    while len(levels) > WIDE:
        share = -(-len(levels) // WIDE)
        share = max(share, min(WIDE // 2, len(levels) // 2))
        parts = [levels[i : i + share] for i in range(0, len(levels), share)]
        levels = [
            _Level(f"nodes {_first(part[0])} to {_last(part[-1])}", part)
            if len(part) > 1
            else part[0]
            for part in parts
        ]
    taken.update(level.title for level in levels if isinstance(level, _Item) and level.title)
    return levels


def _first(level: _Level | _Item) -> int:
    return level.nodes[0].number if isinstance(level, _Item) else _first(level.inside[0])


def _last(level: _Level | _Item) -> int:
    return level.nodes[-1].number if isinstance(level, _Item) else _last(level.inside[-1])


def _unique(title: str, taken: set[str]) -> str:
    made, n = title, 1
    while made in taken:
        n += 1
        made = f"{title} #{n}"
    taken.add(made)
    return made
