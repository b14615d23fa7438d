"""The kernel's side of the FUSE protocol over a socket, for tests that need no mount."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from outcrop.client.mount import protocol
from outcrop.client.mount.filesystem import FileSystem
from outcrop.client.mount.protocol import InitFlag, Opcode
from outcrop.client.mount.session import Session
from outcrop.client.mount.tree import MountedTree

_PATIENCE_SECONDS = 20.0
_OFFERED = sum(InitFlag)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: whose it is, its errno (0 for none), its body."""

    unique: int
    errno: int
    body: bytes


class FakeKernel:
    """Sends requests and takes answers."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._uniques = itertools.count(2, 2)
        self._early: dict[int, Answer] = {}

    def send(self, opcode: int, node: int = protocol.ROOT_NODE, body: bytes = b"", pid: int = 0) -> int:
        """Sends a request; returns its unique."""
        unique = next(self._uniques)
        length = protocol.IN_HEADER.size + len(body)
        self._connection.send(protocol.IN_HEADER.pack(length, opcode, unique, node, 0, 0, pid, 0, 0) + body)
        return unique

    def receive(self, unique: int) -> Answer:
        """The answer to the request `unique`; others that come first are kept."""
        while unique not in self._early:
            message = self._connection.recv(2 * protocol.MAXIMUM_READ_BYTES)
            length, problem, found = protocol.OUT_HEADER.unpack_from(message)
            assert length == len(message)
            self._early[found] = Answer(found, -problem, message[protocol.OUT_HEADER.size :])
        return self._early.pop(unique)

    def ask(self, opcode: int, node: int = protocol.ROOT_NODE, body: bytes = b"") -> Answer:
        """Sends a request and waits for its answer."""
        return self.receive(self.send(opcode, node, body))

    def lookup(self, path: bytes) -> int:
        """The node of `path`; 0 if there is none."""
        node = protocol.ROOT_NODE
        for name in path.split(b"/")[1:]:
            answer = self.ask(Opcode.LOOKUP, node, name + b"\0")
            assert answer.errno == 0, answer
            node = protocol.ENTRY_OUT.unpack(answer.body)[0]
        return node

    def read(self, node: int, offset: int, size: int) -> Answer:
        return self.ask(Opcode.READ, node, read_body(offset, size))

    def xattr(self, node: int, name: bytes, size: int = 65536) -> Answer:
        return self.ask(Opcode.GETXATTR, node, protocol.GETXATTR_IN.pack(size, 0) + name + b"\0")


def read_body(offset: int, size: int) -> bytes:
    """The body of READ, READDIR and READDIRPLUS."""
    return protocol.READ_IN.pack(0, offset, size, 0, 0, 0, 0)


def init_body(major: int = 7, minor: int = 38, flags: int = _OFFERED) -> bytes:
    """The body of INIT."""
    return protocol.INIT_IN.pack(major, minor, 131072, flags) + bytes(48)


@contextmanager
def conversation(tree: MountedTree, flags: int = _OFFERED) -> Iterator[FakeKernel]:
    """A kernel that talks with a session about `tree`; INIT is over."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_PATIENCE_SECONDS)
    ended = threading.Event()
    session = Session(theirs.fileno(), FileSystem(tree), files=4)
    kernel = FakeKernel(ours)
    unique = kernel.send(Opcode.INIT, 0, init_body(flags=flags))
    session.negotiate()
    assert kernel.receive(unique).errno == 0
    session.start(ended.set)
    try:
        yield kernel
    finally:
        ours.shutdown(socket.SHUT_RDWR)
        assert ended.wait(_PATIENCE_SECONDS)
        session.join()
        session.close()
        ours.close()
        theirs.close()


def is_open(descriptor: int) -> bool:
    """Whether `descriptor` is open in this process."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
