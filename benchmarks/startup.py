"""The time that a fresh Python process takes to start and to import a package."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import partial

from benchmarks.measure import Case, Step


def run(statement: str) -> Step:
    """A step that runs one statement in a new process, with bytecode caches as users have them."""
    package = statement.removeprefix("import ")
    if package != statement and importlib.util.find_spec(package) is None:
        raise ImportError(f"No module named {package!r}")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", statement]

    def step() -> tuple[()]:
        subprocess.run(command, check=True, env=environment)
        return ()

    return step


def cases(quick: bool) -> list[Case]:
    statements = {
        "tinygrad_fm": "import tinygrad_fm",
        "Python alone": "pass",
        "NumPy": "import numpy",
        "PyTorch": "import torch",
    }
    if quick:
        del statements["PyTorch"]
    contenders = {name: partial(run, statement) for name, statement in statements.items()}
    return [Case("start Python and import", contenders, turn=0, rounds=10, settle=0)]
