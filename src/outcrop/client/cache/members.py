"""Who uses a cache: processes, by names that tell later whether they still live.

Locks of the kernel would tell that better, but a cache may lie on a file system whose locks do not reach from node to
node. So a name holds what is needed to ask: the machine (its boot and its PID namespace), the process, and when that
began. A process of this machine is asked for by its number; of another machine, only the age of its file speaks.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

ABSENT_SECONDS = 24 * 3600
"""A member elsewhere that has not written its file for a day is taken for gone: no download takes as long."""

_NAME = re.compile(r"([0-9a-f]{12})-([0-9]{1,10})-([0-9]{1,20})-([0-9a-f]{8})")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_START_FIELD = 19
"""Of /proc/PID/stat, counted behind the name in parentheses. Source: proc_pid_stat(5)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One user of a cache: machine, process number, when the process began (clock ticks), and a token of its own."""

    machine: str
    process: int
    started: int
    token: str

    @property
    def name(self) -> str:
        return f"{self.machine}-{self.process}-{self.started}-{self.token}"

    @classmethod
    def parse(cls, name: str) -> Member | None:
        """The member that `name` begins with; None where it begins with none."""
        match = _NAME.match(name)
        return cls(match[1], int(match[2]), int(match[3]), match[4]) if match else None

    @classmethod
    def current(cls) -> Member:
        """A new member that stands for this process."""
        process = os.getpid()
        return cls(this_machine(), process, started_at(process), os.urandom(4).hex())

    def is_gone(self, written_at: float, now: float) -> bool:
        """Whether its process has ended. `written_at` is when its file was last written (seconds)."""
        if self.machine != this_machine():
            return is_old(written_at, now)
        return not _runs(self.process, self.started)


def is_old(written_at: float, now: float) -> bool:
    """Whether a file belongs to somebody who has been away for too long."""
    return now - written_at > ABSENT_SECONDS


@functools.cache
def this_machine() -> str:
    """Twelve digits for this boot of this machine, and this PID namespace."""
    try:
        identity = f"{_BOOT.read_text()}{_NAMESPACE.stat().st_ino}"
    except OSError:
        # Without /proc, processes are known by the name of the machine alone.
        identity = os.uname().nodename
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def started_at(process: int) -> int:
    """When `process` began, in clock ticks since the boot; 0 where that cannot be known."""
    try:
        status = Path("/proc", str(process), "stat").read_bytes()
        return int(status.rpartition(b")")[2].split()[_START_FIELD])
    except (OSError, ValueError, IndexError):
        return 0


def _runs(process: int, started: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        # It is there, and belongs to somebody else.
        pass
    actual = started_at(process)
    return not actual or not started or actual == started
