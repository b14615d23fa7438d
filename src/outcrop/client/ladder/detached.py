"""A process that is nobody's child: what it is for decides when it ends, not who started it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Batch systems announce an end to every process of a job with one of these; SIGKILL follows."""

_STANDARD_STREAMS = 3


def start_detached(work: Callable[[], None], kept: Collection[int] = ()) -> None:
    """Runs `work` in a process with its own session and nobody as its parent, which ignores the signals that ask for an
    end. Of what is open here, it has the descriptors `kept` alone. What `work` raises ends it, and is lost.

    This process should have no other threads."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    child = os.fork()
    if child != 0:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            for number in _IGNORED:
                signal.signal(number, signal.SIG_IGN)
            os.chdir("/")
            _let_go_of_files(kept)
            work()
    finally:
        os._exit(0)


def _let_go_of_files(kept: Collection[int]) -> None:
    """Puts nothing in the place of what the caller has open: a lock or a pipe of somebody else's must not last as long
    as this process. The numbers stay taken, so whatever closes one of them later closes nothing else."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number in kept or number == nothing:
            continue
        with suppress(OSError):  # the listing's own, which is closed by now
            os.fstat(number)
            os.dup2(nothing, number, inheritable=number < _STANDARD_STREAMS)
