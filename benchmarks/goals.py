"""What tinygrad_fm aims at, as bounds on ratios, and how far the results are from it."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks import table
from benchmarks.measure import COMPILED, REFERENCE


@dataclass(frozen=True)
class Goal:
    """A bound on our time, or memory, over that of others.

    Args:
        text: what is wanted, for the reader.
        benchmark: its name in the registry.
        most: the ratio that is not to be exceeded; seconds where there is no `peer`; infinite where
            nobody can know what is possible, and nearer is better.
        peer: a pattern of contenders' names; of several, the fastest counts. None: our own time.
        case: a pattern of cases' names.
        ours: which of our contenders is meant.
        numba: whether it is meant with Numba, or without; None: both.
        middle: whether the median over the cases is meant, and not the worst of them.
    """

    text: str
    benchmark: str
    most: float
    peer: str | None
    case: str = ""
    ours: str = COMPILED
    numba: bool | None = None
    middle: bool = False


GOALS = [
    Goal("compiled perceptrons beside hand-planned NumPy", "mlp", 1.05, "NumPy, planned"),
    Goal(
        "compiled perceptrons beside their matrix products", "mlp", math.inf, "GEMMs", middle=True
    ),
    Goal(
        "784-128-64-10, batch 128, beside PyTorch eager, SGD fused",
        "mlp",
        1 / 1.5,
        "PyTorch, SGD fused",
        "784-128-64-10.*batch 128:",
    ),
    Goal(
        "784-128-64-10, batch 1, beside PyTorch eager, SGD fused",
        "mlp",
        1 / 3,
        "PyTorch, SGD fused",
        "784-128-64-10.*batch 1:",
    ),
    Goal("no perceptron slower than PyTorch eager", "mlp", 1, "PyTorch, "),
    Goal("no perceptron slower than torch.compile", "mlp", 1, "torch.compile"),
    Goal("no perceptron slower than JAX jit", "mlp", 1, "JAX"),
    Goal(
        "report 003's fully connected step beside PyTorch, Adam fused",
        "report003-fc",
        1 / 1.2,
        "PyTorch, Adam fused",
        numba=True,
    ),
    Goal(
        "the same without Numba",
        "report003-fc",
        1.3,
        "PyTorch, Adam fused",
        numba=False,
    ),
    Goal(
        "Adam alone on 10^6 and 10^7 parameters beside PyTorch's fused",
        "optimizers",
        1,
        "PyTorch, fused",
        "Adam, (1,000,000|10,000,000) ",
        ours="tinygrad_fm[fast]",
        numba=True,
    ),
    Goal("report 003's CNN step beside PyTorch eager", "report003-cnn", 1 / 3, "PyTorch"),
    Goal("memory peak of that step beside PyTorch's", "memory", 1.5, "PyTorch", "003.*CNN"),
    Goal("every convolution beside PyTorch", "convolution", 1, "PyTorch"),
    Goal(
        "convolutions beside PyTorch, in the median",
        "convolution",
        1 / 1.3,
        "PyTorch",
        middle=True,
    ),
    Goal("time to the accuracy beside PyTorch", "training", 0.5, "PyTorch"),
    Goal("time to the accuracy beside scikit-learn", "training", 0.5, "scikit-learn"),
    Goal(
        "a program beside its own NumPy calls, batch 128",
        "overhead",
        1.05,
        "NumPy",
    ),
    Goal("import tinygrad_fm", "import", 0.150, None, ours=REFERENCE),
]


def judge(runs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each goal, a column for each thread setting: what was found, and is it met?"""
    settings: dict[str, list[dict[str, Any]]] = {}
    for r in runs:
        settings.setdefault(table.setting(r), []).append(r)
    rows = [("aim", "at most", *settings)]
    for goal in GOALS:
        wanted = _shown(goal, goal.most) if math.isfinite(goal.most) else "as near as can be"
        rows.append((goal.text, wanted, *(_found(goal, found) for found in settings.values())))
    return rows


def _found(goal: Goal, runs: list[dict[str, Any]]) -> str:
    """The ratio, whether it is within the bound, and the case it comes from."""
    values = []
    for run in runs:
        if run["benchmark"] == goal.benchmark and goal.numba in (None, run["numba"]):
            for found in run["cases"]:
                if re.search(goal.case, found["case"]):
                    values += [(value, found["case"]) for value in _values(goal, found)]
    if not values:
        return "-" if goal.numba not in (None, runs[0]["numba"]) else "not measured"
    value, name = max(values)
    if goal.middle:
        value, name = statistics.median(v for v, _ in values), f"median of {len(values)}"
    shown = _shown(goal, value)
    if math.isfinite(goal.most):
        shown += ", met" if value <= goal.most else ", **not met**"
    return shown + (f" ({name})" if len(values) > 1 else "")


def _shown(goal: Goal, value: float) -> str:
    return f"{value:.2f}x" if goal.peer else table.quantity(value, "s")


def _values(goal: Goal, found: dict[str, Any]) -> list[float]:
    """The ratio to the fastest peer of one case, if both were measured."""
    if goal.peer is None:
        return [c["value"]["median"] for c in found["contenders"] if c["name"] == goal.ours]
    peers = [
        c
        for c in found["contenders"]
        if re.match(goal.peer, c["name"]) and goal.ours in c["ratios"]
    ]
    fastest = sorted(peers, key=lambda c: c["value"]["median"])[:1]
    return [c["ratios"][goal.ours]["median"] for c in fastest]
