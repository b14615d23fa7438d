"""The process around a command line: its descriptors, its signals, its last words."""

from __future__ import annotations

import os
import select
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERNAL_ERROR_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h: a fault of ours, not of the user's."""

READER_GONE_EXIT_CODE = 128 + signal.SIGPIPE
"""What a shell says of a program that SIGPIPE ended, as `outcrop find … | head` ends it."""

_STANDARD_DESCRIPTORS = (0, 1, 2)

_AGAIN_AFTER = 0.005
"""Seconds until an interruption that Python could not raise is raised again."""

_LOCKING = frozenset({"__enter__", "__exit__", "_acquire_restore", "_release_save"})
"""What `threading` calls the functions of a condition that take its lock or give it back."""

_INTERRUPTIONS: list[int] = []
"""The numbers of the signals that have told this process to end."""


def prepare() -> None:
    """Make the process fit for a command: no file of ours lands on a standard descriptor, and SIGTERM ends the work as
    Ctrl-C does. So does SIGHUP. What whoever started us wants ignored (`nohup`, `&` in a script) stays ignored."""
    for descriptor in _STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.unraisablehook = _dropped
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _interrupt)
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def was_interrupted() -> bool:
    """Whether a signal has told this process to end. What goes wrong after that is no news: an interruption that comes
    in the middle of a `finally`, or of a lock, can turn into any error."""
    return bool(_INTERRUPTIONS)


def reader_is_gone() -> bool:
    """Whether standard output is a pipe or socket that nobody reads any more."""
    if sys.stdout is None:
        return False
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except (OSError, ValueError):
        return False


def leave(code: int) -> NoReturn:
    """Exit with `code`. What standard output refuses to take is dropped: the error has been told already."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # Python would try again while it shuts down, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _dropped(dropped: sys.UnraisableHookArgs) -> None:
    """An exception had nowhere to go, such as in a finaliser, or in what Python runs around a fork. If it was an
    interruption, it comes again, in a moment that can take it. Nobody could act on the others: Python tells them."""
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_AFTER)
    else:
        sys.__unraisablehook__(dropped)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _INTERRUPTIONS.append(number)
    if frame is not None and _has_to_do_with_a_lock(frame):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_AFTER)
    else:
        raise KeyboardInterrupt


def _has_to_do_with_a_lock(frame: FrameType) -> bool:
    """Whether Python is just taking or giving back the lock of a condition: an exception in there would leave it taken,
    and a thread that is waited for would wait for it for ever."""
    while frame.f_globals is globals() and frame.f_back is not None:
        frame = frame.f_back  # one interruption comes while another is being looked at
    return frame.f_globals.get("__name__") == "threading" and frame.f_code.co_name in _LOCKING
