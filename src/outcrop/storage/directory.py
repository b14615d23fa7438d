"""Objects in a directory, laid out as web servers and stock clients expect: `.cvmfs*` files and `data/xx/…`.

An object is written below `.outcroptxn` and renamed, so that a crash never leaves a short object under its final name.
It becomes durable with the one `syncfs` of its transaction, before the manifest that refers to it is swapped in.

A file system puts new files beside their directory. Temporary files in 256 directories therefore lie apart: with all of
them in one, as in the reference's `data/txn`, two writers waited for each other, and ext4 took up to ten times as long
to find room. They are not below `data`, where the reference's checker takes directories of its own making only.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from outcrop.errors import NotFound, OutcropError, StorageError, storage_error
from outcrop.storage.interface import DEFAULT_READ_LIMIT, PIECE_BYTES, Fetched, Wanted

_DATA = "data"
_TRANSACTION = ".outcroptxn"
_REFERENCE_TRANSACTION = "data/txn"
"""Where the reference publisher writes, and expects a directory."""

TEMPORARY_DIRECTORIES = (_TRANSACTION, _REFERENCE_TRANSACTION)
"""Below which files lie that are not objects yet; what an interrupted writer left is there too."""

_PREFIXES = [f"{number:02x}" for number in range(256)]
_DIRECTORY_MODE, _FILE_MODE = 0o775, 0o664
"""The reference's modes for what it serves, less the umask."""


class DirectoryStore:
    """The objects below `root`, which must exist (`create` makes it)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = os.fsencode(root)
        self._serial = count()

    def __reduce__(self) -> tuple[type[DirectoryStore], tuple[Path]]:
        return DirectoryStore, (self.root,)

    @classmethod
    def create(cls, root: Path) -> DirectoryStore:
        """A store in the new or existing directory `root`, with all directories for objects."""
        try:
            prefixed = [f"{parent}/{prefix}" for parent in (_DATA, _TRANSACTION) for prefix in _PREFIXES]
            for directory in (_REFERENCE_TRANSACTION, *prefixed):
                (root / directory).mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error) from error
        return cls(root)

    @property
    def writers(self) -> int:
        return len(os.sched_getaffinity(0))

    @property
    def is_shareable(self) -> bool:
        return True

    @property
    def address(self) -> str:
        return str(self.root)

    def _path(self, name: str) -> bytes:
        return self._root + b"/" + os.fsencode(name)

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        pieces = bytearray()
        for piece in self._pieces(name):
            pieces += piece
            if len(pieces) > limit:
                raise StorageError(what=f"{self.address}/{name}", problem=f"is larger than {limit} bytes")
        return bytes(pieces)

    def exists(self, name: str) -> bool:
        try:
            os.stat(self._path(name))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._error(error, name) from error
        return True

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        for one in wanted:
            try:
                for piece in self._pieces(one.name):
                    one.sink.write(piece)
            except OutcropError as error:
                yield Fetched(one, error)
            else:
                yield Fetched(one)

    def _pieces(self, name: str) -> Iterator[bytes]:
        try:
            with open(self._path(name), "rb", buffering=0) as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
        except FileNotFoundError as error:
            raise NotFound(what=f"{self.address}/{name}") from error
        except OSError as error:
            raise self._error(error, name) from error

    def close(self) -> None:
        """Nothing is held."""

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        path = self._path(name)
        try:
            if os.path.exists(path):
                return False
            self._rename(self._written_temporary(name, data), path)
        except OSError as error:
            raise self._error(error, name) from error
        return True

    def replace(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            self._rename(self._written_temporary(name, data, durable=True), path)
            _sync_directory(os.path.dirname(path))
        except OSError as error:
            raise self._error(error, name) from error

    def _error(self, error: OSError, name: str) -> StorageError:
        """What `error` means for the object `name`: the temporary file's name would tell nobody anything."""
        return storage_error(error, f"{self.address}/{name}")

    def _rename(self, temporary: bytes, path: bytes) -> None:
        try:
            os.rename(temporary, path)
        except BaseException:
            # Where Ctrl-C came, all may have been done.
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def _new_temporary(self, name: str) -> tuple[bytes, int]:
        """A new file for what will be called `name`, and its descriptor."""
        prefix = name[len(_DATA) + 1 :].partition("/")[0] if name.startswith(f"{_DATA}/") else ""
        directory = self._path(f"{_TRANSACTION}/{prefix}")
        try:
            return self._new_file(directory)
        except FileNotFoundError:
            # Another program made this repository. If there is more amiss, the second attempt says so.
            for missing in (self._path(_TRANSACTION), directory):
                with suppress(FileExistsError):
                    os.mkdir(missing, _DIRECTORY_MODE)
            return self._new_file(directory)

    def _new_file(self, directory: bytes) -> tuple[bytes, int]:
        """A new file in `directory` and its descriptor. A name that a crashed process of the same number left is
        passed over."""
        while True:
            temporary = b"%s/%d.%d.%d" % (directory, os.getpid(), threading.get_ident(), next(self._serial))
            with suppress(FileExistsError):
                return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)

    def _written_temporary(self, name: str, data: bytes | bytearray | memoryview, *, durable: bool = False) -> bytes:
        temporary, descriptor = self._new_temporary(name)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if durable:
                os.fsync(descriptor)
        except BaseException:
            # Where Ctrl-C came, all may have been done.
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)
        return temporary

    def remove(self, name: str) -> None:
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error(error, name) from error

    def size(self, name: str) -> int:
        """How many bytes the object has; 0 for one that is not there."""
        try:
            return os.stat(self._path(name)).st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._error(error, name) from error

    def names(self) -> Iterator[str]:
        try:
            for directory in sorted(os.listdir(self.root / _DATA)):
                if len(directory) == 2:
                    for name in os.listdir(self.root / _DATA / directory):
                        yield f"{_DATA}/{directory}/{name}"
        except OSError as error:
            raise storage_error(error) from error

    def sync(self) -> None:
        try:
            descriptor = os.open(self._path(_DATA), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _sync_file_system(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise storage_error(error, self.address) from error

    def discard_leftovers(self) -> int:
        found = 0
        try:
            directories = [self._path(name) for name in TEMPORARY_DIRECTORIES if os.path.isdir(self._path(name))]
            while directories:
                with os.scandir(directories.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            directories.append(entry.path)
                        else:
                            os.unlink(entry.path)
                            found += 1
        except OSError as error:
            raise storage_error(error) from error
        return found


def _sync_file_system(descriptor: int) -> None:
    """Makes everything durable on the file system of `descriptor`: syncfs(2), which Python does not offer."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        syncfs = libc.syncfs
    except AttributeError:
        os.sync()
        return
    if syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _sync_directory(path: bytes) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
