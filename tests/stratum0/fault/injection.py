"""The library that makes calls to the file system fail, and the orders to it."""

from __future__ import annotations

import errno
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.stratum0.fault.command_server import FaultOrder

_SOURCE = Path(__file__).with_name("fault_injection.c")
_NEVER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: the `error` of one call among those that `fault_injection.c` knows by the letters `calls`; 0 is
    a write that takes less than it was given."""

    name: str
    error: int
    calls: str

    def at(self, nth: int, below: Path) -> FaultOrder:
        """This fault at the `nth` such call on a file below the directory `below`."""
        return FaultOrder(str(below), self.calls, self.error, nth)

    def nowhere(self, below: Path) -> FaultOrder:
        """No fault: the calls are only counted."""
        return self.at(_NEVER, below)


FAULTS = (
    Fault("full-disk-write", errno.ENOSPC, "w"),
    Fault("full-disk-other", errno.ENOSPC, "cdnts"),
    Fault("bad-disk-sync", errno.EIO, "s"),
    Fault("bad-disk-read", errno.EIO, "r"),
    Fault("bad-disk-write", errno.EIO, "won"),
    Fault("too-many-files", errno.EMFILE, "o"),
    Fault("short-write", 0, "w"),
)
"""Few errors need many calls to choose from: each kind of call has points of its own in a sample."""


def reason_against_injecting() -> str:
    """Why no library can be put in front of libc's here; empty if it can."""
    return "" if shutil.which("cc") else "there is no C compiler"


def compile_library(directory: Path) -> Path:
    """The library, made in `directory`."""
    library = directory / "fault_injection.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, _SOURCE, "-ldl"], check=True
    )
    return library
