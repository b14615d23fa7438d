"""Trying something in a child process, for a limited time, so that nothing of it stays behind.

What the child mounts in namespaces of its own ends with it; what it starts is killed with its process group.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from outcrop.children import end_with_parent
from outcrop.errors import OutcropError

TRIAL_SECONDS = 10.0
"""No trial takes a tenth of a second on a machine that is well. A dead network file system takes for ever."""

_STANDARD_STREAMS = 3
_MESSAGE_BYTES = 65_536
"""What a pipe takes without a reader: the child's last words fit into it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: with an `answer`, or with a `problem` in words and its `errno` (0 where it has none)."""

    answer: str = ""
    problem: str = ""
    errno: int = 0
    hint: str = ""

    @property
    def succeeded(self) -> bool:
        return not self.problem


def tried(work: Callable[[], str | None], seconds: float = TRIAL_SECONDS) -> Outcome:
    """What `work` answers, or fails with, in a child process that is killed after `seconds`.

    The child has no standard input, and its output goes nowhere. This process should have no other threads that hold
    locks."""
    reading, writing = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _play(work, writing, parent)
    os.close(writing)
    try:
        message = _message(reading, seconds)
    finally:
        os.close(reading)
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if message is None:
        return Outcome(problem=f"it did not answer within {seconds:g} seconds")
    if not message:
        return Outcome(problem=f"its process ended with {os.waitstatus_to_exitcode(status)}")
    return Outcome(**json.loads(message))


def _message(reading: int, seconds: float) -> bytes | None:
    """What the child says; None if it says nothing in time."""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    if not poll.poll(seconds * 1000):
        return None
    return os.read(reading, _MESSAGE_BYTES)


def _play(work: Callable[[], str | None], answer: int, parent: int) -> NoReturn:
    try:
        end_with_parent(parent, signal.SIGKILL)
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(_STANDARD_STREAMS):
            os.dup2(nothing, stream)
        outcome = _outcome(work)
        os.write(answer, json.dumps(outcome).encode()[:_MESSAGE_BYTES])
    finally:
        os._exit(0)


def _outcome(work: Callable[[], str | None]) -> dict[str, object]:
    try:
        return {"answer": work() or ""}
    except OutcropError as error:
        return {"problem": error.message[:1000], "hint": error.hint[:1000]}
    except OSError as error:
        return {"problem": (error.strerror or str(error))[:1000], "errno": error.errno or 0}
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"[:1000]}
