"""Writing a graph to a file, in the format that its name says; all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_fm.graph.model import Graph
from tinygrad_fm.graph.render import FORMATS, render


def _json(graph: Graph, fold: Any) -> str:
    # JSON has no NaN, and what reads it need not know Python's
    return json.dumps(without_nan(graph.to_dict()), indent=1, allow_nan=False) + "\n"


WRITERS: dict[str, Callable[[Graph, Any], str]] = {
    ".dot": lambda graph, fold: graph.to_dot(fold),
    ".json": _json,
    ".mmd": lambda graph, fold: graph.to_mermaid(fold),
    ".txt": lambda graph, fold: graph.to_text(fold),
    ".html": lambda graph, fold: graph.to_html(),
}


def write(graph: Graph, path: Path, fold: Any) -> Path:
    """See `Graph.save`."""
    ending = path.suffix.lower()
    if ending in WRITERS:
        content = WRITERS[ending](graph, fold).encode()
    elif ending[1:] in FORMATS:
        content = render(graph.to_dot(fold, legend=True), ending[1:])
    else:
        known = [*WRITERS, *(f".{kind}" for kind in FORMATS)]
        raise ValueError(
            f"a graph is saved as {', '.join(known[:-1])} or {known[-1]}, not as {path.name!r}"
        )
    path.write_bytes(content)
    return path


def without_nan(value: Any) -> Any:
    """The same plain values, with None for what is no finite number."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
