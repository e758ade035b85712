"""Threads while training: one for a matrix product is as fast for small networks, and steadier."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tinygrad_fm import threads


@contextlib.contextmanager
def one_blas_thread() -> Iterator[str]:
    """Run with one BLAS thread, and give back in words how many there are.

    The threads of a small matrix product wait for one another longer than they compute; on a
    machine that is doing something else as well, a step takes ten times as long. Convolutions and
    updates that are large enough use as many of our own threads as BLAS would. Needs the extra
    `threads`; does nothing without it, or where an environment variable sets the number.
    """
    chosen = [f"{name}={os.environ[name]}" for name in threads.VARIABLES if os.environ.get(name)]
    if chosen:
        yield f"as {', '.join(chosen)} says"
    elif not threads.counts():
        yield 'as many as BLAS likes; steadier with one: pip install "tinygrad_fm[threads]"'
    else:
        with threads.one_each(), threads.alone_in():
            count = threads.count()
            yield f"1 for a product, {count} for large layers" if count > 1 else "1"
