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
from tinygrad_fm.workers.mail import BEGUN, FAILED, LENGTH, LET_RUN, REFUSED, TAKEN_BACK

Call = tuple[Callable[..., Any], tuple[Any, ...]]  # a compiled function, and its arguments
WORDS = 2**15  # for the calls of a worker


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
        try:
            threads.use_one()
        finally:
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
            how = handing.handed(function)
            if how is None:
                return False
            write, address = how
            at = write(self._calls, at, address, *arguments)
            if at > WORDS:
                return False
        return True

    def collect(self) -> tuple[int, list[Call]]:
        """The result of the calls, and those that are still to be made.

        It waits for those that the worker has begun.
        """
        try:
            result = self._do.collect(self._mail)
        except BaseException:  # an interruption; then there is nothing to wait for, or once more
            self._do.collect(self._mail)
            raise
        else:
            # of one that failed, the call here raises the error
            begun = int(self._mail[BEGUN]) if result == FAILED else 0
            return result, self._lent[begun:] if result in (TAKEN_BACK, FAILED) else []
        finally:
            self._lent = []
            self._taken.release()


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
    wanted = any(handing.is_compiled(calls[0][0]) for calls in others if calls)
    crew = _crew(os.getpid()) if wanted else []
    here, handed = [first, *others[len(crew) :]], []
    try:
        for worker, calls in zip(crew, others, strict=False):
            if worker.hand(calls):
                handed.append(worker)
            else:
                here.append(calls)
        right = [_make(calls) for calls in here]
    finally:
        left = _collect(handed)
    return all([*right, *(result != REFUSED and _make(calls) for result, calls in left)])


def _collect(handed: list[Worker]) -> list[tuple[int, list[Call]]]:
    """What each worker has to say, even if one is interrupted."""
    results, interruption = [], None
    for worker in handed:
        try:
            results.append(worker.collect())
        except BaseException as error:
            interruption = error
    if interruption is not None:
        raise interruption
    return results


def _make(calls: list[Call]) -> bool:
    return all(function(*arguments) is not False for function, arguments in calls)
