"""The matrix library that NumPy has, how many threads it uses, and work that these share."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

# The number of threads of NumPy's matrix library. Whoever sets one of these has chosen.
VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "BLIS_NUM_THREADS")

# Multiplications in products of matrices that are worth a thread of their own: to wake one up takes
# 0.1 ms, as long as some millions, and a convolution does so up to three times.
WORTH = 24_000_000
# Numbers to read and to write in another order that are worth a thread of their own.
WORTH_COPYING = 2**20


def count() -> int:
    """How many threads to use: as many as the matrix library does, or did before `one_each`.

    Needs the extra `threads` to ask it; without, the environment's number, or one for each CPU.
    In a thread that does its part of shared products it is one.
    """
    return 1 if _here.shares else _outside()


def _outside() -> int:
    with _lock:  # as another thread may be about to enter
        known = [number for number in _before if number] if _users else counts()
    return min(known) if known else _count_unasked()


def per_product() -> int:
    """How many threads the matrix library has for a product.

    It is as when it was first asked, for the same numbers; 1 while `alone_in` lasts.
    """
    return 1 if _alone_in else _at_first()


def alone() -> bool:
    """Whether it has one."""
    return per_product() == 1


_at_first = functools.cache(_outside)
_alone_in: list[None] = []  # one for each that is within `alone_in`, in several threads at once


@contextlib.contextmanager
def alone_in() -> Iterator[None]:
    """Until the end the library is to have one thread for a product."""
    _alone_in.append(None)
    try:
        yield
    finally:
        _alone_in.pop()


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


def several(multiplications: int, worth: int = 0) -> int:
    """How many threads are to share products of matrices by `share_products`; 1 if it is not worth.

    Needs the extra `threads`, by which the matrix library is told to use one thread in each.

    Args:
        worth: multiplications that are worth a thread of their own, if not WORTH.
    """
    worth = worth or WORTH
    if multiplications < 2 * worth or not _libraries():
        return 1
    return max(1, min(count(), multiplications // worth))


def share_products(call: Callable[..., Any], works: list[tuple[Any, ...]]) -> list[Any]:
    """`share`, with one thread of the matrix library in each, and none that shares once more."""
    if len(works) == 1:
        return [call(*works[0])]
    with sharing():
        return share(_multiply_part, [(call, *work) for work in works])


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """`one_each`, as this thread shares products with others."""
    _here.times += 1
    with one_each():
        yield


class _Here(threading.local):
    """Of a thread: whether it does its part, how often it has shared, and `one_each` of its own."""

    shares, times, depth, counted = False, 0, 0, False


_here = _Here()


def is_one_each() -> bool:
    """Whether this thread is within `one_each`, where no other threads share a product."""
    return _here.depth > 0


def is_one_each_anywhere() -> bool:
    """Whether any thread is, as some libraries have one number for all."""
    return _users > 0


def times_shared() -> int:
    """How often this thread has shared products with others."""
    return _here.times


def use_one() -> None:
    """In a thread that computes parts alone: one thread of the library, and none shares with it.

    To be called while another one is within `one_each`.
    """
    _here.shares = True
    _tell([number and 1 for number in _before], each_thread=True)


def _do_part(call: Callable[..., Any], *work: Any) -> Any:
    """The call, in which nothing is shared once more: no thread would be left for it."""
    before, _here.shares = _here.shares, True
    try:
        return call(*work)
    finally:
        _here.shares = before


def _multiply_part(call: Callable[..., Any], *work: Any) -> Any:
    if not _here.depth:  # another thread than the one that is within `one_each`
        _tell([number and 1 for number in _before], each_thread=True)
    return _do_part(call, *work)


def share_spans(call: Callable[[slice], Any], length: int, numbers: int) -> None:
    """call(span) for all of a length: at once, or spans of it by several threads.

    Args:
        numbers: how many the calls read or write, which tells whether several threads are worth it.
            They multiply no matrices.
    """
    if numbers < 2 * WORTH_COPYING or not _libraries():
        call(slice(0, length))
        return
    parts = spans(length, min(count(), numbers // WORTH_COPYING))
    share(_do_part, [(call, part) for part in parts])


def spans(length: int, count: int) -> list[slice]:
    """A length in so many slices of about one size; in fewer where they would be empty."""
    count = max(1, min(count, length))
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def share(call: Callable[..., Any], works: Iterable[tuple[Any, ...]]) -> list[Any]:
    """call(*work) for each work, the first one here and each of the others in its own thread.

    It gains where the calls let other threads run: long calls of NumPy or of compiled loops.

    Returns:
        what the calls returned, in the order of the works.
    """
    works = list(works)
    if not works:
        return []
    first, *others = works
    waiting = [_submit(call, work) for work in others]
    try:
        done = [call(*first)]
        # where there are no threads any more
        here = [call(*work) for work, future in zip(others, waiting, strict=True) if not future]
    finally:
        for future in filter(None, waiting):
            future.exception()  # waits
    there = iter(here)
    return done + [future.result() if future else next(there) for future in waiting]


def _submit(call: Callable[..., Any], work: tuple[Any, ...]) -> Any:
    """A call in a thread of its own; None if the interpreter is ending and starts none."""
    # what np.errstate says here is to be so there
    run = contextvars.copy_context().run
    try:
        return _pool(os.getpid()).submit(run, call, *work)
    except RuntimeError:
        return None


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> Any:
    """The threads of this process: those of its parent are not there after a fork."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max(1, cpus() - 1), thread_name_prefix="tinygrad_fm")


_lock = threading.RLock()  # as a library that is told may ask for `count`
_before: list[int] = []  # threads of each library when the first of these entered
_users = 0  # threads that are within `one_each`


@contextlib.contextmanager
def one_each() -> Iterator[None]:
    """Until the end the matrix libraries use one thread for a product, and `count` stays.

    Their own threads, once used, wait for the next product for 100 ms or more without giving up
    their core: what others share meanwhile takes twice as long. So this is held for as long as a
    program runs that shares its products, and not only while it does.
    """
    outermost = not _here.depth
    _here.depth += 1
    try:
        if outermost:
            _enter()
        yield
    finally:
        _here.depth -= 1
        if outermost:
            _leave()


def _enter() -> None:
    global _before, _users
    with _lock:
        if not _users:
            _before = [loaded.num_threads for loaded in _libraries()]
        _users, _here.counted = _users + 1, True
        _tell([number and 1 for number in _before])


def _leave() -> None:
    global _users
    with _lock:
        if not _here.counted:  # interrupted before
            return
        several = _users > 1
        try:
            _tell(_before, each_thread=several)
        except BaseException:  # once more after an interruption, or it would have one for ever
            _tell(_before, each_thread=several)
            raise
        finally:  # last: until then `count` does not ask the libraries
            _users, _here.counted = _users - 1, False


def _tell(numbers: list[int], each_thread: bool = False) -> None:
    """Set the libraries' numbers of threads; or of those alone that each thread tells its own."""
    for loaded, number in zip(_libraries(), numbers, strict=True):
        own = loaded.internal_api == "mkl" or getattr(loaded, "threading_layer", "") == "openmp"
        if number and (own or not each_thread):
            # threadpoolctl lets one thread alone change OpenBLAS, the first to do so
            free = getattr(loaded, "clear_controlling_thread", lambda force: None)
            free(force=True)
            loaded.set_num_threads(number)
            free(force=True)


def _after_fork() -> None:
    """In a child, whose other threads are gone, with what they held."""
    global _lock, _users
    _lock = threading.RLock()
    users, _users = _users, int(_here.depth > 0)
    if users and not _users:
        _tell(_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
