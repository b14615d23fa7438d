"""A machine that allows less than this one: `python -m outcrop.demo.confinement LACK… -- COMMAND…` runs COMMAND there.

What is forbidden is forbidden for COMMAND and all that it starts, for nobody else, and with it everything is over:

- `fuse`: `/dev` is made anew in namespaces of the command's own, with the usual devices and without FUSE's, as a
  container has it.
- `namespaces`: a filter of system calls refuses namespaces and mounts with EPERM, as the filters of container engines
  do.

Neither needs a privilege where users may have namespaces; the filter needs nothing at all. Numbers of system calls:
`asm/unistd.h` of each architecture.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
from collections.abc import Collection, Sequence
from enum import Enum
from pathlib import Path

from outcrop.client.ladder.call_filter import Forbidden, forbid
from outcrop.client.ladder.launch import NOT_FOUND_EXIT_CODE
from outcrop.client.ladder.namespaces import enter_namespaces
from outcrop.client.ladder.system_calls import CLONE_NEWNS, CLONE_NEWUSER, MountFlag, bind, mount
from outcrop.client.ladder.trial import tried
from outcrop.errors import MissingCapability

_NAMESPACES = CLONE_NEWNS | CLONE_NEWUSER
_CALLS = {
    # unshare, clone, clone3, setns, mount, umount2, pivot_root, mount_setattr, move_mount, fsmount, open_tree
    "x86_64": (272, 56, 435, 308, 165, 166, 155, 442, 429, 432, 428),
    "aarch64": (97, 220, 435, 268, 40, 39, 41, 442, 429, 432, 428),
}
_MOVE = MountFlag(8192)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_DIRECTORIES = ("pts", "shm")


class Lack(Enum):
    """What a machine does not allow; the value is how the command line says it."""

    FUSE = "fuse"
    NAMESPACES = "namespaces"


def confined(lacks: Collection[Lack], command: Sequence[str]) -> list[str]:
    """The command line that runs `command` on a machine with these `lacks`."""
    if not lacks:
        return list(command)
    words = [lack.value for lack in Lack if lack in lacks]
    return [sys.executable, "-m", "outcrop.demo.confinement", *words, "--", *command]


def check_possible(lacks: Collection[Lack]) -> None:
    """Raises MissingCapability, with the reason, where such a machine cannot be pretended here."""
    outcome = tried(lambda: confine(lacks))
    if not outcome.succeeded:
        raise MissingCapability(
            what=f"a machine without {' and '.join(lack.value for lack in Lack if lack in lacks)}",
            problem=outcome.problem,
            hint="run it as root, or where users may have namespaces",
        )


def confine(lacks: Collection[Lack]) -> None:
    """Takes these `lacks` upon this process, which must have no other threads. OSError with the kernel's reason."""
    if Lack.FUSE in lacks:
        enter_namespaces()
        _hide_fuse()
    if Lack.NAMESPACES in lacks:
        _forbid_namespaces()


def _hide_fuse() -> None:
    old, new = Path("/dev"), Path(tempfile.mkdtemp(prefix="outcrop-devices-"))
    try:
        mount("devices", new, "tmpfs", MountFlag.NO_SUID, "mode=0755")
        for name in _DEVICES:
            if (old / name).exists():
                (new / name).touch()
                bind(old / name, new / name)
        for name in _DEVICE_DIRECTORIES:
            if (old / name).is_dir():
                (new / name).mkdir()
                bind(old / name, new / name)
        (new / "fd").symlink_to("/proc/self/fd")
        mount(str(new), old, flags=_MOVE)
    finally:
        new.rmdir()


def _forbid_namespaces() -> None:
    numbers = _CALLS.get(platform.machine())
    if numbers is None:
        raise OSError(errno.ENOSYS, f"no numbers of system calls are known for {platform.machine()}")
    unshare, clone, clone3, *others = numbers
    forbid(
        [
            Forbidden(unshare, errno.EPERM, _NAMESPACES),
            Forbidden(clone, errno.EPERM, _NAMESPACES),
            # Its flags are in memory, which a filter cannot see. C libraries fall back to clone.
            Forbidden(clone3, errno.ENOSYS),
            *(Forbidden(number, errno.EPERM) for number in others),
        ]
    )


def _main(words: Sequence[str]) -> int:
    position = list(words).index("--")
    lacks, command = [Lack(word) for word in words[:position]], words[position + 1 :]
    try:
        confine(lacks)
        os.execvp(command[0], list(command))
    except OSError as error:
        sys.stderr.write(f"error: {command[0]}: {error.strerror or error}\n")
    return NOT_FOUND_EXIT_CODE


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
