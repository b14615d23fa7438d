"""A process that runs `outcrop` commands, each in a child that it forks.

Everything is imported once, so that a command costs some hundred milliseconds and not a second and a half. A line of
JSON on standard input orders a command (`tests.stratum0.fault.commands`). Numbers on standard output answer: the
child's process, where it waits to be watched, and then its exit code, negative for a signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pkgutil
import resource
import signal
import sys

import msgspec

from outcrop.cli import app, process
from outcrop.cli.entry import INTERRUPTED_EXIT_CODE
from outcrop.cli.registry import SECTIONS, NounPlace

_PACKAGES = ("outcrop.cvmfs", "outcrop.storage", "outcrop.stratum0", "outcrop.cli")

_LATE = ("numpy", "_strptime")
"""What commands import when they come to need it."""

_PR_SET_PTRACER = 0x59616D61
_ANY_PROCESS = ctypes.c_ulong(-1)
"""Where Yama restricts ptrace, a process that is no ancestor may trace us only if we say so (prctl(2))."""


class FaultOrder(msgspec.Struct, frozen=True):
    """What `fault_arm` of `fault_injection.c` is called with."""

    below: str
    calls: str
    error: int
    nth: int


class CommandOrder(msgspec.Struct, frozen=True):
    """A command to run: its arguments and environment, the file that its words go to, and how it is treated.

    With `waits` the child stops itself before its first step until it gets SIGCONT. With `on_one_core` it may use one
    processor. `open_files` is how many it may have open, 0 for as many as anybody.
    """

    arguments: list[str]
    environment: dict[str, str]
    output: str
    waits: bool = False
    on_one_core: bool = True
    open_files: int = 0
    fault: FaultOrder | None = None


def main() -> None:
    _import_everything()
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=CommandOrder)
        child = os.fork()
        if child == 0:
            _be_the_command(order)
        if order.waits:
            os.waitpid(child, os.WUNTRACED)
            _say(child)
        _, status = os.waitpid(child, 0)
        _say(os.waitstatus_to_exitcode(status))


def _import_everything() -> None:
    """Imports what commands import when they run."""
    repo = SECTIONS["Build and publish"]["repo"]
    assert isinstance(repo, NounPlace)
    below = [module.name for name in _PACKAGES for module in pkgutil.walk_packages(_path_of(name), f"{name}.")]
    for module in [*(place.module for place in repo.verbs.values()), *below, *_LATE]:
        # What needs a package that is not installed is not needed here.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def _path_of(package: str) -> list[str]:
    return list(importlib.import_module(package).__path__)


def _be_the_command(order: CommandOrder) -> None:
    code = os.EX_OSERR
    try:
        os.environ.update(order.environment)
        output = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        for descriptor, opened in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
            os.dup2(opened, descriptor)
        if order.on_one_core:
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[os.getppid() % len(cores)]})
        if order.open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (order.open_files, order.open_files))
        libc = ctypes.CDLL(None)
        process.prepare()
        if order.waits:
            libc.prctl(_PR_SET_PTRACER, _ANY_PROCESS, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
        if order.fault is not None:
            fault = order.fault
            libc.fault_arm(fault.below.encode(), fault.calls.encode(), fault.error, fault.nth)
        code = app.run(order.arguments)
        sys.stdout.flush()
        if order.fault is not None:
            os.write(2, MET % libc.fault_disarm())
    except KeyboardInterrupt:
        code = INTERRUPTED_EXIT_CODE  # as `outcrop.cli.entry` does
    finally:
        os._exit(code)


MET = b"\nmet %d calls"
"""The last words of a command under a fault: how many calls counted."""


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
