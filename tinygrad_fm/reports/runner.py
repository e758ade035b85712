"""Many jobs one after the other, or several at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tinygrad_fm.reports import results
from tinygrad_fm.reports.jobs import LONG, Job, estimate, run_job
from tinygrad_fm.train.threads import one_blas_thread

INTERRUPTED = 130


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Every case with its first seed, then with the others; long ones last, by length."""

    def key(job: Job) -> tuple[float, int]:
        recipe = job.recipe
        seeds, seconds = recipe.seeds, estimate(recipe)
        turn = seeds.index(job.seed) if job.seed in seeds else 0
        return seconds if seconds > LONG else 0, turn

    return sorted(jobs, key=key)


def run_jobs(
    jobs: Sequence[Job], home: Path, processes: int = 1, progress: bool | None = None
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Do the jobs, and give each with its result when it is done.

    Args:
        home: where their folders are.
        processes: how many at a time; of several, none shows a progress of its own.
        progress: as for `train.fit`.

    Raises:
        KeyboardInterrupt: Ctrl-C; what was done is kept, and what was under way goes on after its
            last whole epoch when it is run again.
        RuntimeError: a process failed; it has said why.
    """
    if processes == 1:
        with one_blas_thread():
            for job in jobs:
                yield job, run_job(job, home, progress)
        return
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(jobs))
    running: dict[Any, tuple[Any, Job]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.pop()
                process = context.Process(target=_work, args=(job, home))
                process.start()
                running[process.sentinel] = process, job
            for sentinel in wait(list(running)):
                process, job = running.pop(sentinel)
                process.join()
                if process.exitcode == INTERRUPTED:
                    raise KeyboardInterrupt
                if process.exitcode:
                    raise RuntimeError(f"{job.title} failed, with exit code {process.exitcode}")
                yield job, results.read_result(job.folder(home) / "result.json")
    finally:
        for process, _ in running.values():  # a Ctrl-C in a terminal has reached them already
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        for process, _ in running.values():
            process.join()


def _work(job: Job, home: Path) -> None:
    """What a process does."""
    try:
        with one_blas_thread():
            run_job(job, home)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
