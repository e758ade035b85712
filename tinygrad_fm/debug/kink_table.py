"""The kink table: what the derivative is where none exists, and at the edges of domains.

Everything in the library obeys it, by whichever name a function is called: the tests run every
spelling of every row, and the battery of mutants uses them too. `docs/kinks.md` is written from it
by `python -m tinygrad_fm.debug > docs/kinks.md`. The convention is PyTorch's wherever it has one.
"""

from __future__ import annotations

from tinygrad_fm.debug.kink_corners import CORNERS
from tinygrad_fm.debug.kink_edges import EDGES, SMOOTH, STEPS

SECTIONS = {
    "Corners: the slope differs before and behind": CORNERS,
    "Steps: the value jumps, or is constant in between": STEPS,
    "Edges: the slope is infinite": EDGES,
    "No kinks: the derivative exists, where a careless formula gives NaN": SMOOTH,
}
KINKS = [row for rows in SECTIONS.values() for row in rows]

_INTRODUCTION = """\
# Kinks

<!-- written by: python -m tinygrad_fm.debug > docs/kinks.md -->

Where a function has no derivative, a library has to choose one. This is the choice here, by
whatever name the function is called; every spelling is tested against every row, in the first and
in a recorded backward pass. Where PyTorch has a convention it is the same
one; the rows in which it departs, or has no such function, say "no".

A reduction by a ufunc's method (`np.maximum.reduce`) is refused for a recorded Tensor; the error
names the function to call instead (`np.max`), which is in the table.

`with tg.debug.kinks() as found:` counts the elements of a run that sat exactly on one.
"""


def to_markdown() -> str:
    """The table as a page of documentation."""
    lines = [_INTRODUCTION]
    for title, rows in SECTIONS.items():
        lines += [
            f"## {title}",
            "",
            "| where | derivative | as PyTorch | spelled |",
            "|---|---|---|---|",
        ]
        for row in rows:
            spelled = "<br>".join(f"`{s}`" for s in row.spellings)
            peer = "yes" if row.peer else "no"
            lines.append(f"| {row.where} | {row.rule} | {peer} | {spelled} |")
        lines.append("")
    return "\n".join(lines)
