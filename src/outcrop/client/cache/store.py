"""A directory of plain objects, named by their digests and shared by any number of processes.

The layout is that of the reference client's alien cache (`outcrop.client.cache.layout`), so stock clients may share the
directory. A file appears under its final name only when it is complete and the digest of its stored bytes is right, so
`kill -9` leaves at most a file in `txn/`, which goes away when its process is found to be gone.

The digest is over compressed bytes and cannot be checked against a plain file. So that a file which rots, or is cut
short, is noticed *when it is used*, a BLAKE3 of the plain bytes is kept in the attribute `user.outcrop.blake3`, or in
the cache's book where a file can have none; the first use of a file in a process compares the two. A file without
either, put there by another program, is proven by its digest (`outcrop.client.cache.by_digest`) and gets its checksum
then; one that cannot be proven counts as not here, until it has been fetched anew. This finds accidents: whoever may
write to the directory can replace a file together with its checksum, so it must belong to somebody that its readers
trust.

A limit is kept by `outcrop.client.cache.room`. When an object was last used is told by its file's time of access. Using
it sets that, at most once in five minutes: so it holds on mounts with `noatime` too, and reading writes no database.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from outcrop.client.cache.by_digest import Prover
from outcrop.client.cache.checksum import attribute_of, checksum_of, checksum_of_bytes
from outcrop.client.cache.checksum_book import ChecksumBook
from outcrop.client.cache.layout import (
    BOOKKEEPING,
    COMPLETE,
    CUSTOMARY_MODES,
    OWN_MARK,
    PREFIXES,
    QUARANTINE,
    TRANSACTION,
    Modes,
    object_name,
)
from outcrop.client.cache.members import Member
from outcrop.client.cache.pins import Pins
from outcrop.client.cache.placing import place
from outcrop.client.cache.quota import Quota
from outcrop.client.cache.room import LimitedRoom, Room, Unlimited
from outcrop.client.cache.scan import Amount, strays
from outcrop.client.content import Content, disk_bytes, new_checksum
from outcrop.client.incoming import Incoming
from outcrop.client.stamps import stamp_of_status
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import StorageError, storage_error

TOUCH_SECONDS = 300
"""How exactly the cache knows when an object was used. Setting the time costs as much as opening the file; once in five
minutes it is lost in the noise, and five minutes are little beside the time that a cache takes to fill."""

_UNPROVEN = "nothing proves it"
"""What is wrong with a file that may be right."""

_UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN})
"""What a cache that is read only answers when it cannot be used: another one, or the server, has the object."""


class Cache:
    """The cache in the directory `root`, which exists (`create` makes it).

    `tell` is told, in a sentence, of every damaged file. `quota` is the limit to keep, None for none. A `read_only`
    cache is never written to: what is damaged in it is passed over, what nobody may read is not there. The checksums of
    what is proven in it are kept in the cache `noted_in`, if anywhere.
    """

    def __init__(
        self,
        root: Path,
        *,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        quota: Quota | None = None,
        read_only: bool = False,
        noted_in: Path | None = None,
    ) -> None:
        self._directory = root
        self.damaged = 0
        self.quota = quota
        self.read_only = read_only
        self._root = os.fsencode(root)
        self._tell = tell
        self._clock = clock
        self._checked: dict[bytes, int] = {}
        self._passed_over: set[bytes] = set()
        self._unproven: set[bytes] = set()
        self._told_of_unproven = False
        self._prover = Prover()
        self._books = [ChecksumBook(os.fsencode(place)) for place in (root, noted_in) if place is not None]
        self._notes_checksums = not read_only or noted_in is not None
        self._serial = count()
        self._member = Member.current()
        self._modes: Modes | None = None
        self._user = os.geteuid()
        self._room: Room = Unlimited()
        if quota is not None and not read_only:
            self._room = LimitedRoom(root, quota, clock=clock)
        self._pins: Pins | None = None
        if not read_only and (quota is not None or (root / BOOKKEEPING).is_dir()):
            self._pins = Pins(self._root)
        self._end = weakref.finalize(self, _leave, self._room, self._pins)

    @property
    def root(self) -> Path:
        return self._directory

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        quota: Quota | None = None,
    ) -> Cache:
        """The cache in the new or existing directory `root`; StorageError if nothing can be written there."""
        try:
            make_directories(root)
        except OSError as error:
            raise storage_error(error, str(root)) from error
        if not os.access(root / TRANSACTION, os.W_OK | os.X_OK):
            raise storage_error(OSError(errno.EACCES, os.strerror(errno.EACCES)), str(root))
        cache = cls(root, tell=tell, clock=clock, quota=quota)
        cache.remove_stale()
        return cache

    def close(self) -> None:
        """Lets go of what this process has pinned and reserved. The end of the process does that, too."""
        self._end()

    def path(self, content: Content) -> bytes:
        """Where `content` lies, or would lie."""
        return b"%b/%b" % (self._root, object_name(content.object.digest))

    def open(self, content: Content) -> int | None:
        """A descriptor of `content`, checked on the first use in this process; None where it is not here.

        A damaged file is thrown away, counted and told of, and counts as not here.
        """
        path = self.path(content)
        descriptor = self._opened(path, content)
        if descriptor is None:
            return None
        try:
            if content.object.kind is ObjectKind.CATALOG:
                self._pin(content)
            problem = self._problem(descriptor, content, lambda: checksum_of(descriptor, content.compression))
        except BaseException:
            os.close(descriptor)
            raise
        if not problem:
            return descriptor
        os.close(descriptor)
        self._reject(content, path, problem)
        return None

    def read(self, content: Content, into: memoryview) -> memoryview | None:
        """The bytes of `content`, which is no catalog and has a size, in the beginning of `into`. They are read once,
        and what is checked is what is returned; otherwise as `open`."""
        path = self.path(content)
        descriptor = self._opened(path, content)
        if descriptor is None:
            return None
        into = into[: content.size]
        try:
            found = os.readv(descriptor, [into])
            problem = self._problem(descriptor, content, lambda: checksum_of_bytes(into, content.compression))
            if found < len(into) and not problem:
                problem = f"it ends after {found} of {content.size} bytes"
        except OSError as error:
            problem = f"it cannot be read ({error.strerror})"
        finally:
            os.close(descriptor)
        if not problem:
            return into
        self._reject(content, path, problem)
        return None

    def _opened(self, path: bytes, content: Content) -> int | None:
        """The file of `content` at `path`, open and not checked; None where there is none."""
        try:
            # A pipe of that name must not hold up whoever opens it.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return self._made_empty(content)
        except OSError as error:
            if error.errno == errno.ELOOP or (self.read_only and error.errno in _UNREADABLE):
                return None
            raise storage_error(error) from error

    def _made_empty(self, content: Content) -> int | None:
        """A descriptor of a content without bytes, which needs no server; None for any other.

        The reference client never reads such a file, so caches that it filled lack it."""
        if content.size != 0 or self.read_only or content.external is not None:
            return None
        reserved = disk_bytes(0)
        try:
            self.reserve(reserved)
            descriptor, temporary = self.open_temporary()
            try:
                self.insert(content, descriptor, temporary, new_checksum(content.compression).digest(), reserved)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError:
            # Where nothing can be written, a server may still help: into another cache.
            return None
        return descriptor

    def holds(self, content: Content) -> bool:
        """Whether `content` is here and sound."""
        stamp = self._checked.get(content.key)
        if stamp is not None:
            if content.object.kind is ObjectKind.CATALOG:
                self._pin(content)
            path = self.path(content)
            try:
                status = os.stat(path, follow_symlinks=False)
            except OSError:
                return False
            if _stamp(status) == stamp and abs(self._clock() - status.st_atime) <= TOUCH_SECONDS:
                return True
        descriptor = self.open(content)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def found(self, digests: Iterable[Digest]) -> Amount:
        """How many of these objects are here, and their size. StorageError where nobody may look."""
        sizes = [status.st_size for _, status in self._present(digests)]
        return Amount(len(sizes), sum(map(disk_bytes, sizes)))

    def discard(self, digests: Iterable[Digest]) -> Amount:
        """Removes these objects; how many were here. StorageError where they may not be removed."""
        files = size = 0
        for path, status in self._present(digests):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise storage_error(error) from error
            self._vacate(status.st_size)
            files, size = files + 1, size + disk_bytes(status.st_size)
        return Amount(files, size)

    def _present(self, digests: Iterable[Digest]) -> Iterator[tuple[bytes, os.stat_result]]:
        for digest in digests:
            path = b"%s/%s" % (self._root, object_name(digest))
            try:
                yield path, os.lstat(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise storage_error(error) from error

    def keep_pinned(self, contents: Iterable[Content]) -> None:
        """Of the catalogs that this process has used, only `contents` are in use from now on."""
        if self._pins is not None:
            self._pins.keep_only(object_name(content.object.digest) for content in contents)

    def _pin(self, content: Content) -> None:
        if self._pins is not None:
            self._pins.add(object_name(content.object.digest))

    def _touch(self, file: int | bytes, status: os.stat_result) -> None:
        """Notes that the object is in use now."""
        if self.read_only or self._user not in (0, status.st_uid):
            # Files of others follow the rules of the mount, which by custom (relatime) note a use once a day.
            return
        try:
            os.utime(file, ns=(int(self._clock() * 1e9), status.st_mtime_ns))
        except OSError:
            # The file has gone, or the file system has become read only: reading goes on.
            return

    def _problem(self, descriptor: int, content: Content, checksum: Callable[[], bytes]) -> str:
        """What is wrong with the open file, if anything; `checksum` makes that of its bytes."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        if content.size is not None and status.st_size != content.size:
            return f"it has {status.st_size} bytes instead of {content.size}"
        is_known = self._checked.get(content.key) == _stamp(status)
        if abs(self._clock() - status.st_atime) > TOUCH_SECONDS:
            self._touch(descriptor, status)
            status = os.fstat(descriptor)
        stamp = _stamp(status)
        if is_known:
            self._checked[content.key] = stamp
            return ""
        try:
            expected = attribute_of(descriptor) or self._noted_checksum(content)
        except OSError as error:
            raise storage_error(error, os.fsdecode(self.path(content))) from error
        try:
            if expected is None:
                if self._prover.stored_as(descriptor, content.object.digest, content.compression) is None:
                    return _UNPROVEN
                self._note_checksum(descriptor, content, checksum())
                stamp = _stamp(os.fstat(descriptor))
            elif checksum() != expected:
                return "its bytes have changed"
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        self._checked[content.key] = stamp
        return ""

    def _noted_checksum(self, content: Content) -> bytes | None:
        found = (book.find(content.object.digest, content.compression) for book in self._books)
        return next((checksum for checksum in found if checksum is not None), None)

    def _note_checksum(self, descriptor: int, content: Content, checksum: bytes) -> None:
        """Keeps the checksum of the open file. What cannot be noted anywhere is proven again the next time."""
        digest, compression = content.object.digest, content.compression
        if not self.read_only:
            self._books[-1].note(descriptor, digest, compression, checksum)
        elif self._notes_checksums:
            self._books[-1].add(digest, compression, checksum)

    def _reject(self, content: Content, path: bytes, problem: str) -> None:
        """The file of `content` at `path` will not be used."""
        if problem != _UNPROVEN:
            self._discard_damaged(path, problem)
            return
        if not self._told_of_unproven:
            self._told_of_unproven = True
            self._tell(
                f"nothing proves some files in the cache, so they are fetched anew ({os.fsdecode(path)} is the first)"
            )
        self._unproven.add(content.key)

    def _discard_damaged(self, path: bytes, problem: str) -> None:
        self.damaged += 1
        if self.read_only:
            if path not in self._passed_over:
                self._passed_over.add(path)
                self._tell(f"a damaged file in a cache below is passed over ({os.fsdecode(path)}: {problem})")
            return
        self._tell(f"a damaged file in the cache was thrown away ({os.fsdecode(path)}: {problem})")
        try:
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                # Nobody of us makes one, and it may hold anything: it is put aside for somebody to look at.
                name = f"{os.path.basename(os.fsdecode(path))}.{self._member.name}.{next(self._serial)}"
                os.rename(path, os.path.join(self._root, QUARANTINE.encode(), os.fsencode(name)))
                return
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error) from error
        self._vacate(status.st_size)

    def _vacate(self, size: int) -> None:
        self._room.vacate(disk_bytes(size))

    def incoming(self, content: Content) -> Incoming:
        """Takes in the stored bytes of `content`; see `Incoming`."""
        return Incoming(content, self)

    def reserve(self, size: int) -> None:
        """Takes room for `size` more bytes on disk. StorageError for more than the cache can ever hold, OSError where
        no account can be kept."""
        self._room.reserve(size)

    def give_back(self, size: int) -> None:
        """Reserved room is not needed after all."""
        self._room.give_back(size)

    def open_temporary(self) -> tuple[int, bytes]:
        """A new file in `txn/`, as descriptor and path."""
        if self._member.process != os.getpid():
            self._member = Member.current()
        name = f"{self._member.name}.{next(self._serial)}"
        path = b"%s/%s/%s" % (self._root, TRANSACTION.encode(), name.encode())
        modes = self._wanted_modes()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, modes.file)
        except FileNotFoundError:
            # Somebody emptied the cache while we run.
            _complete(self._directory)
            descriptor = os.open(path, flags, modes.file)
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != modes.file:
            os.fchmod(descriptor, modes.file)
        return descriptor, path

    def insert(self, content: Content, descriptor: int, temporary: bytes, checksum: bytes, reserved: int) -> None:
        """Gives the complete file `temporary`, for which `reserved` bytes are taken, its final name. OSError where the
        file system refuses."""
        self._note_checksum(descriptor, content, checksum)
        if content.object.kind is ObjectKind.CATALOG:
            self._pin(content)
        path, size = self.path(content), os.fstat(descriptor).st_size
        try:
            is_new = self._place(content, temporary, path, size)
        except FileNotFoundError:
            # Somebody emptied the cache while we run.
            _complete(self._directory)
            is_new = self._place(content, temporary, path, size)
        if is_new:
            self._room.occupy(reserved)
            self._checked[content.key] = _stamp(os.fstat(descriptor))
        else:
            # What was there first is looked at when it is used.
            self._room.give_back(reserved)

    def _place(self, content: Content, temporary: bytes, path: bytes, size: int) -> bool:
        """As `place`, but in the stead of a file that nothing proves."""
        if content.key in self._unproven:
            self._unproven.discard(content.key)
            with suppress(FileNotFoundError):
                os.unlink(path)
                self._vacate(size)
        return place(temporary, path, size)

    def remove_stale(self) -> None:
        """Takes away what processes that are gone left in `txn/`."""
        now = self._clock()
        try:
            for stray in strays(self._root):
                if stray.is_leftover(now):
                    os.unlink(stray.path)
        except OSError:
            # Another process may be at it, or the directory is somebody else's: leftovers only cost space.
            return

    def _wanted_modes(self) -> Modes:
        if self._modes is None:
            make_directories(self._directory)
            self._modes = Modes.below(os.stat(self._root).st_mode)
        return self._modes


