"""BLAS threads while training: one is as fast for small networks, and far steadier."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tinygrad_fm.threads import VARIABLES


@contextlib.contextmanager
def one_blas_thread() -> Iterator[str]:
    """Run with one BLAS thread, and give back in words how many there are.

    The threads of a small matrix product wait for one another longer than they compute; on a
    machine that is doing something else as well, a step takes ten times as long. Needs the extra
    `threads`; does nothing without it, or where an environment variable sets the number.
    """
    chosen = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)]
    if chosen:
        yield f"as {', '.join(chosen)} says"
        return
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        yield 'as many as BLAS likes; steadier with one: pip install "tinygrad_fm[threads]"'
        return
    with threadpool_limits(limits=1, user_api="blas"):
        yield "1"
