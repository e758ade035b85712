"""Threads that make compiled calls without the interpreter, for which they would wait in turn.

A thread that Python wakes begins after 50 to 100 microseconds, and waits for the interpreter before
it says that it is done. A worker instead looks at memory, for a while after its last calls; then
the next ones begin at once. Calls that it has not begun when the others are done, as it sleeps or
has no processor, are taken back.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.workers import handing
from tinygrad_fm.workers.mail import FAILED, LENGTH, LET_RUN, MADE, TAKEN_BACK

Call = tuple[Callable[..., Any], tuple[Any, ...]]  # a compiled function, and its arguments
WORDS = 8192  # for the calls of a worker


class Worker:
    """A thread, and what is needed to hand calls to it."""

    def __init__(self) -> None:
        self._do, self._mail, self._calls = handing.loops(), _words(LENGTH), _words(WORDS)
        self._mail[LET_RUN] = _let_run()
        self._taken, self._asleep = threading.Lock(), threading.Lock()
        self._asleep.acquire()
        self._lent: list[Call] = []
        ready = threading.Event()
        with threads.one_each():
            threading.Thread(
                target=self._work, args=(ready,), name="tinygrad_fm worker", daemon=True
            ).start()
            ready.wait()

    def _work(self, ready: threading.Event) -> None:
        threads.use_one()
        ready.set()
        while True:
            self._do.serve(self._mail, self._calls)
            self._asleep.acquire()

    def hand(self, calls: list[Call]) -> bool:
        """Whether it takes calls, to make one after the other: not another thread's meanwhile."""
        if not self._taken.acquire(blocking=False):
            return False
        fits = False
        try:
            fits = self._write(calls)
        finally:  # arguments of another kind are an error
            if not fits:
                self._taken.release()
        if not fits:
            return False
        self._lent = calls  # whatever happens, their arrays stay until it is done
        if not self._do.hand(self._mail, len(calls)) and self._asleep.locked():
            self._asleep.release()
        return True

    def _write(self, calls: list[Call]) -> bool:
        """Whether there is room for them, and all are of compiled functions."""
        at = 0
        for function, arguments in calls:
            if not hasattr(function, "nopython_signatures"):
                return False
            write, address = handing.handed(function)
            at = write(self._calls, at, address, *arguments)
        return at <= WORDS

    def collect(self) -> int:
        """The result of the calls; waits for those that it has begun."""
        result = self._do.collect(self._mail)
        self._lent = []
        self._taken.release()
        return result


def _words(count: int) -> Any:
    """Zeros, from the beginning of a line of the cache on."""
    whole = np.zeros(count + 8, np.int64)
    return whole[-(whole.ctypes.data // 8) % 8 :][:count]


def _let_run() -> int:
    """Where the system's function is that lets another thread run; 0 where it is not found."""
    try:
        system = ctypes.CDLL("kernel32" if sys.platform == "win32" else None)
        function = system.SwitchToThread if sys.platform == "win32" else system.sched_yield
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@functools.lru_cache(maxsize=1)
def _crew(process: int) -> list[Worker]:
    """The workers of this process: a child of it, a fork, has none of its parent's threads."""
    try:
        return [Worker() for _ in range(threads.cpus() - 1)]
    except Exception as error:  # a version of Numba, say, that does not do what others do
        if not sys.is_finalizing():  # then no thread can be started
            warnings.warn(
                f"one thread makes all compiled calls, as others cannot be had: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
        return []


def share_products(works: list[list[Call]]) -> bool:
    """`share`, with one thread of the matrix library in each."""
    if len(works) == 1:
        return _make(works[0])
    with threads.sharing():
        return share(works)


def share(works: list[list[Call]]) -> bool:
    """Make the calls of each work in a thread of its own, one after the other.

    A work ends with a call that returns False.

    Args:
        works: the calls, of functions that Numba compiled for arguments of one kind each; those of
            others are made here.

    Returns:
        whether no call returned False.
    """
    first, *others = works
    crew = _crew(os.getpid()) if others else []
    here, handed = [first, *others[len(crew) :]], []
    try:
        for worker, calls in zip(crew, others, strict=False):
            if worker.hand(calls):
                handed.append((worker, calls))
            else:
                here.append(calls)
        right = [_make(calls) for calls in here]
    finally:
        results = [worker.collect() for worker, _ in handed]
    for result, (_, calls) in zip(results, handed, strict=True):
        # of calls that failed, those here raise the error
        right.append(_make(calls) if result in (TAKEN_BACK, FAILED) else result == MADE)
    return all(right)


def _make(calls: list[Call]) -> bool:
    return all(function(*arguments) is not False for function, arguments in calls)
