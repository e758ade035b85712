"""What the numbers were taken on: processor, cores, versions, BLAS, threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
FAST_VARIABLE = "TINYGRAD_FM_FAST"  # whether tinygrad_fm compiles loops with Numba: 0 or 1
PACKAGES = (
    "numpy",
    "numba",
    "torch",
    "jax",
    "scikit-learn",
    "mygrad",
    "autograd",
    "threadpoolctl",
)


def cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name."""
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def facts() -> dict[str, Any]:
    """What does not depend on the number of threads."""
    return {
        "processor": processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {package: version(package) for package in PACKAGES},
    }


def pin_cores(count: int) -> None:
    """Hold this process and its children to `count` cores, where the system can.

    JAX has no setting for its threads: it asks how many cores it may use. Call this before NumPy
    is imported.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def load() -> float | None:
    """The mean number of processes that ran or waited in the minute before."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def commit() -> str | None:
    """The version of tinygrad_fm that was measured, where git can tell; "+" if it was changed."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def threads(count: int) -> dict[str, Any]:
    """What NumPy's BLAS, and PyTorch if a contender used it, say of their threads; told `count`.

    They read their variables when they are imported: the parent process has set them.
    """
    from tinygrad_fm.threads import counts, library

    found: dict[str, Any] = {
        "threads": count,
        "cores": cores(),
        "variables": {name: os.environ.get(name) for name in THREAD_VARIABLES},
        "blas": " ".join(library()).strip(),
        "blas_threads": counts() or None,  # only threadpoolctl can tell
        "torch_threads": None,
    }
    if "torch" in sys.modules:
        found["torch_threads"] = sys.modules["torch"].get_num_threads()
    return found