def make_directories(root: Path) -> None:
    """Makes what is missing of the directories of a cache; OSError where that cannot be."""
    if (root / QUARANTINE).is_dir() and (root / COMPLETE).is_dir() and (root / TRANSACTION).is_dir():
        return
    _complete(root)


def _complete(root: Path) -> None:
    is_new = not (root / TRANSACTION).exists()
    root.mkdir(mode=CUSTOMARY_MODES.directory, parents=True, exist_ok=True)
    mode = Modes.below(root.stat().st_mode).directory
    for name in (TRANSACTION, *PREFIXES, QUARANTINE, *([BOOKKEEPING] if is_new else [])):
        directory = root / name
        try:
            directory.mkdir(mode=mode)
        except FileExistsError:
            continue
        if stat.S_IMODE(directory.stat().st_mode) != mode:
            directory.chmod(mode)
    if is_new:
        (root / BOOKKEEPING / OWN_MARK).touch()


def _leave(room: Room, pins: Pins | None) -> None:
    room.leave()
    if pins is not None:
        pins.release()


def begins_or_began_with_us(root: Path) -> bool:
    """Whether the cache `root` is not there yet, or was begun by us and not by the reference client or a site."""
    return not (root / TRANSACTION).exists() or (root / BOOKKEEPING / OWN_MARK).exists()


def unwritable(error: StorageError) -> bool:
    """Whether `error` says that nothing more can be written to a directory, though another one may do."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (
        errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
    )  # fmt: skip


def _stamp(status: os.stat_result) -> int:
    """A number that changes when a file is replaced or written to."""
    return hash(stamp_of_status(status))
