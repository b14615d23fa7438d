"""The way to the kernel: mounting, unmounting, and the descriptor that requests come through.

Whoever may mount (root, also the root of a user namespace with a mount namespace of its own) opens `/dev/fuse` and
calls mount(2). Others ask the setuid program `fusermount3`, which passes the descriptor over a socket. Paths stay bytes
on their way to the kernel.

Sources: mount(2), umount(2), fusermount3(1), the Linux kernel's `Documentation/filesystems/fuse`.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import shlex
import shutil
import socket
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.mount.mountinfo import FILE_SYSTEM_TYPE
from outcrop.client.mount.protocol import MAXIMUM_READ_BYTES
from outcrop.errors import Busy, CommandFailed, MissingCapability, NotFound, StorageError, storage_error

DEVICE = Path("/dev/fuse")
HELPER = "fusermount3"
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_READ_AHEAD = Path("/sys/class/bdi")
_MESSAGE_BYTES = 16
"""What a message that brings a descriptor says besides is of no interest."""
_HELPER_SECONDS = 30
"""`fusermount3` asks nobody; if it hangs, the mountpoint's file system does."""

WITHOUT_A_MOUNT = "`outcrop checkout` copies a repository without a mount"


@dataclass(frozen=True, slots=True)
class MountOptions:
    """What to mount where. `everyone` lets users other than the mounting one in."""

    source: str
    mountpoint: Path
    everyone: bool


def may_mount_directly() -> bool:
    """Whether mount(2) is worth a try: for root, who may be the root of a user namespace only."""
    return os.geteuid() == 0


def mount(options: MountOptions) -> int:
    """Mounts, and returns the descriptor through which the kernel asks.

    MissingCapability if the machine or its administrator does not allow it, StorageError for a mountpoint that cannot
    be used.
    """
    if may_mount_directly():
        return _mount_directly(options)
    return _mount_with_helper(options)


def _open_device() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _no_device(error) from error


def _no_device(error: OSError) -> MissingCapability:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        problem = "this kernel has no /dev/fuse"
        hint = f"load the module as root: `modprobe fuse`; {WITHOUT_A_MOUNT}"
    else:
        mode = stat.S_IMODE(DEVICE.stat().st_mode)
        problem = f"/dev/fuse may not be opened ({error.strerror}; its mode is {mode:04o})"
        hint = f"ask the administrator to allow it: `chmod 666 /dev/fuse`; {WITHOUT_A_MOUNT}"
    return MissingCapability(what="FUSE", problem=problem, hint=hint)


def mount_through(device: int, source: str, mountpoint: Path, *, everyone: bool) -> None:
    """mount(2) of what is answered through `device`, an open `/dev/fuse`; OSError with the kernel's reason.

    `everyone` lets users other than this one in."""
    settings = [
        f"fd={device}",
        f"rootmode={stat.S_IFDIR | 0o755:o}",
        f"user_id={os.getuid()}",
        f"group_id={os.getgid()}",
        "default_permissions",
        f"max_read={MAXIMUM_READ_BYTES}",
    ]
    if everyone:
        settings.append("allow_other")
    result = _libc.mount(
        source.encode(),
        os.fsencode(mountpoint),
        FILE_SYSTEM_TYPE.encode(),
        _MS_RDONLY | _MS_NOSUID | _MS_NODEV,
        ",".join(settings).encode(),
    )
    if result != 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem), os.fspath(mountpoint))


def _mount_directly(options: MountOptions) -> int:
    device = _open_device()
    try:
        mount_through(device, options.source, options.mountpoint, everyone=options.everyone)
    except OSError as error:
        os.close(device)
        if error.errno in (errno.EPERM, errno.ENODEV):
            problem = f"the kernel does not let us mount ({error.strerror})"
            raise MissingCapability(what="FUSE", problem=problem, hint=WITHOUT_A_MOUNT) from error
        raise storage_error(error) from error
    return device


