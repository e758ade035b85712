"""What the numbers were taken on: processor, cores, versions, BLAS, threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
PACKAGES = ("numpy", "torch", "mygrad", "autograd", "threadpoolctl")


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


def facts() -> dict[str, Any]:
    """What does not depend on the number of threads."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "processor": processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
    }


def pin_threads(count: int) -> dict[str, Any]:
    """Hold PyTorch to `count` threads; return what NumPy's BLAS and PyTorch then say of theirs.

    BLAS reads its variables when NumPy is imported: the parent process has set them.
    """
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found: dict[str, Any] = {
        "threads": count,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "variables": {name: os.environ.get(name) for name in THREAD_VARIABLES},
        "blas": f"{blas['name']} {blas['version']}",
        "blas_threads": None,  # only threadpoolctl can tell
        "torch_threads": None,
    }
    try:
        import threadpoolctl

        pools = threadpoolctl.threadpool_info()
        found["blas_threads"] = [p["num_threads"] for p in pools if p["user_api"] == "blas"]
    except ImportError:
        pass
    try:
        import torch

        torch.set_num_threads(count)
        found["torch_threads"] = torch.get_num_threads()
    except ImportError:
        pass
    return found
