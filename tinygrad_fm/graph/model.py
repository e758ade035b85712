"""The drawn graph as data: numbered nodes with their facts, and the edges between them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tinygrad_fm.graph.statistics import Statistics

NODE_KINDS = ("operation", "parameter", "input", "constant", "module", "error")
LABEL = 60  # characters of a name that a picture shows


@dataclass
class GraphNode:
    """One node: an operation, what goes into the graph, or a module that is folded into one.

    Attributes:
        number: its place in the order of computation; a folded module has its first node's.
        kind: "operation", "parameter", "input" (a Tensor that nothing was computed for), "constant"
            (an array that is not traced), "module" (folded), or "error" (what raised).
        label: what a picture calls it.
        operation: the operation's name; empty for what is none.
        name: of a parameter its path in the model, of an input its own.
        modules: the module calls around it, outermost first: ("Sequential", "0 (Linear)").
        part: "forward" or "backward".
        requires_grad: whether a gradient flows through it.
        line: `file:line` of the user's code.
        parameters: how many learned numbers it holds.
        flops: floating-point operations; None where that is not known.
        kept: bytes of its result that are held for the backward pass.
        seconds: what computing it took, where it was measured.
        value, gradient: statistics, where they were asked for.
        badges: what a person should look at.
        change: in a difference of two graphs "added", "removed", "changed", or empty.
        note: more to say: what an error said, what changed.
        count: how many nodes it stands for.
    """

    number: int
    kind: str
    label: str
    shape: Any = ()
    dtype: str = ""
    operation: str = ""
    name: str = ""
    modules: tuple[str, ...] = ()
    part: str = "forward"
    requires_grad: bool = False
    line: str = ""
    parameters: int = 0
    flops: int | None = 0
    kept: int = 0
    seconds: float | None = None
    value: Statistics | None = None
    gradient: Statistics | None = None
    badges: list[str] = field(default_factory=list)
    change: str = ""
    note: str = ""
    count: int = 1

    @property
    def key(self) -> str:
        """An identifier that is unique in every folding of the graph."""
        return f"n{self.number}" + (f"_{len(self.modules)}" if self.kind == "module" else "")

    @property
    def size(self) -> str:
        """The shape as a person reads it: `32 × 10`."""
        if self.shape and isinstance(self.shape[0], tuple):
            return ", ".join(" × ".join(map(str, shape)) or "scalar" for shape in self.shape)
        return " × ".join(map(str, self.shape)) or ("" if self.kind == "error" else "scalar")


@dataclass
class Frame:
    """The statistics of every node at one step of a training, by node number."""

    step: int
    values: dict[int, Statistics] = field(default_factory=dict)
    gradients: dict[int, Statistics] = field(default_factory=dict)


@dataclass
class Graph:
    """A graph to look at: of what a Tensor was computed from, or of a model.

    Numbers follow the order of computation, so the same program gives the same graph, and a node
    comes after everything that it is computed from. `edges` are pairs of numbers in the order of
    the arguments, and `results` the numbers of what was asked for. `error` is what the forward pass
    raised, if it did. `frames` are statistics over a training, see `train.GraphRecorder`.
    """

    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    results: list[int] = field(default_factory=list)
    direction: str = "TB"
    title: str = ""
    error: str = ""
    frames: list[Frame] = field(default_factory=list)
    folded: bool = False

    # ---- text ------------------------------------------------------------------------------------

    def to_dot(self, fold: Any = "auto", *, legend: bool = False) -> str:
        """The graph in Graphviz's language; the same text for the same program.

        Args:
            fold: see `fold()`.
            legend: with a box that explains colours and shapes.
        """
        from tinygrad_fm.graph.dot import to_dot

        return to_dot(self.fold(fold), legend=legend)

    def to_mermaid(self, fold: Any = "auto") -> str:
        """The graph as a Mermaid flowchart, which Markdown on GitHub and GitLab shows."""
        from tinygrad_fm.graph.mermaid import to_mermaid

        return to_mermaid(self.fold(fold))

    def to_text(self, fold: Any = "auto") -> str:
        """The graph as lines for a terminal, one a node, with what it is computed from."""
        from tinygrad_fm.graph.text import to_text

        return to_text(self.fold(fold), all(node.flops is not None for node in self.nodes))

    def to_html(self) -> str:
        """The graph as a page that opens from disk, to zoom, search, fold and colour.

        Raises:
            RenderError: there is no renderer to lay it out.
        """
        from tinygrad_fm.graph.html import to_html

        return to_html(self)

    # ---- data ------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain values, ready for JSON; facts at their defaults are left out."""
        kept = {"number", "kind", "label", "shape", "dtype"}
        nodes = [
            {k: v for k, v in asdict(n).items() if k in kept or v != _DEFAULTS[k]}
            for n in self.nodes
        ]
        return {
            "tinygrad_fm_graph": 1,
            "title": self.title,
            "error": self.error,
            "direction": self.direction,
            "results": self.results,
            "nodes": nodes,
            "edges": [list(edge) for edge in self.edges],
            "frames": [asdict(frame) for frame in self.frames],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Graph:
        """The graph of what `to_dict()` returned.

        Raises:
            ValueError: they are the values of something else.
        """
        try:
            if values["tinygrad_fm_graph"] != 1:
                raise ValueError("it is of another version")
            made = cls(
                nodes=[_node(given) for given in values["nodes"]],
                edges=[(int(start), int(end)) for start, end in values["edges"]],
                results=[int(number) for number in values["results"]],
                frames=[
                    Frame(
                        frame["step"], _statistics(frame["values"]), _statistics(frame["gradients"])
                    )
                    for frame in values["frames"]
                ],
                title=str(values["title"]),
                error=str(values["error"]),
                direction=str(values["direction"]),
            )
            made._check()
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"this is no saved graph: {error!r}; g.save('g.json') writes one"
            ) from error
        return made

    def _check(self) -> None:
        """Refuse what no drawing makes, and what would end up in the text of a picture."""
        numbers = {node.number for node in self.nodes}
        wrong: list[Any] = [n for n in numbers if type(n) is not int]
        wrong += [edge for edge in self.edges if not numbers.issuperset(edge)]
        wrong += [number for number in self.results if number not in numbers]
        wrong += [node.kind for node in self.nodes if node.kind not in NODE_KINDS]
        wrong += [self.direction] * (self.direction not in ("TB", "LR"))
        if wrong:
            raise ValueError(f"this is no saved graph: {wrong[0]!r:.80} is not to be in it")

    @classmethod
    def load(cls, path: str | Path) -> Graph:
        """A graph that was saved as .json.

        Raises:
            ValueError: the file holds something else.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path} is no JSON file: {error}") from error
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | Path, fold: Any = "auto") -> Path:
        """Write the graph; the ending of the name says how.

        Args:
            path: `.dot`, `.json`, `.mmd` (Mermaid) and `.txt` always work; `.svg`, `.png` and
                `.html` need Graphviz or the extra `render`, `.pdf` Graphviz.
            fold: how much of it the static formats show, see `fold()`; JSON and HTML hold it all.

        Raises:
            RenderError: no renderer is found, or it failed; nothing is written then.
            ValueError: another ending.
        """
        from tinygrad_fm.graph.save import write

        return write(self, Path(path), fold)

    # ---- folding ---------------------------------------------------------------------------------

    def fold(self, fold: Any = "auto") -> Graph:
        """This graph with modules shown as one node each.

        Args:
            fold: "auto" folds repeats, such as the twelve blocks of a deep network, and as much
                more as is needed for about a hundred nodes, if there are more than forty; an int
                shows modules down to that depth; "none" folds nothing; a tuple or list of module
                titles ("0 (Linear)") or of paths of titles folds those.

        Raises:
            ValueError: something else, or a title that is not in the graph.
        """
        from tinygrad_fm.graph.fold import fold_graph

        return fold_graph(self, fold)

    # ---- for people ------------------------------------------------------------------------------

    @property
    def parameters(self) -> int:
        """How many learned numbers there are."""
        return sum(node.parameters for node in present(self.nodes))

    @property
    def flops(self) -> int:
        """Floating-point operations of all nodes whose count is known."""
        return sum(node.flops or 0 for node in present(self.nodes))

    @property
    def kept(self) -> int:
        """Bytes held for the backward pass."""
        return sum(node.kept for node in present(self.nodes))

    def _repr_svg_(self) -> str | None:
        """For notebooks: the picture, or nothing (then the text is shown) without a renderer."""
        try:
            from tinygrad_fm.graph.render import render

            return render(self.to_dot(), "svg").decode()
        except Exception:
            return None

    def __repr__(self) -> str:
        failed = f", failed: {self.error.splitlines()[0]}" if self.error else ""
        kinds = [node.change for node in self.nodes if node.change]
        counts = [f"{kinds.count(k)} {k}" for k in ("added", "removed", "changed") if k in kinds]
        changed = f"; {', '.join(counts)}" if counts else ""
        return f"Graph({len(self.nodes)} nodes, {len(self.edges)} edges{changed}{failed})"

    @property
    def failed_at(self) -> str:
        """Where the forward pass failed: `net.py:9, in Net > b (Linear)`; empty if it did not."""
        node = next((n for n in self.nodes if n.kind == "error"), None)
        if node is None:
            return ""
        parts = [node.line, f"in {' > '.join(node.modules)}" if node.modules else ""]
        return ", ".join(part for part in parts if part)


_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(GraphNode)} | {"badges": []}


def _node(values: dict[str, Any]) -> GraphNode:
    made = GraphNode(**values)
    made.modules = tuple(made.modules)
    made.shape = tuple(tuple(s) if isinstance(s, list) else s for s in made.shape)
    for name in ("value", "gradient"):
        found = getattr(made, name)
        if found is not None:
            setattr(made, name, _one(found))
    return made


def _one(values: dict[str, Any]) -> Statistics:
    numbers: dict[str, Any] = {
        k: math.nan if v is None and k != "dead" else v for k, v in values.items()
    }
    return Statistics(**{**numbers, "histogram": tuple(values["histogram"])})


def _statistics(values: dict[str, Any]) -> dict[int, Statistics]:
    return {int(number): _one(found) for number, found in values.items()}


def shorten(text: str, limit: int = LABEL) -> str:
    """At most `limit` characters of a name, on one line."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """The text with a mark for each character that would steer a terminal, or is none."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def count(number: float | None, unit: str = "") -> str:
    """A count as a person reads it: 1.47 M, 812, 3.2 kB."""
    if number is None or not math.isfinite(number):
        return "unknown"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}{unit}"
    return f"{number:.3g} {unit}".rstrip()


def present(nodes: Iterable[GraphNode]) -> list[GraphNode]:
    """The nodes without those that a difference of two graphs shows as removed."""
    return [node for node in nodes if node.change != "removed"]


def by_number(nodes: Iterable[GraphNode]) -> dict[int, GraphNode]:
    """The nodes by their number."""
    return {node.number: node for node in nodes}
