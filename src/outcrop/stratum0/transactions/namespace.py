"""Processes apart: work in a child, user and mount namespaces of our own, and commands that run inside them.

In a user namespace this user is root, may mount, and owns what is his; nobody outside sees the mounts. The namespace
lasts as long as a process in it, which here is the server of a mount. Others enter it by that process.

Sources: user_namespaces(7), mount_namespaces(7), setns(2), unshare(2), ioctl_ns(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from outcrop.children import end_with_parent, error_message, raise_told
from outcrop.errors import CommandFailed, MissingCapability, OutcropError, storage_error

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_NS_GET_USERNS = 0xB701
_MESSAGE_BYTES = 65_536
"""What a pipe takes without a reader: the child's last words fit into it."""
_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2
_STANDARD_STREAMS = 3
NOT_FOUND_EXIT_CODE, NOT_EXECUTABLE_EXIT_CODE = 127, 126
"""What shells say of a command that does not exist, or cannot be run."""

NAMESPACE_HINT = (
    "let users have namespaces (`sysctl kernel.unprivileged_userns_clone=1`, or "
    "`kernel.apparmor_restrict_unprivileged_userns=0`), install `fuse-overlayfs`, or run as root"
)


def in_child(work: Callable[[], None]) -> None:
    """Runs `work` in a child of this process and waits for it; raises the OutcropError that it raises.

    The child lets go of every file that is open here, so that a lock of ours does not live on in what it leaves
    running. CommandFailed if it ends without a word. This process should have no other threads."""
    reading, writing = os.pipe()
    _flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _end_with(work, writing, parent)
    os.close(writing)
    try:
        _, status = _ended(child)
        # What the child started may hold the other end of the pipe for long.
        os.set_blocking(reading, False)
        with suppress(BlockingIOError):
            if message := os.read(reading, _MESSAGE_BYTES):
                raise_told(json.loads(message))
    finally:
        os.close(reading)
    if status != 0:
        problem = f"it ended with the status {os.waitstatus_to_exitcode(status)}"
        raise CommandFailed(what="a process of outcrop", problem=problem, hint="try again; `dmesg` may say more")


def _flush() -> None:
    """What was said so far is said once, and not by the child as well."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _ended(child: int) -> tuple[int, int]:
    """Waits for `child`, which does not outlive an interruption of ours."""
    try:
        return os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def _end_with(work: Callable[[], None], answer: int, parent: int) -> NoReturn:
    status = 1
    try:
        end_with_parent(parent, signal.SIGKILL)
        _let_go_of_files(answer)
        work()
        status = 0
    except OutcropError as error:
        _tell(answer, error)
    except OSError as error:
        _tell(answer, storage_error(error))
    except BaseException as error:
        _tell(answer, CommandFailed(what="a process of outcrop", problem=f"{type(error).__name__}: {error}"))
    finally:
        os._exit(status)


def _let_go_of_files(but: int) -> None:
    """Puts nothing in the place of every open file: whoever closes one of them later closes nothing else."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number >= _STANDARD_STREAMS and number not in (but, nothing):
            with suppress(OSError):  # the listing's own, which is closed by now
                os.fstat(number)
                os.dup2(nothing, number, inheritable=False)


def _tell(answer: int, error: OutcropError) -> None:
    os.write(answer, json.dumps(error_message(error)).encode())


def make_namespace() -> None:
    """Puts this process, which must have one thread, into new user and mount namespaces, in which it is root.

    MissingCapability if the machine does not let this user have them."""
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        raise _no_namespace(ctypes.get_errno())
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise _no_namespace(error.errno or errno.EPERM) from error
    if _libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        raise _no_namespace(ctypes.get_errno())


def _no_namespace(number: int) -> MissingCapability:
    problem = f"the kernel gives this user none ({os.strerror(number)})"
    return MissingCapability(what="a user namespace", problem=problem, hint=NAMESPACE_HINT)


def mount_namespace(process: int | None = None) -> int | None:
    """The number of the mount namespace that a process is in, by default this one; None if that cannot be known."""
    try:
        return os.stat(f"/proc/{process or 'self'}/ns/mnt").st_ino
    except OSError:
        return None


def enter_namespace_of(process: int, *, keeps_user: bool = False) -> None:
    """Puts this process, which must have one thread, into the mount namespace of another, and before that into the user
    namespace that owns it, which need not be the one that the other process is in.

    With `keeps_user` it stays who it is if it may, as root may, and has all its rights over what is mounted there.
    MissingCapability if this user may not enter."""
    try:
        mounts = os.open(f"/proc/{process}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error(error, f"the namespace of process {process}") from error
    try:
        if keeps_user:
            with suppress(PermissionError):
                _enter("mnt", mounts, _CLONE_NEWNS)
                return
        owner = fcntl.ioctl(mounts, _NS_GET_USERNS)
        try:
            _enter("user", owner, _CLONE_NEWUSER)
        finally:
            os.close(owner)
        _enter("mnt", mounts, _CLONE_NEWNS)
    except OSError as error:
        raise MissingCapability(
            what=f"the namespace of process {process}",
            problem=f"this user may not enter it ({error.strerror})",
            hint="do it as the user of that process or as root",
        ) from error
    finally:
        os.close(mounts)


def _enter(kind: str, namespace: int, flag: int) -> None:
    """Enters a namespace, where this process is not in it. OSError if it may not."""
    if os.path.samestat(os.fstat(namespace), os.stat(f"/proc/self/ns/{kind}")):
        return
    if _libc.setns(namespace, flag) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def run_command(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    *,
    inside: int | None = None,
    output_as_errors: bool = False,
) -> int:
    """Runs `command` in `directory`, or the deepest one there is above it, and returns its exit code; 128 and the
    number of the signal that ended it.

    With `inside`, in the namespaces of that process. With `output_as_errors`, what it writes to standard output goes to
    standard error. An interruption of ours waits for the command, which has had the same Ctrl-C, and is then raised."""
    _flush()
    child = os.fork()
    if child == 0:
        _become(command, directory, environment, inside, output_as_errors)
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except KeyboardInterrupt as error:
            if interrupted is not None:
                os.kill(child, signal.SIGTERM)
            interrupted = error
    if interrupted is not None:
        raise interrupted
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], inside: int | None, output_as_errors: bool
) -> NoReturn:
    code = NOT_EXECUTABLE_EXIT_CODE
    try:
        if output_as_errors:
            os.dup2(_STANDARD_ERROR, _STANDARD_OUTPUT)
        if inside is not None:
            enter_namespace_of(inside)
        os.chdir(next(one for one in (directory, *directory.parents) if one.is_dir()))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(command[0], list(command), dict(environment))
    except FileNotFoundError:
        code = NOT_FOUND_EXIT_CODE
        os.write(_STANDARD_ERROR, f"{command[0]}: there is no such command\n".encode("utf-8", "surrogateescape"))
    except BaseException as error:
        os.write(_STANDARD_ERROR, f"{command[0]}: {error}\n".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(code)


_libc = ctypes.CDLL(None, use_errno=True)
