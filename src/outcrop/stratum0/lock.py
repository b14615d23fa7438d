"""Advisory locks that end with the process that holds them, however it ends.

Two guard a repository. Whoever writes objects holds the *objects lock* shared; garbage collection holds it alone, so
that an object which a publisher has just found in the store is not swept away under its feet. Whoever swaps the
manifest holds the *commit lock* alone, for as long as it takes to write catalogs. The objects lock is taken first.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outcrop.errors import Busy, storage_error

POLL_SECONDS = 0.05
"""How often a lock that somebody else holds is tried again: a publisher that waits costs nothing noticeable."""


@contextmanager
def exclusive(path: Path, what: str, *, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the lock file `path` alone for the block; Busy, naming the holder's process, if somebody else holds it for
    longer than `wait_seconds`."""
    descriptor = _locked(path, fcntl.LOCK_EX, what, wait_seconds)
    try:
        # Who holds it is told as a courtesy: a full disk is no reason not to go on.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def shared(path: Path, what: str, *, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the lock file `path` together with others for the block; Busy if somebody holds it alone for longer than
    `wait_seconds`."""
    descriptor = _locked(path, fcntl.LOCK_SH, what, wait_seconds)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone_if_free(path: Path) -> Iterator[bool]:
    """Holds the lock file `path` alone for the block if nobody else holds it at all; gives whether that is so."""
    descriptor = _opened(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _locked(path: Path, mode: int, what: str, wait_seconds: float) -> int:
    """The descriptor of the locked file that is at `path`: whoever clears up may take it away before it is locked."""
    while True:
        descriptor = _opened(path)
        try:
            _lock(descriptor, mode, what, wait_seconds)
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error) from error


def _lock(descriptor: int, mode: int, what: str, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                raise Busy(what=what, holder=f"process {holder}" if holder else "another process") from error
            time.sleep(POLL_SECONDS)
        else:
            return
