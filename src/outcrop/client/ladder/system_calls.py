"""The system calls that Python 3.11 has no function for, each raising OSError with the kernel's reason.

Sources: mount(2), umount(2), unshare(2), pivot_root(2), ptrace(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
from enum import IntFlag
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
"""The number of pivot_root(2), which the C library gives no name (`asm/unistd.h` of each architecture)."""

_MNT_DETACH = 2
_PTRACE_TRACEME, _PTRACE_DETACH = 0, 17


class MountFlag(IntFlag):
    """Flags of mount(2)."""

    NONE = 0
    READ_ONLY = 1
    NO_SUID = 2
    NO_DEVICES = 4
    NO_EXEC = 8
    REMOUNT = 32
    NO_ATIME = 1024
    NO_DIRECTORY_ATIME = 2048
    BIND = 4096
    RECURSIVE = 16384
    SLAVE = 1 << 19
    RELATIVE_ATIME = 1 << 21


_STAT_FLAGS = {
    os.ST_NOSUID: MountFlag.NO_SUID,
    os.ST_NODEV: MountFlag.NO_DEVICES,
    os.ST_NOEXEC: MountFlag.NO_EXEC,
    os.ST_NOATIME: MountFlag.NO_ATIME,
    os.ST_NODIRATIME: MountFlag.NO_DIRECTORY_ATIME,
    os.ST_RELATIME: MountFlag.RELATIVE_ATIME,
}


def mount(source: str, target: str | Path, kind: str = "", flags: MountFlag = MountFlag.NONE, data: str = "") -> None:
    """mount(2); an empty `kind` or `data` is none."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode() or None, int(flags), os.fsencode(data) or None
    )
    _check(result, str(target))


def bind(source: str | Path, target: str | Path) -> None:
    """`source`, with what is mounted below it, shows at `target` too."""
    mount(os.fspath(source), target, flags=MountFlag.BIND | MountFlag.RECURSIVE)


def make_read_only(target: str | Path) -> None:
    """The mount at `target` takes no more changes; what else restricts it stays, as a user namespace demands."""
    present = os.statvfs(target).f_flag
    kept = MountFlag.NONE
    for stat_flag, flag in _STAT_FLAGS.items():
        if present & stat_flag:
            kept |= flag
    mount("none", target, flags=MountFlag.REMOUNT | MountFlag.BIND | MountFlag.READ_ONLY | kept)


def detach(target: str | Path) -> None:
    """Takes the mount at `target`, with all below it, from sight."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), str(target))


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def pivot_root(new: str, old: str) -> None:
    """`new` becomes the root, and the root so far shows at `old` below it."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(38, f"the number of pivot_root is not known for {platform.machine()}")
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")


def let_parent_trace() -> None:
    """The parent traces this process from now on."""
    _check(_libc.ptrace(_PTRACE_TRACEME, 0, None, None), "ptrace")


def stop_tracing(process: int) -> None:
    """Lets go of `process`, which is stopped."""
    _check(_libc.ptrace(_PTRACE_DETACH, process, None, None), "ptrace")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
