"""A machine that forbids things: runs one command on it, and tells what was left when that had ended.

`python -m tests.client.ladder.confined CONFINEMENT-AS-JSON` is started by root in mount and process namespaces of its
own. Within them it hides or opens the FUSE device, shows the test's directory at `/mnt`, and starts the command as the
user, and under the filter of system calls, that the confinement asks for.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import resource
import signal
import stat
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from outcrop.client.ladder.call_filter import Forbidden, forbid
from outcrop.client.ladder.system_calls import CLONE_NEWNS, CLONE_NEWUSER, MountFlag, bind, mount

NOBODY = 65_534
SHOWN_AT = Path("/mnt")
_MOVE = 8192
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_FUSE_NUMBER = os.makedev(10, 229)
_NAMESPACE_FLAGS = CLONE_NEWNS | CLONE_NEWUSER
_SECONDS_TO_END = 8.0
_CALLS = {
    # unshare, clone, clone3, setns, mount, umount2, pivot_root
    "x86_64": (272, 56, 435, 308, 165, 166, 155),
    "aarch64": (97, 220, 435, 268, 40, 39, 41),
}


@dataclass(frozen=True)
class Confinement:
    """What the machine is like. `kill_after`: seconds after which the command is killed with SIGKILL; -1 for never."""

    command: list[str]
    shown: str
    report: str
    user: int = 0
    fuse: bool = True
    namespaces: bool = True
    open_files: int = 0
    kill_after: float = -1.0
    input: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Report:
    """How the command ended, what it said, and what was running or mounted a moment later."""

    code: int
    output: str
    complaint: str
    left_running: list[str]
    left_mounted: list[str]


def forbid_namespaces() -> None:
    """As the filters of container engines do it: namespaces and mounts are refused with EPERM."""
    unshare, clone, clone3, *others = _CALLS[platform.machine()]
    forbid(
        [
            Forbidden(unshare, errno.EPERM, _NAMESPACE_FLAGS),
            Forbidden(clone, errno.EPERM, _NAMESPACE_FLAGS),
            Forbidden(clone3, errno.ENOSYS),
            *(Forbidden(number, errno.EPERM) for number in others),
        ]
    )


def _main(confinement: Confinement) -> None:
    bind(confinement.shown, SHOWN_AT)
    _make_devices(with_fuse=confinement.fuse)
    if confinement.user:
        for needed in (sys.executable, os.path.realpath(sys.executable), __file__):
            _open_for_others(Path(needed))
    before = _mounts()

    def confine() -> None:
        if confinement.open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (confinement.open_files, confinement.open_files))
        if confinement.user:
            os.setgroups([])
            os.setresgid(confinement.user, confinement.user, confinement.user)
            os.setresuid(confinement.user, confinement.user, confinement.user)
        if not confinement.namespaces:
            forbid_namespaces()

    with subprocess.Popen(
        confinement.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd="/", env={**os.environ, **confinement.environment}, preexec_fn=confine,  # noqa: PLW1509 (there is one thread)
    ) as process:  # fmt: skip
        if confinement.kill_after >= 0:
            time.sleep(confinement.kill_after)
            process.send_signal(signal.SIGKILL)
        output, complaint = process.communicate(confinement.input)
    left = _left_running()
    mounted = sorted(set(_mounts()) - set(before))
    report = Report(process.returncode, output, complaint, left, mounted)
    Path(confinement.report).write_text(json.dumps(asdict(report)))


def _make_devices(*, with_fuse: bool) -> None:
    """A `/dev` with the usual devices. FUSE's is there for everybody, or not at all."""
    place = SHOWN_AT / "dev"
    place.mkdir(exist_ok=True)
    mount("devices", place, "tmpfs", data="mode=0755")
    for name in _DEVICES:
        (place / name).touch()
        bind(f"/dev/{name}", place / name)
    for name in ("pts", "shm"):
        if Path("/dev", name).is_dir():
            (place / name).mkdir()
            bind(f"/dev/{name}", place / name)
    (place / "fd").symlink_to("/proc/self/fd")
    if with_fuse:
        os.mknod(place / "fuse", stat.S_IFCHR | 0o666, _FUSE_NUMBER)
        os.chmod(place / "fuse", 0o666)
    mount(str(place), "/dev", flags=MountFlag(_MOVE))


def _open_for_others(path: Path) -> None:
    """Makes `path` reachable where a directory above it lets only root in, as a home does."""
    for directory in reversed(path.parents):
        if not directory.stat().st_mode & stat.S_IXOTH:
            inner = directory / path.relative_to(directory).parts[0]
            aside = SHOWN_AT / "aside"
            aside.mkdir(exist_ok=True)
            bind(inner, aside)
            mount("opened", directory, "tmpfs", data="mode=0755")
            inner.mkdir()
            bind(aside, inner)
            return


def _left_running() -> list[str]:
    """The processes that have not ended a moment after the command; this one, and those that waited for it, apart."""
    ours = {1, os.getpid(), os.getppid()}
    deadline = time.monotonic() + _SECONDS_TO_END
    while True:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) not in ours]
        alive = [number for number in numbers if _command_line(number)]
        if not alive or time.monotonic() > deadline:
            return [_command_line(number) for number in alive]
        time.sleep(0.05)


def _command_line(number: int) -> str:
    """What the process runs; empty for one that has ended."""
    try:
        return Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def _mounts() -> list[str]:
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]


if __name__ == "__main__":
    _main(Confinement(**json.loads(sys.argv[1])))
