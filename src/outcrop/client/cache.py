"""A directory of plain objects, named by their digests and shared by any number of processes.

The layout is that of the reference client's alien cache: `xx/rest` of the digest's text with its algorithm's tag and
without the letter of the kind, contents decompressed; `txn/` for what is on its way in. A file appears under its final
name by a rename and only when the digest of its stored bytes is right, so `kill -9` leaves at most a file in `txn/`,
which goes away when it is a day old.

The digest is over compressed bytes and cannot be checked against a plain file. So that a file which rots, or is cut
short, is noticed *when it is used*, a BLAKE2b of the plain bytes is kept in the attribute `user.outcrop.blake2b`; the
first use of a file in a process compares the two. Where the file system keeps no user attributes, and for files that
another program put there, only the size is compared. This finds accidents: whoever may write to the directory can
replace a file together with its attribute, so it must belong to somebody that its readers trust.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from outcrop.client.content import Content, new_checksum
from outcrop.client.incoming import Incoming
from outcrop.cvmfs.compression import Compression
from outcrop.errors import StorageError, storage_error

TRANSACTION = "txn"
_DIRECTORY_MODE, _FILE_MODE = 0o770, 0o660
"""The alien cache's modes, less the umask: a group may share it."""

STALE_SECONDS = 24 * 3600
"""No download takes a day, so an older file in `txn/` belongs to a process that is gone."""

_CHECK_ATTRIBUTE = "user.outcrop.blake2b"
_READ_BYTES = 1024 * 1024
_NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM, errno.EACCES, errno.E2BIG})


class Cache:
    """The cache in the directory `root`, which exists (`create` makes it).

    `tell` is told, in a sentence, of every damaged file that was thrown away.
    """

    def __init__(self, root: Path, *, tell: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._directory = root
        self.damaged = 0
        self._root = os.fsencode(root)
        self._tell = tell
        self._clock = clock
        self._checked: dict[bytes, int] = {}
        self._serial = count()
        self._token = os.urandom(6).hex()
        self._directories: set[bytes] = set()

    @property
    def root(self) -> Path:
        return self._directory

    @classmethod
    def create(cls, root: Path, *, tell: Callable[[str], None], clock: Callable[[], float] = time.time) -> Cache:
        """The cache in the new or existing directory `root`; StorageError if nothing can be written there."""
        transaction = root / TRANSACTION
        try:
            transaction.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, str(root)) from error
        if not os.access(transaction, os.W_OK | os.X_OK):
            raise storage_error(OSError(errno.EACCES, os.strerror(errno.EACCES)), str(root))
        cache = cls(root, tell=tell, clock=clock)
        cache.remove_stale()
        return cache

    def path(self, content: Content) -> bytes:
        """Where `content` lies, or would lie."""
        text = content.object.digest.text
        return b"%s/%s/%s" % (self._root, text[:2].encode(), text[2:].encode())

    def open(self, content: Content) -> int | None:
        """A descriptor of `content`, checked on the first use in this process; None where it is not here.

        A damaged file is thrown away, counted and told of, and counts as not here.
        """
        path = self.path(content)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise storage_error(error) from error
        try:
            problem = self._problem(descriptor, content)
        except BaseException:
            os.close(descriptor)
            raise
        if not problem:
            return descriptor
        os.close(descriptor)
        self._throw_away(path, problem)
        return None

    def holds(self, content: Content) -> bool:
        """Whether `content` is here and sound."""
        stamp = self._checked.get(content.key)
        if stamp is not None:
            try:
                return _stamp(os.stat(self.path(content), follow_symlinks=False)) == stamp or self._opens(content)
            except OSError:
                return False
        return self._opens(content)

    def _opens(self, content: Content) -> bool:
        descriptor = self.open(content)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def _problem(self, descriptor: int, content: Content) -> str:
        """What is wrong with the open file, if anything."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        if content.size is not None and status.st_size != content.size:
            return f"it has {status.st_size} bytes instead of {content.size}"
        stamp = _stamp(status)
        if self._checked.get(content.key) == stamp:
            return ""
        try:
            expected = os.getxattr(descriptor, _CHECK_ATTRIBUTE)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTES:
                raise storage_error(error, os.fsdecode(self.path(content))) from error
        else:
            try:
                actual = _checksum_of(descriptor, content.compression)
            except OSError as error:
                return f"it cannot be read ({error.strerror})"
            if actual != expected:
                return "its bytes have changed"
        self._checked[content.key] = stamp
        return ""

    def _throw_away(self, path: bytes, problem: str) -> None:
        self.damaged += 1
        self._tell(f"a damaged file in the cache was thrown away ({os.fsdecode(path)}: {problem})")
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise storage_error(error) from error

    def incoming(self, content: Content) -> Incoming:
        """Takes in the stored bytes of `content`; see `Incoming`."""
        return Incoming(content, self)

    def open_temporary(self) -> tuple[int, bytes]:
        """A new file in `txn/`, as descriptor and path."""
        name = f"{os.getpid()}.{self._token}.{next(self._serial)}"
        path = b"%s/%s/%s" % (self._root, TRANSACTION.encode(), name.encode())
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        return descriptor, path

    def insert(self, content: Content, descriptor: int, temporary: bytes, checksum: bytes) -> None:
        """Gives the complete file `temporary` its final name. OSError where the file system refuses."""
        try:
            os.setxattr(descriptor, _CHECK_ATTRIBUTE, checksum)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTES:
                raise
        path = self.path(content)
        directory = path[: path.rindex(b"/")]
        if directory not in self._directories:
            os.makedirs(directory, mode=_DIRECTORY_MODE, exist_ok=True)
            self._directories.add(directory)
        try:
            os.rename(temporary, path)
        except FileNotFoundError:
            # Somebody emptied the cache while we run.
            os.makedirs(directory, mode=_DIRECTORY_MODE, exist_ok=True)
            os.rename(temporary, path)
        self._checked[content.key] = _stamp(os.fstat(descriptor))

    def remove_stale(self) -> None:
        """Takes away what processes that died left in `txn/` a day ago or earlier."""
        oldest = self._clock() - STALE_SECONDS
        try:
            with os.scandir(self.root / TRANSACTION) as entries:
                for entry in entries:
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)
        except OSError:
            # Another process may be at it, or the directory is somebody else's: leftovers only cost space.
            return


def unwritable(error: StorageError) -> bool:
    """Whether `error` says that nothing more can be written to a directory, though another one may do."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (
        errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
    )  # fmt: skip


def _stamp(status: os.stat_result) -> int:
    """A number that changes when a file is replaced or written to."""
    return hash((status.st_ino, status.st_mtime_ns, status.st_size))


def _checksum_of(descriptor: int, compression: Compression) -> bytes:
    checksum = new_checksum(compression)
    offset = 0
    while piece := os.pread(descriptor, _READ_BYTES, offset):
        checksum.update(piece)
        offset += len(piece)
    return checksum.digest()
