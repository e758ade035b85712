"""The benchmarks by name: to add one, write a function that returns cases, and name it here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.measure import Case
from benchmarks.trial import Trial

# Each has a process of its own for each thread setting, and the parent never imports NumPy: so the
# functions are given as "module:function" and imported where they run.
BENCHMARKS = {
    "mlp": "benchmarks.mlp:cases",
    "report003-fc": "benchmarks.report003:fully_connected",
    "report003-cnn": "benchmarks.report003:convolutional",
    "training": "benchmarks.training:trials",
    "memory": "benchmarks.memory:trials",
    "overhead": "benchmarks.overhead:cases",
    "growth": "benchmarks.growth:cases",
    "optimizers": "benchmarks.optimizers:cases",
    "convolution": "benchmarks.convolution:cases",
    "chain": "benchmarks.chain:cases",
    "filling": "benchmarks.filling:cases",
    "rows": "benchmarks.rows:cases",
    "import": "benchmarks.startup:cases",
}

# Those that no thread setting changes run under the first setting only.
WITHOUT_THREADS = {"import"}

# Those that run without Numba, whose loops are not NumPy's calls: in processes of their own.
WITHOUT_NUMBA = {"overhead"}


def load(name: str) -> Callable[[bool], Sequence[Case | Trial]]:
    """The function `cases(quick)` of a benchmark; quick asks for tiny sizes."""
    import importlib

    module, function = BENCHMARKS[name].split(":")
    return getattr(importlib.import_module(module), function)
