"""The server of a FUSE mount that lies in the namespace of a command, from outside of that namespace.

The server is forked before the command's namespaces are made and is in none of them. The command's side mounts and
hands the descriptor over. So the mount lasts exactly as long as any process of the command: when the last one ends, the
kernel takes the namespace away, the mount with it, and the server reads that its connection is closed, and ends.
Nobody has to clear up, whatever is killed with whatever signal.

The server is nobody's child, so that a command that waits for all its children does not wait for it; it has its own
session, so that Ctrl-C does not reach it; and it ignores the signals by which batch systems announce an end, since the
command may want to read its files to end well.
"""

from __future__ import annotations

import array
import json
import logging
import logging.handlers
import os
import socket
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from outcrop import errors
from outcrop.client.ladder.detached import start_detached
from outcrop.client.ladder.system_calls import MountFlag, mount
from outcrop.client.mount.filesystem import FileSystem
from outcrop.client.mount.kernel import DEVICE, raise_read_ahead
from outcrop.client.mount.mountinfo import FILE_SYSTEM_TYPE
from outcrop.client.mount.open_files import descriptor_budget, raise_descriptor_limit
from outcrop.client.mount.protocol import MAXIMUM_READ_BYTES
from outcrop.client.mount.server import OpenTree
from outcrop.client.mount.session import Session
from outcrop.errors import CommandFailed, OutcropError, storage_error

_MESSAGE_BYTES = 65_536
_LOG_BYTES = 1_000_000
_WHAT = "the process that serves the mount"
_LOG = logging.getLogger("outcrop.mount")


def mount_fuse(source: str, place: Path) -> int:
    """Mounts at `place` and returns the descriptor through which the kernel asks. OSError with the kernel's reason.

    As root, everybody in the namespace may look into it, so that a command may give up root's rights."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    settings = [
        f"fd={device}",
        f"rootmode={stat.S_IFDIR | 0o755:o}",
        f"user_id={os.geteuid()}",
        f"group_id={os.getegid()}",
        "default_permissions",
        f"max_read={MAXIMUM_READ_BYTES}",
    ]
    if os.geteuid() == 0:
        settings.append("allow_other")
    flags = MountFlag.READ_ONLY | MountFlag.NO_SUID | MountFlag.NO_DEVICES
    try:
        mount(source, place, FILE_SYSTEM_TYPE, flags, ",".join(settings))
    except BaseException:
        os.close(device)
        raise
    return device


class FuseServer:
    """A server that waits for the descriptor of a mount."""

    def __init__(self, connection: socket.socket, source: str) -> None:
        self._connection = connection
        self._source = source

    @classmethod
    def start(cls, open_tree: OpenTree, source: str, log: Path | None, ended: Callable[[], None]) -> FuseServer:
        """A server of what `open_tree` opens, which is open when this returns; raises what opening raises.

        `ended` is called in the server's process when the mount is gone. `log` is the file that the server writes to.
        This process should have no other threads."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            start_detached(lambda: _serve_and_log(open_tree, theirs, log, ended), (theirs.fileno(),))
        server = cls(ours, source)
        try:
            server._hear()
        except BaseException:
            ours.close()
            raise
        return server

    def attach(self, place: Path) -> None:
        """Mounts at `place`, in the namespace that this process is in by now, and returns when the mount answers."""
        device = mount_fuse(self._source, place)
        try:
            socket.send_fds(self._connection, [b"device"], [device])
        finally:
            os.close(device)
        self._hear()
        self._connection.close()
        os.statvfs(place)
        raise_read_ahead(place)

    def _hear(self) -> None:
        """Waits for the server's next word; raises the error that it tells."""
        message = self._connection.recv(_MESSAGE_BYTES)
        if not message:
            raise CommandFailed(what=_WHAT, problem="it ended at once", hint="try again; `dmesg` may say more")
        content = json.loads(message)
        if "error" in content:
            kind = getattr(errors, content["error"])
            raise kind(hint=content["hint"], **content["fields"])


def _serve_and_log(open_tree: OpenTree, connection: socket.socket, log: Path | None, ended: Callable[[], None]) -> None:
    _write_log_to(log)
    try:
        _serve(open_tree, connection)
    except Exception as error:
        _LOG.error("the server of a mount ends", exc_info=error)
    finally:
        ended()


def _serve(open_tree: OpenTree, connection: socket.socket) -> None:
    try:
        tree = open_tree()
        budget = descriptor_budget(raise_descriptor_limit())
        ahead = ThreadPoolExecutor(budget.ahead_threads, thread_name_prefix="ahead")
        file_system = FileSystem(tree, submit=ahead.submit, batch=budget.ahead_batch)
        file_system.nodes.directory(1)
        connection.send(b"{}")
        device = _received_device(connection)
        if device is None:
            return
        session = Session(device, file_system, files=budget.files, fetches=budget.fetches)
        session.negotiate()
        session.start(lambda: None)
        connection.send(b"{}")
    except OutcropError as error:
        _tell(connection, error)
        return
    except OSError as error:
        _tell(connection, storage_error(error))
        return
    connection.close()
    session.join()


def _received_device(connection: socket.socket) -> int | None:
    """The descriptor of the mount; None if the command's side has ended instead."""
    # `socket.recv_fds` would leave the descriptor inheritable for a moment, which matters to nobody here.
    descriptors = array.array("i")
    _, control, _, _ = connection.recvmsg(16, socket.CMSG_LEN(descriptors.itemsize))
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: descriptors.itemsize])
            os.set_inheritable(descriptors[0], False)
            return descriptors[0]
    return None


def _tell(connection: socket.socket, error: OutcropError) -> None:
    fields = {name: str(value)[:1000] for name, value in error.fields.items()}
    message = {"error": type(error).__name__, "fields": fields, "hint": error.hint}
    connection.send(json.dumps(message).encode())


def _write_log_to(log: Path | None) -> None:
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
    if log is None:
        return
    handler = logging.handlers.RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    _LOG.addHandler(handler)
