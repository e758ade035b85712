"""The matrix library that NumPy has, how many threads it uses, and work that these share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

# The number of threads of NumPy's matrix library. Whoever sets one of these has chosen.
VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "BLIS_NUM_THREADS")


def count() -> int:
    """How many threads to use: as many as the matrix library does at the moment.

    Needs the extra `threads` to ask it; without, the environment's number, or one for each CPU.
    """
    known = counts()
    return min(known) if known else _count_unasked()


def counts() -> list[int]:
    """How many threads each matrix library uses that was there at first; empty if nothing tells."""
    return [loaded.num_threads for loaded in _libraries() if loaded.num_threads]


@functools.cache
def library() -> tuple[str, str]:
    """Name and version of NumPy's matrix library: "openblas", "mkl", or what NumPy calls it.

    Needs the extra `threads` where NumPy was built for any library, as that of conda-forge is.
    """
    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas") or {}
    name, version = str(built.get("name") or "unknown"), str(built.get("version") or "")
    for known in ("openblas", "mkl"):  # "scipy-openblas", "mkl-sdl"
        if known in name.lower():
            return known, version
    if name.lower() in ("blas", "cblas"):  # only then: what is loaded may be another package's
        for loaded in _libraries():
            return loaded.internal_api, loaded.version or ""
    return name, version


@functools.cache
def _libraries() -> list[Any]:
    """The loaded matrix libraries; to look for them takes milliseconds, to ask them nothing."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    np.zeros((2, 2)) @ np.zeros((2, 2))  # some are loaded when they are first used
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _count_unasked() -> int:
    for name in VARIABLES:
        value = os.environ.get(name, "").partition(",")[0]
        if value.isdigit():
            return max(1, int(value))
    return cpus()


def cpus() -> int:
    """The CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(call: Callable[..., Any], works: Iterable[tuple[Any, ...]]) -> None:
    """call(*work) for each work, the first one here and each of the others in its own thread.

    It gains where the calls let other threads run: long calls of NumPy or of compiled loops.
    """
    first, *others = works
    if not others:
        call(*first)
        return
    waiting = [_pool(os.getpid()).submit(call, *work) for work in others]
    try:
        call(*first)
    finally:
        for future in waiting:
            future.result()


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> Any:
    """The threads of this process: those of its parent are not there after a fork."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max(1, cpus() - 1), thread_name_prefix="tinygrad_fm")
