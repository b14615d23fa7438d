"""Programs that are run as a group of their own, and end as one.

Ctrl-C at a terminal reaches a whole group. bubblewrap does not bear that while it sets a root up: the process that
waits inside for the one outside never hears that it has gone, and waits for ever. So its group hears nothing of it, and
is killed as a whole when we stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from outcrop.errors import Interrupted

_LOCK = threading.Lock()
_RUNNING: set[int] = set()
_STOPPED = threading.Event()


def run_group(
    line: Sequence[str], *, stdin: str = "", seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the program `line` to its end; what it wrote is taken as text, whatever it is. Nothing of it is left when
    this is interrupted. subprocess.TimeoutExpired after `seconds`; OSError where it cannot be started; Interrupted in
    a thread of `ending_together`, when that has ended."""
    with subprocess.Popen(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        try:
            with _known(process.pid):
                output, errors = process.communicate(stdin, timeout=seconds)
        except BaseException:
            _kill(process.pid)
            process.wait()
            raise
    return subprocess.CompletedProcess(line, process.returncode, output, errors)


@contextmanager
def ending_together() -> Iterator[None]:
    """What threads run within the block ends when an exception leaves it, and they begin nothing more: Ctrl-C reaches
    the main thread only."""
    _STOPPED.clear()
    try:
        yield
    except BaseException:
        with _LOCK:
            _STOPPED.set()
            for number in _RUNNING:
                _kill(number)
        raise


@contextmanager
def _known(number: int) -> Iterator[None]:
    with _LOCK:
        # The main thread is the one that heard of it, and goes on as it likes.
        if _STOPPED.is_set() and threading.current_thread() is not threading.main_thread():
            raise Interrupted
        _RUNNING.add(number)
    try:
        yield
    finally:
        with _LOCK:
            _RUNNING.discard(number)


def _kill(number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
