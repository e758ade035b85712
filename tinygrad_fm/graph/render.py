"""Pictures from DOT text: by Graphviz's `dot` where it is installed, else by graphviz-pure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

FORMATS = ("svg", "png", "pdf")
SECONDS = 120  # a layout that takes longer is not going to be looked at


class RenderError(RuntimeError):
    """A picture cannot be made: no renderer is installed, or it failed."""


def find_renderer(kind: str = "svg") -> tuple[str, str] | None:
    """The renderer for a format, as (name, path of the program); None where there is none."""
    dot = shutil.which("dot")
    if dot:
        return "dot", dot
    # the scripts folder of this Python, also where its environment is not activated
    folder = sysconfig.get_path("scripts")
    pure = shutil.which("graphviz-pure", path=folder) or shutil.which("graphviz-pure")
    if pure and kind != "pdf":
        return "graphviz-pure", pure
    return None


def render(dot_text: str, kind: str) -> bytes:
    """The picture of a graph given as DOT text.

    Args:
        dot_text: in Graphviz's language.
        kind: "svg", "png" or "pdf".

    Raises:
        RenderError: no renderer is installed, or it failed or took too long.
    """
    found = find_renderer(kind)
    if found is None:
        raise RenderError(_nothing_found(kind))
    return _run(found, [f"-T{kind}", *(["-Gdpi=192"] if kind == "png" else [])], dot_text)


def lay_out(dot_text: str) -> list[dict[str, Any]]:
    """Where Graphviz puts the nodes and edges of one or several graphs, as its JSON says it.

    Raises:
        RenderError: as `render`.
    """
    found = find_renderer("html")
    if found is None:
        raise RenderError(_nothing_found("html"))
    text = _run(found, ["-Tjson0"], dot_text).decode()
    decoder = json.JSONDecoder(strict=False)
    graphs, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        graph, at = decoder.raw_decode(text, at)
        graphs.append(graph)
    return graphs


def _run(renderer: tuple[str, str], options: list[str], dot_text: str) -> bytes:
    """What the renderer writes for DOT text."""
    name, program = renderer
    try:
        done = subprocess.run(
            [program, *options],
            input=dot_text.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RenderError(f"{name} ({Path(program)}) could not draw the graph: {error}") from error
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip()[:500]
        raise RenderError(f"{name} ({Path(program)}) failed with status {done.returncode}: {said}")
    return done.stdout


def _nothing_found(kind: str) -> str:
    ways = [
        'save the graph as .dot, .json, .mmd or .txt, which always works: draw(loss).save("g.dot")',
        "install Graphviz, so that `dot` is found (Debian: apt install graphviz; macOS: brew "
        "install graphviz)",
    ]
    if kind != "pdf":
        ways.insert(0, 'pip install "tinygrad_fm[render]", which needs nothing else')
    listed = "".join(f"\n  - {way}" for way in ways)
    return f"no renderer for .{kind} is installed; any of these helps:{listed}"
