"""Memory peaks of a training step above what a process holds after its imports."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import mlp, networks, report003
from benchmarks.machine import FAST_VARIABLE, version
from benchmarks.measure import COMPILED, REFERENCE, Step
from benchmarks.trial import Trial

STEPS = 4  # the first ones trace and compile, and make the optimizer's state
IMPORTS = {
    "tinygrad_fm": ["tinygrad_fm.nn", "tinygrad_fm.optim"],
    "NumPy": ["numpy.random"],
    "PyTorch": ["torch"],
}


def _perceptron(contender: str, report: str, batch: int) -> Step:
    network = networks.REPORTS.get(report, networks.SMALL)
    return mlp.CONTENDERS[contender](networks.problem(network, batch))


def _report003(contender: str, layout: str) -> Step:
    return report003.CONTENDERS[contender](getattr(report003, layout))


PREPARE = {"perceptron": _perceptron, "report003": _report003}


def trials(quick: bool) -> list[Trial]:
    if quick:
        return [_trial(f"mlp {networks.SMALL}", [], "perceptron", "small", 5)]
    by_hand, pytorch = ["NumPy by hand", "NumPy, planned"], ["PyTorch, Adam fused"]
    return [
        _trial(
            f"report 000: {networks.REPORTS['000']}, batch 128",
            [*by_hand, "PyTorch, SGD fused"],
            "perceptron",
            "000",
            128,
        ),
        _trial("report 003's FC, batch 32", pytorch, "report003", "FULLY_CONNECTED"),
        _trial("report 003's CNN, batch 32", pytorch, "report003", "CONVOLUTIONAL"),
    ]


def _trial(name: str, peers: list[str], kind: str, *sizes: Any) -> Trial:
    contenders = [REFERENCE, COMPILED, *peers]
    return Trial(
        f"{name}: peak of {STEPS} training steps",
        {c: partial(_in_new_process, kind, c, *sizes) for c in contenders},
        "MiB",
        rounds=3,
    )


def _in_new_process(kind: str, contender: str, *rest: Any) -> tuple[float, dict[str, float]]:
    """The peaks in MiB; the last argument, the round, changes nothing."""
    order = json.dumps([kind, contender, *rest[:-1]])
    command = [sys.executable, "-m", "benchmarks.memory", order]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    peak, before = json.loads(done.stdout)
    return peak - before, {"whole process": peak}


def main() -> None:
    """Print the peak of the contender that the first argument names, and what was held before."""
    kind, contender, *sizes = json.loads(sys.argv[1])
    library = re.match(r"\w+", contender)[0]
    for package in IMPORTS[library]:
        importlib.import_module(package)
    if library == REFERENCE and os.environ.get(FAST_VARIABLE) == "1" and version("numba"):
        importlib.import_module("numba")
    before = _reset_peak()
    step = PREPARE[kind](contender, *sizes)
    for _ in range(STEPS):
        step()
    print(json.dumps([_peak(), before]))


def _reset_peak() -> float:
    """Make the kernel count the peak from now on; the memory in use, in MiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise OSError(f"this system's /proc has no {key}")


if __name__ == "__main__":
    main()
