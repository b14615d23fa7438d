"""The system calls of a command that change something, as strace sees them, and death at any one of them.

strace counts the calls of each name in each thread, and can kill a process as it enters the n-th. What the call would
have done is not done then: the state that is left is the one before it. A publish on a single core has a single thread
and always makes the same calls, so a first run lists them all.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.stratum0.fault.commands import Watch

_OPENING = ("open", "openat", "openat2", "creat")
_CHANGING = (
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice",
    "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat",
    "link", "linkat", "symlink", "symlinkat", "truncate", "ftruncate", "fallocate",
    "fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "msync",
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat",
    "utime", "utimes", "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr",
    "fremovexattr", "mount", "umount2",
)  # fmt: skip
_CREATES = re.compile(r"O_CREAT|O_TRUNC|O_TMPFILE")
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_FIRST_DESCRIPTOR = re.compile(r"(\d+)<")
_STANDARD_OUTPUTS = ("1", "2")


@dataclass(frozen=True, slots=True)
class Call:
    """The `nth` call named `name` of a command, `shown` as strace prints it."""

    name: str
    nth: int
    shown: str

    def __str__(self) -> str:
        return f"{self.name} {self.nth}: {self.shown[:200]}"


@functools.cache
def reason_against_tracing() -> str:
    """Why strace can watch nobody here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            with _strace(sleeper.pid, "--output=/dev/null"):
                sleeper.kill()
                return ""
        except PermissionError as error:
            sleeper.kill()
            return f"strace may not trace: {error}"


def recording(trace: Path, unknown: str = "") -> Watch:
    """Lists all calls that may change something in the file `trace`. Those named `unknown` fail, as on a file system
    that does not have them."""
    names = ",".join(f"?{name}" for name in (*_OPENING, *_CHANGING))
    return lambda process: _strace(process, f"--output={trace}", "-y", "-s0", f"--trace={names}", *_failing(unknown))


def killing(call: Call, unknown: str = "") -> Watch:
    """Kills the process before `call`. Those named `unknown` fail, as on a file system that does not have them."""
    names = ",".join({call.name, unknown or call.name})
    death = f"--inject={call.name}:signal=SIGKILL:when={call.nth}"
    return lambda process: _strace(process, "--output=/dev/null", f"--trace={names}", death, *_failing(unknown))


def _failing(unknown: str) -> list[str]:
    return [f"--inject={unknown}:error=EINVAL"] if unknown else []


def _strace(process: int, *options: str) -> subprocess.Popen[bytes]:
    """strace of all threads of `process`, which it has got hold of; PermissionError if it may not."""
    watcher = subprocess.Popen(
        ["strace", "-f", *options, f"--attach={process}"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert watcher.stderr is not None
    said = []
    for line in watcher.stderr:
        if b" attached" in line:
            return watcher
        said.append(line.decode(errors="replace").strip())
    watcher.wait()
    watcher.stderr.close()
    raise PermissionError("; ".join(said))


@dataclass(frozen=True, slots=True)
class Trace:
    """The `calls` of a command that change something, in their order, made by so many `threads`.

    What several threads do at the same time is not the same in every run; the n-th call of a name is then that of the
    thread which comes to it first."""

    calls: tuple[Call, ...]
    threads: int


def read_trace(file: Path) -> Trace:
    """What `recording` wrote to `file`. What a command says to people is no change."""
    seen: Counter[tuple[str, str]] = Counter()
    calls: dict[tuple[str, int], Call] = {}
    for line in file.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue  # how a thread ended, or a call that was interrupted by another thread's line
        thread, name, arguments = match.groups()
        seen[thread, name] += 1
        if _is_change(name, arguments):
            nth = seen[thread, name]
            calls.setdefault((name, nth), Call(name, nth, f"{name}({arguments}"))
    return Trace(tuple(calls.values()), len({thread for thread, _ in seen}))


def _is_change(name: str, arguments: str) -> bool:
    if name in _OPENING:
        return name == "creat" or _CREATES.search(arguments) is not None
    descriptor = _FIRST_DESCRIPTOR.match(arguments)
    return descriptor is None or descriptor[1] not in _STANDARD_OUTPUTS
