"""The kink table: what the derivative is where none exists, and at the edges of domains.

Everything in the library obeys it, by whichever name a function is called: the tests run every
spelling of every row, and the battery of mutants uses them too. `docs/kinks.md` is written from it
by `python -m tinygrad_fm.debug > docs/kinks.md`. The convention is PyTorch's wherever it has one.
"""

from __future__ import annotations

import numpy as np

from tinygrad_fm.debug.kink import kink
from tinygrad_fm.debug.kinks_of_order import ORDER

INF = np.inf


CORNERS = [
    kink(
        "abs at 0",
        "0",
        *("np.abs(x)", "np.absolute(x)", "np.fabs(x)", "abs(x)"),
        at=[-1, 0, 1],
        gives=[-1, 0, 1],
        peer="torch.abs(x)",
    ),
    kink(
        "maximum of equals",
        "half to each",
        "np.maximum(x, y)",
        at=[1, 2, 3],
        y=[2, 2, 2],
        gives=([0, 0.5, 1], [1, 0.5, 0]),
        peer="torch.maximum(x, y)",
    ),
    kink(
        "minimum of equals",
        "half to each",
        "np.minimum(x, y)",
        at=[1, 2, 3],
        y=[2, 2, 2],
        gives=([1, 0.5, 0], [0, 0.5, 1]),
        peer="torch.minimum(x, y)",
    ),
    kink(
        "maximum(x, 0) at 0",
        "1/2, being a tie; relu is therefore a rule of its own",
        *("np.maximum(x, 0)", "np.maximum(0, x)"),
        at=[-1, 0, 1],
        gives=[0, 0.5, 1],
        peer="torch.maximum(x, torch.zeros_like(x))",
    ),
    kink(
        "largest of several equals",
        "an even share to each",
        *("np.max(x)", "np.amax(x)", "x.max()"),
        at=[1, 2, 2],
        gives=[0, 0.5, 0.5],
        peer="torch.amax(x, 0)",
    ),
    kink(
        "largest of each row",
        "an even share to each",
        *("np.max(x, axis=1)", "np.amax(x, axis=1)", "x.max(axis=1)"),
        at=[[3, 3], [0, 1]],
        gives=[[0.5, 0.5], [0, 1]],
        peer="torch.amax(x, 1)",
    ),
    kink(
        "smallest of several equals",
        "an even share to each",
        *("np.min(x)", "np.amin(x)", "x.min()"),
        at=[1, 1, 1, 2],
        gives=[1 / 3, 1 / 3, 1 / 3, 0],
        peer="torch.amin(x, 0)",
    ),
    kink(
        "clip at its edges",
        "1: the edges belong to the inside",
        *("np.clip(x, -1, 1)", "x.clip(-1, 1)"),
        at=[-2, -1, 0, 1, 2],
        gives=[0, 1, 1, 1, 0],
        peer="torch.clamp(x, -1, 1)",
    ),
    kink(
        "relu at 0",
        "0",
        *("functional.relu(x)", "nn.ReLU()(x)"),
        at=[-1, 0, 1],
        gives=[0, 0, 1],
        peer="torch.relu(x)",
    ),
    kink(
        "leaky_relu at 0",
        "the slope of its negative side",
        *("functional.leaky_relu(x, 0.1)", "nn.LeakyReLU(0.1)(x)"),
        at=[-1, 0, 1],
        gives=[0.1, 0.1, 1],
        peer="torch.nn.functional.leaky_relu(x, 0.1)",
    ),
    kink(
        "elu at 0",
        "the slope of its negative side, alpha",
        *("functional.elu(x, 2.0)", "nn.ELU(2.0)(x)"),
        at=[0, 1],
        gives=[2, 1],
        peer="torch.nn.functional.elu(x, 2.0)",
    ),
    kink(
        "max_pool with equals in a window",
        "all to the first in reading order",
        *("functional.max_pool2d(x, 2)", "nn.MaxPool2d(2)(x)"),
        at=[[[[1, 3], [3, 3]]]],
        gives=[[[[0, 1], [0, 0]]]],
        peer="torch.nn.functional.max_pool2d(x, 2)",
    ),
    kink(
        "l1_loss where prediction and target agree",
        "0",
        *("functional.l1_loss(x, y, 'sum')", "nn.L1Loss('sum')(x, y)"),
        at=[1, 2, 3],
        y=[2, 2, 2],
        gives=([-1, 0, 1], [1, 0, -1]),
        peer="torch.nn.functional.l1_loss(x, y, reduction='sum')",
    ),
    kink(
        "huber_loss at 0 and at delta",
        "0, and delta on both sides (no corner)",
        *("functional.huber_loss(x, y, 1.0, 'sum')", "nn.HuberLoss(1.0, 'sum')(x, y)"),
        at=[0, 1, 5],
        y=[0, 0, 0],
        gives=([0, 1, 1], [0, -1, -1]),
        peer="torch.nn.functional.huber_loss(x, y, reduction='sum')",
    ),
    kink(
        "hinge_loss at the margin",
        "half of the slope, being maximum(0, 1 - t x) at a tie",
        *(f"{f}(x, np.array([1, 1, 1]))" for f in ("functional.hinge_loss", "nn.HingeLoss()")),
        at=[0, 1, 2],
        gives=[-1 / 3, -1 / 6, 0],
    ),
    kink(
        "where x > 0, at 0",
        "that of the branch which is chosen",
        *("np.where(x > 0, x, 3 * x)", "np.where(x <= 0, 3 * x, x)"),
        at=[-1, 0, 1],
        gives=[3, 3, 1],
        peer="torch.where(x > 0, x, 3 * x)",
    ),
    kink(
        "where with a mask",
        "1 to the branch which is chosen, 0 to the other",
        "np.where([True, False], x, y)",
        at=[0, 1],
        y=[2, 3],
        gives=([1, 0], [0, 1]),
        peer="torch.where(torch.tensor([True, False]), x, y)",
    ),
    kink(
        "a mask, at its threshold",
        "1 where the element is chosen",
        "x[x >= 0]",
        at=[-1, 0, 1],
        gives=[0, 1, 1],
        peer="x[x >= 0]",
    ),
    kink(
        "std of equals",
        "0",
        *("np.std(x)", "x.std()"),
        at=[2, 2, 2],
        gives=[0, 0, 0],
        peer="torch.std(x, correction=0)",
    ),
    kink(
        "length of the zero vector",
        "0",
        "np.hypot(x, y)",
        at=[0, 3],
        y=[0, 4],
        gives=([0, 0.6], [0, 0.8]),
    ),
]

