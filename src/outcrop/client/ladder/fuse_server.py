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

import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from outcrop.children import error_message, raise_told
from outcrop.client.ladder.detached import start_detached
from outcrop.client.mount.kernel import DEVICE, mount_through, raise_read_ahead, received_descriptor
from outcrop.client.mount.server import OpenTree, Service, set_up_log
from outcrop.errors import CommandFailed, OutcropError, storage_error

_MESSAGE_BYTES = 65_536
_WHAT = "the process that serves the mount"
_LOG = logging.getLogger("outcrop.mount")


def mount_fuse(source: str, place: Path) -> int:
    """Mounts at `place` and returns the descriptor through which the kernel asks. OSError with the kernel's reason.

    As root, everybody in the namespace may look into it, so that a command may give up root's rights."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        mount_through(device, source, place, everyone=os.geteuid() == 0)
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
        raise_told(json.loads(message))


def _serve_and_log(open_tree: OpenTree, connection: socket.socket, log: Path | None, ended: Callable[[], None]) -> None:
    set_up_log(log)
    try:
        _serve(open_tree, connection)
    except Exception as error:
        _LOG.error("the server of a mount ends", exc_info=error)
    finally:
        ended()


def _serve(open_tree: OpenTree, connection: socket.socket) -> None:
    try:
        service = Service.open(open_tree, log=None)
        connection.send(b"{}")
        device = received_descriptor(connection)
        if device is None:
            return  # the command's side has ended instead
        session = service.session(device)
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


def _tell(connection: socket.socket, error: OutcropError) -> None:
    connection.send(json.dumps(error_message(error)).encode())
