"""A second copy of a tree that lies on this machine: every kind of entry, hard links, modes, times and attributes.

A checkout made the first one, as this user, so this user can make everything in it again. Some entries are closed to
their own owner, as those of mode 000. In the first copy they are opened for as long as they are read; in the second one
they stay open until whoever made it has done with it.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from outcrop.errors import storage_error

_READ_FILE, _READ_DIRECTORY = stat.S_IRUSR, stat.S_IRUSR | stat.S_IXUSR
_OPEN_FILE, _OPEN_DIRECTORY = stat.S_IRUSR, stat.S_IRWXU
"""What the owner needs: to read an entry of the first copy, and to work on one of the second."""


@contextmanager
def second_copy(source: Path, place: Path) -> Iterator[None]:
    """The empty directory `place` has everything that `source` has.

    Within the block its owner can read every file and write to every directory; after it each has the mode that it has
    in `source`. StorageError where something cannot be read or made; what was made until then stays."""
    copy = _Copy(os.fsencode(source), os.fsencode(place))
    try:
        copy.make()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise storage_error(error, f"the copy in {place}" if full else "") from error
    yield
    try:
        copy.close()
    except OSError as error:
        raise storage_error(error) from error


class _Copy:
    """The tree `source` as it comes to be at `place`. Paths are below both, without a slash before them."""

    def __init__(self, source: bytes, place: bytes) -> None:
        self._source = source
        self._place = place
        self._first_names: dict[tuple[int, int], bytes] = {}
        """The path of each file that has several names, by its device and inode."""
        self._directories: list[tuple[bytes, int]] = []
        self._closed: list[tuple[bytes, int]] = []
        """What its owner may not use, with the mode that it gets in the end."""

    def make(self) -> None:
        """Copies everything. Raises OSError."""
        top = stat.S_IMODE(os.lstat(self._source).st_mode)
        with ExitStack() as opened:
            below = [(b"", top)]
            while below:
                path, mode = below.pop()
                self._directories.append((path, mode))
                opened.enter_context(_opened(self._at_source(path), mode, _READ_DIRECTORY, os.R_OK | os.X_OK))
                below += self._fill(path)
            # What is inside first: every entry made in a directory changes its time.
            for path, mode in reversed(self._directories):
                self._complete(path, mode, _OPEN_DIRECTORY)

    def close(self) -> None:
        """Gives each entry the mode that it has in the source. Raises OSError."""
        # What is inside of directories was noted before them.
        for path, mode in self._closed:
            os.chmod(self._at_place(path), mode)

    def _fill(self, directory: bytes) -> list[tuple[bytes, int]]:
        """Copies what `directory` holds; the directories in it are made, and returned with their modes."""
        inner = []
        with os.scandir(self._at_source(directory)) as listing:
            for entry in listing:
                path = os.path.join(directory, entry.name)
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    os.mkdir(self._at_place(path), _OPEN_DIRECTORY)
                    inner.append((path, stat.S_IMODE(status.st_mode)))
                else:
                    self._copy(path, status)
        return inner

    def _copy(self, path: bytes, status: os.stat_result) -> None:
        source, place = self._at_source(path), self._at_place(path)
        key = (status.st_dev, status.st_ino)
        if key in self._first_names:
            os.link(self._at_place(self._first_names[key]), place, follow_symlinks=False)
            return
        if status.st_nlink > 1:
            self._first_names[key] = path
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), place)
            shutil.copystat(source, place, follow_symlinks=False)
        elif stat.S_ISREG(status.st_mode):
            with _opened(source, mode, _READ_FILE, os.R_OK):
                shutil.copyfile(source, place, follow_symlinks=False)
                self._complete(path, mode, _OPEN_FILE)
        else:
            # A pipe, a socket or a device: it has nothing to be read, and is not opened, which could wait for ever.
            os.mknod(place, stat.S_IFMT(status.st_mode) | _OPEN_FILE, status.st_rdev)
            shutil.copystat(source, place, follow_symlinks=False)

    def _complete(self, path: bytes, mode: int, needed: int) -> None:
        """Gives what was copied to `path` its times, attributes and mode, with what its owner needs until the end."""
        place = self._at_place(path)
        shutil.copystat(self._at_source(path), place, follow_symlinks=False)
        os.chmod(place, mode | needed)
        if mode | needed != mode:
            self._closed.append((path, mode))

    def _at_source(self, path: bytes) -> bytes:
        return os.path.join(self._source, path) if path else self._source

    def _at_place(self, path: bytes) -> bytes:
        return os.path.join(self._place, path) if path else self._place


@contextmanager
def _opened(path: bytes, mode: int, needed: int, access: int) -> Iterator[None]:
    """Within the block this user has `access` to `path`, whose mode is `mode`. Root has it anyway."""
    if os.access(path, access):
        yield
        return
    os.chmod(path, mode | needed)
    try:
        yield
    finally:
        os.chmod(path, mode)
