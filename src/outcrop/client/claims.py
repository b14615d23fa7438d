"""Who downloads an object, among all processes that share a cache: whoever claims it first.

A claim is a lock on one byte of the file `txn/claims`, at a place that the object's digest gives. The kernel gives it
up with its holder, `kill -9` included, so nothing is left behind, and a claim costs two short system calls. The locks
are of the open file (`F_OFD_SETLK`), so two threads of a process exclude each other too, and a child process that
inherits the file by accident cannot lose them for its parent.

A claim only saves work: an object is complete and verified before it has a name in the cache, whoever brings it. Where
the file system knows no such locks, or the file cannot be opened, every claim is granted and some objects come twice.
Nobody waits for a claim without an end; see `Waiting`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

CLAIMS_NAME = "claims"
_MODE = 0o660
"""As for everything in the cache: a group may share it."""

_TOUCHED_SECONDS = 3600
"""How old the file may look. The cache sweeps away what is a day old in its directory."""

_LOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, process (0 for locks of an open file)."""

_PLACE_BYTES = 7
"""Bytes of a digest that make its place: as many as fit into a file offset. Two objects at the same place wait for each
other, which is harmless."""

_HELD = frozenset({errno.EAGAIN, errno.EACCES})


class Claims:
    """The claims of one batch of downloads into the cache whose directory for unfinished files is `transaction`.

    Use it as a context: at its end all claims are given up."""

    def __init__(self, transaction: Path, *, lock: Callable[[int, int, bytes], object] = fcntl.fcntl) -> None:
        self._path = transaction / CLAIMS_NAME
        self._fcntl = lock
        self._descriptor = -1

    def __enter__(self) -> Claims:
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
            if time.time() - os.fstat(self._descriptor).st_mtime > _TOUCHED_SECONDS:
                os.utime(self._descriptor)
        except OSError:
            # Without claims, objects may come twice. And a file of somebody else can be locked without being touched.
            return self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def take(self, digest: bytes) -> bool:
        """Claims the object of that digest without waiting; False if somebody else has it."""
        try:
            self._lock(fcntl.F_WRLCK, digest)
        except OSError as error:
            return error.errno not in _HELD
        return True

    def release(self, digest: bytes) -> None:
        """Gives the claim up."""
        try:
            self._lock(fcntl.F_UNLCK, digest)
        except OSError:
            # There was none: the file system knows no locks.
            return

    def _lock(self, kind: int, digest: bytes) -> None:
        if self._descriptor >= 0:
            place = int.from_bytes(digest[:_PLACE_BYTES])
            self._fcntl(self._descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, place, 1, 0))


class Waiting:
    """Waits for others who bring `bytes_of_largest` at most in one object: `SECONDS` and what a slow line takes, again
    from the beginning whenever something has come."""

    SECONDS = 20.0
    """A holder that brings nothing for so long is stopped, or its server is: no reason to wait with it."""

    BYTES_PER_SECOND = 1024 * 1024
    """What a line brings that one should rather share than use twice."""

    _FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1

    def __init__(
        self,
        bytes_of_largest: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit = self.SECONDS + bytes_of_largest / self.BYTES_PER_SECOND
        self._clock = clock
        self._sleep = sleep
        self.something_came()

    def something_came(self) -> None:
        """Begins anew."""
        self._began = self._clock()
        self._pause = self._FIRST_PAUSE

    def goes_on(self) -> bool:
        """Sleeps a little; False, and at once, when the wait has been long enough."""
        if self._clock() - self._began >= self._limit:
            return False
        self._sleep(self._pause)
        self._pause = min(self._pause * 1.5, self._LONGEST_PAUSE)
        return True
