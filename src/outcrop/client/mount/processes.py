"""The processes behind a mount: a server, and a watcher that clears up after it.

The watcher is the server's parent. It holds nothing, least of all the descriptor of the mount, so when the server
dies of `kill -9` the kernel closes the connection, and the watcher takes the dead mount away. When the watcher
dies, the server unmounts and ends. If both are killed at once, a dead mount remains, which the next `outcrop mount`
or `outcrop umount` of that place removes.

Both are forked, not started anew: they need what the caller has opened or decided. So the caller should have no other
threads at that moment.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from outcrop.children import end_with_parent, error_message, raise_told
from outcrop.client.cache_choice import remove_private_caches
from outcrop.client.mount.kernel import MountOptions, unmount
from outcrop.client.mount.mountinfo import AUTOMOUNT_TYPE, mount_at, mounts
from outcrop.client.mount.server import OpenTree, Serve, serve, set_up_log
from outcrop.errors import AlreadyExists, CommandFailed, InvalidValue, NotFound, OutcropError, storage_error

_MESSAGE_BYTES = 1_000_000
_MOST_NOTES = 20
_NOTE_CHARACTERS = 1000
"""So many notes of such a length are told at most: the log has them all."""

_LOG = logging.getLogger("outcrop.mount")
_FORWARDED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class RunningMount:
    """A mount that answers. `server` is the number of the process that serves it, `watcher` that of its watcher.

    `notes` are sentences about what had to be mended or done without when it was opened; the log has them, too."""

    mountpoint: Path
    server: int
    watcher: int
    notes: tuple[str, ...] = ()

    def stop(self) -> None:
        """Begins to end it."""
        os.kill(self.watcher, signal.SIGTERM)


def check_mountpoint(mountpoint: Path) -> None:
    """Says why nothing can be mounted at `mountpoint`, and takes a dead mount of ours away first.

    Raises NotFound, InvalidValue (no directory, or not empty), AlreadyExists (a mount that lives), StorageError.
    """
    clear_dead_mount(mountpoint)
    require_free(mountpoint)


def require_free(mountpoint: Path) -> None:
    """Says why nothing can be mounted at `mountpoint`, and changes nothing. Raises as `check_mountpoint` does."""
    line = mount_at(os.path.realpath(mountpoint), mounts())
    if line is not None and line.type == AUTOMOUNT_TYPE:
        # Whoever looked there has us called, and waits. To look would be to wait as well.
        return
    if line is not None:
        ours = line.is_ours
        command = shlex.join(("outcrop", "umount", str(mountpoint)) if ours else ("umount", str(mountpoint)))
        raise AlreadyExists(
            what=f"a mount of {line.repository}{'' if ours else f' ({line.type})'} at {mountpoint}",
            hint=f"`{command}` takes it away, or name another directory",
        )
    try:
        with os.scandir(mountpoint) as entries:
            first = next(entries, None)
    except FileNotFoundError:
        hint = f"`mkdir -p {shlex.quote(str(mountpoint))}` makes it"
        raise NotFound(what=f"the directory {mountpoint}", hint=hint) from None
    except NotADirectoryError:
        raise InvalidValue(
            what=str(mountpoint), problem="is not a directory", hint="name an empty directory to mount on"
        ) from None
    except OSError as error:
        raise storage_error(error, str(mountpoint)) from error
    if first is not None:
        raise InvalidValue(
            what=str(mountpoint),
            problem=f"is not empty (it holds {first.name!r}), so a mount would hide what is there",
            hint="name an empty directory to mount on",
        )


def is_dead(mountpoint: Path) -> bool:
    """Whether what is mounted at `mountpoint` has no server any more. A server that lives is asked, and answers."""
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def clear_dead_mount(mountpoint: Path) -> bool:
    """Takes away a mount of ours that nobody serves; whether there was one."""
    line = mount_at(os.path.realpath(mountpoint), mounts())
    if line is None or not line.is_ours or not is_dead(mountpoint):
        return False
    unmount(mountpoint, lazy=True)
    return True


def mount_in_background(open_tree: OpenTree, options: MountOptions, log: Path | None) -> RunningMount:
    """Mounts what `open_tree` opens and returns when it answers; it is served until somebody unmounts it.

    Raises what opening and mounting raise, CommandFailed if the server ends before it answers.
    """
    return serve_in_background(partial(serve, open_tree), options, log)


def serve_in_background(serve: Serve, options: MountOptions, log: Path | None) -> RunningMount:
    """Mounts as `serve` does and returns when the mount answers; otherwise as `mount_in_background`."""
    return _start(serve, options, log, detached=True)


@contextmanager
def mounted(
    open_tree: OpenTree, mountpoint: Path, *, source: str, everyone: bool = False, log: Path | None = None
) -> Iterator[RunningMount]:
    """What `open_tree` opens is mounted at `mountpoint` within the block, and never longer than this process (to be
    exact, this thread) lives. Raises as `mount_in_background` does."""
    with served(partial(serve, open_tree), MountOptions(source, mountpoint, everyone), log) as running:
        yield running


@contextmanager
def served(serve: Serve, options: MountOptions, log: Path | None = None) -> Iterator[RunningMount]:
    """What `serve` mounts is mounted within the block; otherwise as `mounted`."""
    check_mountpoint(options.mountpoint)
    running = _start(serve, options, log, detached=False)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.stop()
        os.waitpid(running.watcher, 0)


def wait(running: RunningMount) -> None:
    """Waits until the mount of a `mounted` block is taken away."""
    os.waitid(os.P_PID, running.watcher, os.WEXITED | os.WNOWAIT)


def _start(serve: Serve, options: MountOptions, log: Path | None, *, detached: bool) -> RunningMount:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _end_with(lambda: _watch_from_afar(serve, options, log, writing, detached))
    os.close(writing)
    try:
        # A server that finds nobody to tell that it is ready undoes the mount.
        with open(reading, "rb") as answer:
            message = answer.read(_MESSAGE_BYTES)
        if detached:
            os.waitpid(child, 0)
        return _running(message, options)
    except BaseException:
        if not detached:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        raise


def _running(message: bytes, options: MountOptions) -> RunningMount:
    if not message:
        raise CommandFailed(
            what="the process that serves the mount", problem="it ended at once", hint="its log may say more"
        )
    content = json.loads(message)
    raise_told(content)
    return RunningMount(options.mountpoint, content["server"], content["watcher"], tuple(content["notes"]))


def _end_with(work: Callable[[], None]) -> NoReturn:
    """Runs `work` as all that this forked process does: nothing of the caller's goes on in it."""
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        _LOG.error("the process for a mount ends", exc_info=error)
    finally:
        os._exit(status)