def _mount_with_helper(options: MountOptions) -> int:
    helper = shutil.which(HELPER)
    if helper is None:
        raise MissingCapability(
            what=HELPER,
            problem="it is not installed, and only root mounts without it",
            hint=f"install it: `apt install fuse3` or `dnf install fuse3`; {WITHOUT_A_MOUNT}",
        )
    # The helper opens the device as this user. To try it first gives a reason that people understand.
    os.close(_open_device())
    settings = ["ro", "nosuid", "nodev", "default_permissions", f"max_read={MAXIMUM_READ_BYTES}"]
    settings += [f"fsname={options.source}", "subtype=outcrop"]
    if options.everyone:
        settings.append("allow_other")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ended = _run_helper(
            [helper, "-o", ",".join(settings), "--", os.fspath(options.mountpoint)],
            {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            theirs.fileno(),
        )
        if ended.returncode == 0:
            device = received_descriptor(ours)
            if device is None:
                raise CommandFailed(what=HELPER, problem="it passed no descriptor")
            return device
    told = ended.stderr.strip().rpartition("\n")[2].removeprefix(f"{HELPER}: ")
    if "fuse.conf" in told or "allow_other" in told:
        hint = "leave out `--everyone`, or have `user_allow_other` set in /etc/fuse.conf"
        raise MissingCapability(what="a mount for all users", problem=told, hint=hint)
    if not os.access(options.mountpoint, os.W_OK):
        raise StorageError(
            what=str(options.mountpoint), problem="belongs to somebody else", hint="choose an empty directory of yours"
        )
    raise MissingCapability(what="FUSE", problem=f"{HELPER} says: {told}", hint=WITHOUT_A_MOUNT)


def _run_helper(
    command: list[str], environment: dict[str, str] | None = None, *descriptors: int
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=environment, pass_fds=descriptors, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_HELPER_SECONDS, text=True, errors="replace", check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(what=HELPER, problem=f"no answer within {_HELPER_SECONDS} seconds") from error


def received_descriptor(connection: socket.socket) -> int | None:
    """The descriptor that comes with the next message over `connection`; None if none does, or nobody is left there."""
    return received_with_descriptor(connection, _MESSAGE_BYTES)[1]


def received_with_descriptor(connection: socket.socket, limit: int) -> tuple[bytes, int | None]:
    """The next message over `connection`, of at most `limit` bytes, and the descriptor that comes with it, if any."""
    # `socket.recv_fds` would leave the descriptor inheritable.
    descriptors = array.array("i")
    message, control, _, _ = connection.recvmsg(limit, socket.CMSG_LEN(descriptors.itemsize))
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: descriptors.itemsize])
            os.set_inheritable(descriptors[0], False)
            return message, descriptors[0]
    return message, None


def unmount(mountpoint: Path, *, lazy: bool) -> None:
    """Takes the mount at `mountpoint` away; with `lazy`, from sight at once and for good when nobody uses it any more.

    Busy if somebody uses it, NotFound if nothing is mounted there, MissingCapability if this user may not.
    """
    if may_mount_directly():
        flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
        if _libc.umount2(os.fsencode(mountpoint), flags) == 0:
            return
        problem = ctypes.get_errno()
    else:
        helper = shutil.which(HELPER)
        if helper is None:
            raise MissingCapability(what=HELPER, problem="it is not installed", hint="ask root to unmount")
        ended = _run_helper([helper, "-u", *(["-z"] if lazy else []), "--", os.fspath(mountpoint)])
        if ended.returncode == 0:
            return
        told = ended.stderr.lower()
        problem = errno.EBUSY if "busy" in told else errno.EINVAL if "not found" in told else errno.EPERM
    if problem == errno.EBUSY:
        raise Busy(
            what=str(mountpoint),
            holder="a program that has files open or its working directory there",
            hint=f"`fuser -vm {shlex.quote(str(mountpoint))}` names it; "
            "end it, or take the mount from sight with `--lazy`",
        )
    if problem == errno.EINVAL:
        raise NotFound(what=f"a mount at {mountpoint}", hint="`outcrop mount status` shows what is mounted")
    if problem == errno.EPERM:
        raise MissingCapability(
            what=f"unmounting {mountpoint}", problem="it belongs to another user", hint="do it as that user or as root"
        )
    raise storage_error(OSError(problem, os.strerror(problem)), str(mountpoint))


def raise_read_ahead(mountpoint: Path) -> None:
    """Lets the kernel read ahead as much as one request can ask for, where we may set that (as root).

    Otherwise the kernel's own 128 KiB hold, which costs large files a little."""
    device = os.stat(mountpoint).st_dev
    setting = _READ_AHEAD / f"{os.major(device)}:{os.minor(device)}" / "read_ahead_kb"
    try:
        setting.write_text(str(MAXIMUM_READ_BYTES // 1024))
    except OSError:
        return


_libc = ctypes.CDLL(None, use_errno=True)
