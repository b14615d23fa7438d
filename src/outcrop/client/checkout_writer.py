"""Entries of a tree as files of this machine, below a private directory of our own making.

Names hold no `/` and are neither `.` nor `..` (the catalog's decoder refuses them), no directory holds a name twice
(the tree refuses it), and everything is created exclusively; so nothing is ever written through a link or outside of
the directory, whatever a catalog says.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from outcrop.client.checkout_fetch import FetchedFile, fetched_files
from outcrop.client.checkout_links import file_names
from outcrop.client.checkout_metadata import Metadata
from outcrop.client.contents import Contents
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import RepositoryPath, shown
from outcrop.errors import StorageError, storage_error
from outcrop.progress import SILENT, Progress

_COPY_BYTES = 1024 * 1024
_NEW_FILE_MODE = 0o600
_NEW_DIRECTORY_MODE = 0o700
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})
"""What kernels and file systems answer to copy_file_range(2) when they cannot do it between two files."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: `digests` has the SHA-256 of each file under its first name, where digests were wanted;
    `missing` the paths of what could not be made; `left_out` how often something could not be kept, by its name."""

    digests: dict[RepositoryPath, str]
    missing: frozenset[RepositoryPath]
    left_out: Counter[str]


class TreeWriter:
    """Writes entries below the directory `place`: what stands at `top` + path in the repository, at `place` + path.

    `left_out` of what `write` returns goes on counting until `finish`."""

    def __init__(
        self,
        tree: Tree,
        contents: Contents,
        place: bytes,
        *,
        top: RepositoryPath,
        owner: bool = False,
        digests: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        """With `owner`, users and groups are set, which only root can. With `digests`, the bytes that are written are
        digested on their way."""
        self._tree = tree
        self._contents = contents
        self._place = place
        self._top = top
        self._digesting = digests
        self._progress = progress
        self._metadata = Metadata(owner=owner)
        self._digests: dict[RepositoryPath, str] = {}
        self._missing: set[RepositoryPath] = set()
        self._directories: list[Located] = []

    def write(self, entries: Sequence[Located]) -> Written:
        """Writes `entries`, which begin with the directory `top` (it exists already), each directory before what it
        holds; `finish` completes them. `progress` advances by bytes."""
        self._directories = [located for located in entries if located.entry.is_directory]
        for located in self._directories[1:]:
            with _border(located):
                os.mkdir(self._path(located.path), _NEW_DIRECTORY_MODE)
        for located in entries:
            if not located.entry.is_directory and not located.entry.is_file:
                with _border(located):
                    self._make(located)
        names = file_names(entries)
        for file in fetched_files(names.first, self._tree, self._contents):
            self._write_file(file)
            self._progress.advance(file.located.entry.size)
        for located in entries:
            if located.path in names.others:
                with _border(located):
                    first = names.others[located.path]
                    os.link(self._path(first), self._path(located.path), follow_symlinks=False)
        return Written(self._digests, frozenset(self._missing), self._metadata.left_out)

    def finish(self) -> None:
        """Gives the directories that were written their properties: at the end, since every entry made in a directory
        changes its time, and some forbid writing."""
        for located in reversed(self._directories):
            with _border(located):
                self._metadata.set_path(self._path(located.path), located.entry)

    def _path(self, path: RepositoryPath) -> bytes:
        return self._place + path[len(self._top) :]

    def _make(self, located: Located) -> None:
        path, entry = self._path(located.path), located.entry
        if entry.is_symlink:
            if not entry.symlink:
                self._leave_out(located, "a symbolic link without a target")
                return
            os.symlink(entry.symlink, path)
            self._metadata.set_symlink(path, entry)
            return
        kind = entry.kind
        try:
            if kind is EntryKind.FIFO:
                os.mkfifo(path, _NEW_FILE_MODE)
            else:
                device = entry.size if kind.is_device else 0
                os.mknod(path, kind.value | _NEW_FILE_MODE, device)
        except PermissionError:
            self._leave_out(located, "a device file" if kind.is_device else "a special file")
            return
        self._metadata.set_path(path, entry)

    def _leave_out(self, located: Located, what: str) -> None:
        self._metadata.left_out[what] += 1
        self._missing.add(located.path)

    def _write_file(self, file: FetchedFile) -> None:
        located = file.located
        with _border(located):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(self._path(located.path), flags, _NEW_FILE_MODE)
            try:
                if self._digesting:
                    self._digests[located.path] = self._copy_digested(file, target)
                else:
                    for piece in file.pieces:
                        source = self._contents.open(piece)
                        try:
                            _copy(source, target, piece.size)
                        finally:
                            os.close(source)
                self._metadata.set_open_file(target, located.entry)
            finally:
                os.close(target)

    def _copy_digested(self, file: FetchedFile, target: int) -> str:
        digest = hashlib.sha256()
        for data in plain_bytes(file, self._contents):
            digest.update(data)
            _write(target, data)
        return digest.hexdigest()


def plain_bytes(file: FetchedFile, contents: Contents) -> Iterator[bytes]:
    """The bytes of `file`, in order; StorageError where there are fewer than the catalog says."""
    for piece in file.pieces:
        source = contents.open(piece)
        try:
            left = piece.size
            while left:
                data = os.read(source, min(left, _COPY_BYTES))
                if not data:
                    raise _shrunk()
                left -= len(data)
                yield data
        finally:
            os.close(source)


@contextmanager
def _border(located: Located) -> Iterator[None]:
    """The operating system's errors within the block come out as ours, with the entry's path."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, f"the copy of {shown(located.path)}") from error


def _copy(source: int, target: int, size: int) -> None:
    """Copies `size` bytes between open files, inside the kernel where it can."""
    left = size
    while left:
        try:
            copied = os.copy_file_range(source, target, left)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            copied = _copy_through_memory(source, target, left)
        if not copied:
            raise _shrunk()
        left -= copied


def _copy_through_memory(source: int, target: int, size: int) -> int:
    data = os.read(source, min(size, _COPY_BYTES))
    _write(target, data)
    return len(data)


def _write(target: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]


def _shrunk() -> StorageError:
    return StorageError(what="a file in the cache", problem="shrank while it was read", hint="try again")