def _watch_from_afar(serve: Serve, options: MountOptions, log: Path | None, answer: int, detached: bool) -> None:
    parent = os.getppid()
    os.chdir("/")
    if not detached:
        end_with_parent(parent, signal.SIGTERM)
    elif os.fork() != 0:
        return
    set_up_log(log)
    _leave_standard_streams(keep_errors=not detached and log is None)
    _watch(serve, options, log, answer)


def _watch(serve: Serve, options: MountOptions, log: Path | None, answer: int) -> None:
    """The watcher: starts the server, passes signals on, and takes away what a dead one leaves."""
    watched = _FORWARDED | {signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    watcher = os.getpid()
    server = os.fork()
    if server == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        end_with_parent(watcher, signal.SIGTERM)
        _end_with(lambda: _serve(serve, options, log, answer, watcher))
    os.setsid()
    os.close(answer)
    while True:
        number = signal.sigwait(watched)
        if number in _FORWARDED:
            os.kill(server, signal.SIGTERM)
        elif os.waitpid(server, os.WNOHANG)[0] == server:
            break
    clear_dead_mount(options.mountpoint)
    remove_private_caches(server)


def _serve(serve: Serve, options: MountOptions, log: Path | None, answer: int, watcher: int) -> None:
    """The server: tells over `answer` that it is ready, or what went wrong."""

    def tell(content: dict[str, object]) -> None:
        os.write(answer, json.dumps(content).encode())
        os.close(answer)

    told = False
    notes = _Notes()

    def ready() -> None:
        nonlocal told
        _LOG.removeHandler(notes)
        tell({"server": os.getpid(), "watcher": watcher, "notes": notes.kept})
        told = True
        # Not before: an automounter knows by the group of processes who may look at what is not mounted yet.
        os.setsid()

    _LOG.addHandler(notes)
    try:
        serve(options, ready, log)
    except OutcropError as error:
        if not told:
            tell(error_message(error))
        raise
    finally:
        # This process ends without looking back. Where the watcher has gone before, nobody else does this.
        remove_private_caches(os.getpid())


class _Notes(logging.Handler):
    """Keeps the warnings that are logged while the tree is opened, for the user who waits for it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.kept) < _MOST_NOTES:
            self.kept.append(record.getMessage()[:_NOTE_CHARACTERS])


def _leave_standard_streams(*, keep_errors: bool) -> None:
    """Lets go of what the caller reads and writes: a pipe must not stay open for as long as the mount."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1) if keep_errors else (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
