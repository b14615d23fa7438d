"""Spreads work on files over the cores, in an order that does not depend on them.

The work is Python's own, file after file, so it takes processes; they are started anew, since a fork would take locks
along that threads of the caller hold. Starting them takes a fraction of a second, which a small tree is done in.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from outcrop.errors import CommandFailed

WORTHWHILE_BYTES = 500_000_000
WORTHWHILE_FILES = 20_000
"""Less of both is done in a second or two, and starting processes takes most of one (benchmarks/bench_relocate.py)."""

MAXIMUM_WORKERS = 16
"""More only wait for the disk and for the process that hands the work out."""

_BATCH_FILES = 200
_BATCH_BYTES = 16_000_000

Item = TypeVar("Item")
Result = TypeVar("Result")


def worthwhile_workers(files: int, size: int) -> int:
    """How many processes help with so many files of so many bytes together."""
    if files < WORTHWHILE_FILES and size < WORTHWHILE_BYTES:
        return 1
    return min(MAXIMUM_WORKERS, len(os.sched_getaffinity(0)))


def batches(items: Iterable[Item], size_of: Callable[[Item], int]) -> Iterator[tuple[Item, ...]]:
    """`items` in order, in batches that are worth handing over."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


def in_order(
    work: Callable[[tuple[Item, ...]], Result], jobs: Sequence[tuple[Item, ...]], workers: int
) -> Iterator[Result]:
    """`work` of each of `jobs`, in their order, done by so many processes; 1 means this one.

    What `work` raises is raised here. CommandFailed if a process ends by itself."""
    if workers < 2 or len(jobs) < 2:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_leave_interrupts_to_parent)
    try:
        yield from pool.map(work, jobs)
    except BrokenProcessPool as error:
        raise CommandFailed(
            what="a process that relocates files",
            problem="it ended by itself",
            hint="look at the kernel's log (`dmesg`) for a lack of memory; the same command goes on where it ended",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