STEPS = [
    kink(
        "sign, floor, ceil, trunc, round",
        "0 everywhere, at the steps too",
        *("x + np.sign(x)", "x + np.floor(x)", "x + np.ceil(x)", "x + np.trunc(x)"),
        *("x + np.round(x)", "x + np.rint(x)", "x + np.fix(x)"),
        at=[-1, 0, 0.5, 1],
        gives=[1, 1, 1, 1],
        peer="x + torch.sign(x)",
    ),
    kink(
        "comparisons",
        "0 everywhere, at equality too",
        *("x * (x > 0)", "x * np.greater(x, 0)"),
        at=[-1, 0, 1],
        gives=[0, 0, 1],
        peer="x * (x > 0)",
    ),
    kink(
        "remainder at a multiple",
        "1 by x, minus the quotient by y",
        *("np.remainder(x, y)", "np.mod(x, y)", "x % y"),
        at=[4],
        y=[2],
        gives=([1], [-2]),
        peer="torch.remainder(x, y)",
    ),
    kink(
        "fmod of a negative number",
        "1 by x, minus the truncated quotient by y",
        "np.fmod(x, y)",
        at=[-5],
        y=[3],
        gives=([1], [1]),
        peer="torch.fmod(x, y)",
    ),
]

EDGES = [
    kink("sqrt at 0", "infinite", "np.sqrt(x)", "x ** 0.5", at=[0, 4], gives=[INF, 0.25],
          peer="torch.sqrt(x)"),
    kink("cbrt at 0", "infinite", "np.cbrt(x)", at=[0, 1], gives=[INF, 1 / 3]),
    kink("log at 0", "infinite", "np.log(x)", at=[0, 2], gives=[INF, 0.5], peer="torch.log(x)"),
    kink("arcsin at 1", "infinite", "np.arcsin(x)", at=[1, 0], gives=[INF, 1],
          peer="torch.asin(x)"),
    kink("arccos at 1", "minus infinity", "np.arccos(x)", at=[1, 0], gives=[-INF, -1],
          peer="torch.acos(x)"),
    kink("arctanh at 1", "infinite", "np.arctanh(x)", at=[1, 0], gives=[INF, 1],
          peer="torch.atanh(x)"),
    kink("arccosh at 1", "infinite", "np.arccosh(x)", at=[1], gives=[INF],
          peer="torch.acosh(x)"),
    kink("0 ** y", "infinite by x for 0 < y < 1, else 0 or 1; by y 0", "np.power(x, y)", "x ** y",
          at=[0, 0, 0, 0], y=[0, 1, 2, 0.5], gives=([0, 1, 0, INF], [0, 0, 0, 0]),
          peer="torch.pow(x, y)"),
]  # fmt: skip

SMOOTH = [
    kink("prod with one zero", "the product of the others", "np.prod(x)", "x.prod()",
          at=[2, 0, 3], gives=[0, 6, 0], peer="torch.prod(x)"),
    kink("prod with two zeros", "0", "np.prod(x)", "x.prod()",
          at=[0, 0, 3], gives=[0, 0, 0], peer="torch.prod(x)"),
    kink("x ** 2 at 0", "0", "x ** 2", "np.square(x)", "np.power(x, 2)", "x * x",
          at=[0], gives=[0], peer="x ** 2"),
    kink("x ** 1 at 0", "1", "x ** 1", "np.power(x, 1)", at=[0], gives=[1], peer="x ** 1"),
    kink("x ** 0 at 0", "0", "x ** 0", "np.power(x, 0)", at=[0], gives=[0], peer="x ** 0"),
    kink("0 ** x", "0 for positive x", "0.0 ** x", at=[1, 2], gives=[0, 0]),
    kink("logaddexp of equals", "1/2 to each", "np.logaddexp(x, y)", at=[1], y=[1],
          gives=([0.5], [0.5]), peer="torch.logaddexp(x, y)"),
    kink("logaddexp of infinity", "1 to the infinite one", "np.logaddexp(x, y)", at=[INF], y=[0],
          gives=([1], [0])),
]  # fmt: skip

SECTIONS = {
    "Corners: the slope differs before and behind": CORNERS,
    "Steps: the value jumps, or is constant in between": STEPS,
    "Norms, order and statistics": ORDER,
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
