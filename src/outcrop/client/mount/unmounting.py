"""Ending mounts: which ones are meant, who uses them, and waiting until nothing of them is left."""

from __future__ import annotations

import errno
import os
import select
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.mount.kernel import DEVICE, unmount
from outcrop.client.mount.mountinfo import MountLine, mount_at, our_mounts, source_name
from outcrop.client.mount.processes import is_dead
from outcrop.client.mount.report import REPORT_ATTRIBUTE, Report, parse_report
from outcrop.errors import Busy, NotFound

SERVER_SECONDS = 10.0
"""A server whose mount is gone has nothing left to do; it ends within milliseconds."""

_TRANSACTIONS_SUFFIX = ".transactions"
"""How the directory ends in which a publisher keeps the open transactions of a repository."""
_SHOWN_USERS = 5
_LISTING = "`outcrop mount status` shows what is mounted"
_USES = ("cwd", "root", "exe")


@dataclass(frozen=True, slots=True)
class MountStatus:
    """A mount of ours: what it shows, and the process that serves it (None if none does any more)."""

    mountpoint: Path
    fqrn: str
    revision: int | None
    root_hash: str
    server: int | None


def wanted_mounts(target: str, lines: list[MountLine]) -> list[MountLine]:
    """The mounts of ours that `target` means: a mountpoint, or a repository's name or URL. NotFound for none."""
    ours = our_mounts(lines)
    named = [line for line in ours if line.repository == source_name(target)]
    if named:
        return named
    place = os.path.realpath(target)
    line = mount_at(place, lines)
    if line is not None and line.is_ours:
        return [line]
    if line is not None:
        raise NotFound(
            what=f"a mount of outcrop at {place}", hint=f"what is mounted there is {line.source} ({line.type})"
        )
    raise NotFound(what=f"a mount called {target}", hint=_LISTING)


@dataclass(frozen=True, slots=True)
class MountsToEnd:
    """The mounts that are to end, and those that are `left` to the open transactions that stand on them."""

    ended: tuple[MountLine, ...]
    left: tuple[MountLine, ...] = ()


def mounts_to_end(target: str | None, lines: list[MountLine]) -> MountsToEnd:
    """The mounts of ours that somebody means who wants `target` unmounted: as `wanted_mounts`; all where it is None.

    A publisher's open transaction would lose what it stands on, so its mount is meant only by its mountpoint. NotFound
    where `target` means no other."""
    chosen = our_mounts(lines) if target is None else wanted_mounts(target, lines)
    if target is not None and [line.mountpoint for line in chosen] == [os.path.realpath(target)]:
        return MountsToEnd(tuple(chosen))
    ended = tuple(line for line in chosen if not _serves_a_transaction(line))
    left = tuple(line for line in chosen if _serves_a_transaction(line))
    if target is not None and not ended:
        raise NotFound(
            what=f"a mount called {target}, other than those of open transactions,",
            hint=f"`outcrop repo abort {left[0].repository}` ends a transaction; "
            f"`outcrop umount {shlex.quote(left[0].mountpoint)}` takes away what it stands on",
        )
    return MountsToEnd(ended, left)


def _serves_a_transaction(line: MountLine) -> bool:
    return any(directory.name.endswith(_TRANSACTIONS_SUFFIX) for directory in Path(line.mountpoint).parents)


def report(line: MountLine) -> Report | None:
    """Everything that the mount `line` tells of itself; None if nobody serves it any more, or nobody may look in."""
    place = Path(line.mountpoint)
    if is_dead(place):
        return None
    text = _attribute(place, REPORT_ATTRIBUTE)
    return parse_report(text.encode(errors="surrogateescape"), f"the mount at {place}") if text else None


def status(line: MountLine) -> MountStatus:
    """What the mount `line` says of itself."""
    place = Path(line.mountpoint)
    if is_dead(place):
        return MountStatus(place, line.repository, None, "", None)
    revision = _attribute(place, "user.revision")
    server = _attribute(place, "user.pid")
    return MountStatus(
        place, line.repository, int(revision) if revision else None, _attribute(place, "user.root_hash"),
        int(server) if server else None,
    )  # fmt: skip


def end_mount(line: MountLine, *, lazy: bool) -> None:
    """Takes the mount `line` away and waits until its server has ended; with `lazy`, only takes it from sight.

    Busy, which names them, if programs use it; MissingCapability if it belongs to somebody else.
    """
    place = Path(line.mountpoint)
    server = status(line).server
    if server is None:
        unmount(place, lazy=True)
        return
    # Once the mount is gone, what its server still has open says nothing any more.
    with _held(None if lazy else server) as held:
        try:
            unmount(place, lazy=lazy)
        except Busy as error:
            users = list(users_of(place))
            shown = ", ".join(users[:_SHOWN_USERS]) + (" and others" if len(users) > _SHOWN_USERS else "")
            if not shown:
                raise
            raise Busy(
                what=str(place), holder=shown, hint="end it, or take the mount from sight with `outcrop umount --lazy`"
            ) from error
        if held is not None:
            _wait_for_end(held)


def users_of(mountpoint: Path, proc: Path = Path("/proc")) -> Iterator[str]:
    """The processes that keep `mountpoint` busy, as far as this user may see: `bash (process 4711)`."""
    inside = f"{mountpoint}/"
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if any(f"{target}/".startswith(inside) for target in _used_paths(process)):
            try:
                name = (process / "comm").read_text(errors="replace").strip()
            except OSError:
                continue
            yield f"{name} (process {process.name})"


def _used_paths(process: Path) -> Iterator[str]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        descriptors = []
    for link in (*(process / use for use in _USES), *descriptors):
        try:
            yield os.readlink(link)
        except OSError:
            continue
    try:
        maps = (process / "maps").read_text(errors="surrogateescape")
    except OSError:
        return
    for line in maps.splitlines():
        yield line[line.find("/") :] if "/" in line else ""


def _attribute(mountpoint: Path, name: str) -> str:
    try:
        return os.getxattr(mountpoint, name).decode(errors="surrogateescape")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EACCES, errno.EPERM, errno.ENOTCONN):
            return ""
        raise


def _serves_a_mount(process: int) -> bool:
    """Whether the process of that number is a file system's server, and not another one in this container."""
    try:
        # One that was opened in a mount namespace which is gone has lost the directories in its path.
        return any(os.path.basename(os.readlink(link)) == DEVICE.name for link in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


@contextmanager
def _held(process: int | None) -> Iterator[int | None]:
    """A descriptor of `process`, if that is a file system's server; None otherwise."""
    if process is None or not _serves_a_mount(process):
        yield None
        return
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for_end(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(SERVER_SECONDS * 1000)
