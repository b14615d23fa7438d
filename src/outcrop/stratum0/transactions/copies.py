"""Copies of a mount in the mount namespaces of other processes: who works in them, and how they all take no changes.

A new mount namespace begins with copies of all mounts, and sandboxes make one each. Where mounts are shared, a copy
goes when the original goes. Elsewhere it stays for as long as its namespace, and often nobody can take it away: the
kernel locks what a namespace got from a more privileged one. But all copies are one file system. Once that is
read-only, it is so in every copy; and the kernel makes it so only if nobody, in whatever namespace, has a file in it
open for writing.

Sources: mount(2) on MS_REMOUNT; mount_namespaces(7) on propagation and on its restrictions; proc(5) on mountinfo.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from outcrop.errors import Busy, MissingCapability, storage_error
from outcrop.stratum0.transactions.namespace import mount_namespace

_MS_RDONLY, _MS_REMOUNT = 1, 32
_KEPT_FLAGS = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
"""What mount(2) calls by the same numbers. A remount would drop it; the times of access it leaves alone."""
_USES = ("cwd", "root", "exe")
_OPTIONAL_FIELDS = 6
_SENDS, _RECEIVES = "shared:", "master:"


def make_read_only(at: Path) -> None:
    """The file system mounted at `at` takes no change any more, in no namespace.

    Busy if a file in it is open for writing, or deleted and still open: then it stays as it is. MissingCapability if
    this user may not decide that."""
    _remount(at, _MS_RDONLY)


def make_writable(at: Path) -> None:
    """The file system mounted at `at` takes changes again."""
    _remount(at, 0)


def _remount(at: Path, flags: int) -> None:
    try:
        kept = os.statvfs(at).f_flag & _KEPT_FLAGS
    except OSError as error:
        raise storage_error(error, str(at)) from error
    if _libc.mount(None, os.fsencode(at), None, _MS_REMOUNT | kept | flags, None) == 0:
        return
    number = ctypes.get_errno()
    if number == errno.EBUSY:
        raise Busy(what=str(at), holder="a program that has a file open for writing there")
    if number == errno.EPERM:
        raise MissingCapability(what=f"a remount of {at}", problem="it belongs to another user", hint="do it as root")
    raise storage_error(OSError(number, os.strerror(number)), str(at))


def goes_with(process: int, copy: str, original_process: int | None, original: str) -> bool:
    """Whether the kernel takes the copy at `copy`, as `process` sees it, away with the mount at `original`.

    It does where the mount below the copy receives what happens to the mount below the original. False where that is
    not certain."""
    sent = _peer_groups(original_process, original)
    received = _peer_groups(process, copy)
    groups = [field.removeprefix(_SENDS) for field in sent if field.startswith(_SENDS)]
    return any(f"{kind}{group}" in received for group in groups for kind in (_SENDS, _RECEIVES))


def _peer_groups(process: int | None, mountpoint: str) -> frozenset[str]:
    """The optional fields, such as `shared:12`, of the mount on which the one at `mountpoint` stands."""
    try:
        text = os.fsdecode(Path(f"/proc/{process or 'self'}/mountinfo").read_bytes())
    except OSError:
        return frozenset()
    lines = [line.split(" ") for line in text.splitlines()]
    standing = [fields[1] for fields in lines if _unescaped(fields[4]) == mountpoint]
    for fields in lines:
        if standing and fields[0] == standing[-1]:
            return frozenset(fields[_OPTIONAL_FIELDS : fields.index("-", _OPTIONAL_FIELDS)])
    return frozenset()


def _unescaped(field: str) -> str:
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escape, character)
    return field


def users_of_copy(process: int, mountpoint: str) -> Iterator[str]:
    """The processes in the mount namespace of `process` that work at or below `mountpoint`, or have files open there,
    as far as this user may see: `bash (process 4711)`."""
    namespace = mount_namespace(process)
    if namespace is None:
        return
    inside = f"{mountpoint.rstrip('/')}/"
    for name in sorted(filter(str.isdecimal, os.listdir("/proc")), key=int):
        other = int(name)
        if mount_namespace(other) == namespace and any(f"{path}/".startswith(inside) for path in _used_paths(other)):
            yield program_name(other)


def program_name(process: int) -> str:
    """The process as people know it: `bash (process 4711)`."""
    try:
        name = Path(f"/proc/{process}/comm").read_text(errors="replace").strip()
    except OSError:
        name = "a program"
    return f"{name} (process {process})"


def _used_paths(process: int) -> Iterator[str]:
    links = [f"/proc/{process}/{use}" for use in _USES]
    # It may have ended, or be somebody else's.
    with suppress(OSError):
        links += [f"/proc/{process}/fd/{number}" for number in os.listdir(f"/proc/{process}/fd")]
    for link in links:
        try:
            yield os.readlink(link)
        except OSError:
            continue


_libc = ctypes.CDLL(None, use_errno=True)
