"""Namespaces of a command's own, in which a repository shows at its place and nobody else sees it.

Root needs a mount namespace only. Others get a user namespace with it, in which they keep their number: a process has
every right over the namespace from its making until it runs a program, which is when the mounts have been made. The
namespaces, and all mounts in them, end with the last process in them. Mounts that the machine makes later (automounted
homes) still arrive; nothing of ours travels the other way.

Inside a user namespace only this user's own number is known: files of others look as if they belonged to `nobody`, and
so do the supplementary groups, though the rights that they give hold.

Sources: user_namespaces(7), mount_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from outcrop.client.ladder.root_plan import Kind, RootPlan
from outcrop.client.ladder.system_calls import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MountFlag,
    bind,
    detach,
    make_read_only,
    mount,
    pivot_root,
    unshare,
)

_OLD_ROOT = ".outcrop-host"
_STAGING = ("/tmp", "/var", "/etc", "/proc")
"""A directory to build the new root on, covered for a moment in our namespace only; one of them is everywhere."""

_THREAD_SECONDS = 2.0
"""A thread that has been joined may take a moment to leave the kernel."""


def enter_namespaces() -> None:
    """Puts this process, which must have no other threads, into namespaces in which it may mount.

    OSError with the kernel's reason, after which the process is where it was or, where the namespace is there and gives
    no rights, fit for nothing: try in a child."""
    _wait_for_one_thread()
    if not (os.geteuid() == 0 and _enter_mount_namespace()):
        enter_user_namespace()
    mount("none", "/", flags=MountFlag.RECURSIVE | MountFlag.SLAVE)


def _enter_mount_namespace() -> bool:
    try:
        unshare(CLONE_NEWNS)
    except PermissionError:
        # Root of a container without the right to mount: a user namespace may still be allowed.
        return False
    return True


def enter_user_namespace() -> None:
    """Puts this process into user and mount namespaces with the numbers that it has. OSError as the kernel says."""
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    with suppress(FileNotFoundError):  # before Linux 3.19
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def show(plan: RootPlan, attach: Callable[[Path], None]) -> None:
    """Makes the root of this mount namespace what `plan` says; `attach` mounts something at the path it is given.

    The working directory stays the one it was, by its path; where it is not to be seen any more, it is `/`. OSError
    with the kernel's reason."""
    directory = _working_directory()
    place = Path(plan.place)
    if plan.is_direct:
        attach(place)
    else:
        _begin_new_root()
        _fill(plan)
        place.mkdir(parents=True)
        attach(place)
        _end_new_root()
    try:
        os.chdir(directory)
    except OSError:
        os.chdir("/")


def attach_copy(source: Path) -> Callable[[Path], None]:
    """Shows the directory `source`, which takes no changes there."""

    def attach(place: Path) -> None:
        bind(source, place)
        make_read_only(place)

    return attach


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _begin_new_root() -> None:
    """The root is an empty file system in memory, and the old one shows at `_OLD_ROOT` in it."""
    staging = next(path for path in _STAGING if os.path.isdir(path))
    mount("outcrop", staging, "tmpfs", MountFlag.NO_SUID | MountFlag.NO_DEVICES, "mode=0755")
    os.chdir(staging)
    os.mkdir(_OLD_ROOT, 0o700)
    pivot_root(".", _OLD_ROOT)
    os.chdir("/")


def _fill(plan: RootPlan) -> None:
    old = Path("/", _OLD_ROOT)
    for directory in plan.opened[1:]:
        os.mkdir(directory, 0o755)
    for entry in plan.carried:
        if entry.kind is Kind.LINK:
            os.symlink(entry.target, entry.path)
            continue
        if entry.kind is Kind.DIRECTORY:
            os.mkdir(entry.path, 0o755)
        else:
            os.close(os.open(entry.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        try:
            bind(old / entry.path.relative_to("/"), Path(entry.path))
        except OSError as error:
            if error.errno not in _CANNOT_SHOW:
                raise
            # A network mount that is gone, for one: its empty place is all there is of it outside, too.


_CANNOT_SHOW = frozenset({errno.ENOENT, errno.EACCES, errno.ESTALE, errno.EHOSTDOWN, errno.ENOTCONN, errno.EIO})


def _end_new_root() -> None:
    detach(f"/{_OLD_ROOT}")
    os.rmdir(f"/{_OLD_ROOT}")
    # What a program writes to `/` would be gone with the namespace. Better it is told.
    make_read_only("/")


def _wait_for_one_thread() -> None:
    deadline = time.monotonic() + _THREAD_SECONDS
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
        time.sleep(0.001)
