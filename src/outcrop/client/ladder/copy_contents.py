"""What a copy holds, written down when it was made and compared when it is used again.

Nobody verifies the files of a copy when a program reads them: the kernel shows them as they are. So a copy that was
used a while ago is looked at before it is used again. A file whose inode, time of the last change (`ctime`, which no
program can set), mode and size are the same is the same; any other is read, and its checksum compared. What a program
has added to a copy of its own, such as bytecode, is left alone.

A file that rots on the disk without a sign is not seen so; layers and mounts see that.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from outcrop.errors import storage_error
from outcrop.whole_file import write_whole_file

LOOK_SECONDS = 300.0
"""How long a copy is used without a look: as long as the way is remembered. A look takes 5 µs an entry."""

_SMALL_BYTES = 64 * 1024

_Row = tuple[bytes, int, int, int, int, bytes]
"""Path below the copy, mode, inode, ctime in nanoseconds, size, checksum of the bytes or of a link's target."""


def write_down(copy: Path, record: Path) -> None:
    """Writes to the file `record` what the tree `copy` holds. StorageError where that cannot be."""
    # Only who makes a copy, or looks at one, needs this.
    import msgspec

    top = os.fsencode(copy)
    try:
        rows = [_row(top, path, os.lstat(os.path.join(top, path))) for path in _below(top)]
    except OSError as error:
        raise storage_error(error) from error
    write_whole_file(record, msgspec.msgpack.encode(rows))


def next_look(record: Path) -> float:
    """Until when (seconds since 1970) the copy of `record` is used without a look; 0 where nothing is written down."""
    try:
        return record.stat().st_mtime + LOOK_SECONDS
    except OSError:
        return 0.0


def is_due(record: Path) -> bool:
    """Whether the copy of `record` has to be looked at before it is used."""
    return not 0 <= next_look(record) - time.time() <= LOOK_SECONDS


def look_next_time(record: Path) -> None:
    """Has the copy of `record` looked at before it is used again, as somebody may write to it."""
    with suppress(OSError):
        os.utime(record, (0, 0))


def damaged(copy: Path, record: Path) -> str:
    """The path of the first thing in `copy` that is not what was written down, `?` where nothing was; empty if all is
    well, which is noted. StorageError where the copy cannot be looked at."""
    import msgspec

    try:
        rows = msgspec.msgpack.decode(record.read_bytes(), type=list[_Row])
    except (OSError, msgspec.MsgspecError):
        return "?"
    top = os.fsencode(copy)
    try:
        for row in rows:
            if not _is_same(top, row):
                return os.fsdecode(row[0])
    except OSError as error:
        raise storage_error(error) from error
    with suppress(OSError):
        os.utime(record)
    return ""


def _below(top: bytes) -> Iterator[bytes]:
    """The paths of everything in the tree `top`."""
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        with os.scandir(os.path.join(top, directory)) as entries:
            for entry in entries:
                path = os.path.join(directory, entry.name)
                yield path
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)


def _row(top: bytes, path: bytes, status: os.stat_result) -> _Row:
    checksum = _checksum(os.path.join(top, path), status)
    return path, status.st_mode, status.st_ino, status.st_ctime_ns, status.st_size, checksum


def _is_same(top: bytes, row: _Row) -> bool:
    path, mode, inode, changed, size, checksum = row
    whole = os.path.join(top, path)
    try:
        status = os.lstat(whole)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISDIR(mode):
        return stat.S_ISDIR(status.st_mode)
    if (status.st_mode, status.st_ino, status.st_ctime_ns, status.st_size) == (mode, inode, changed, size):
        return True
    return (status.st_mode, status.st_size) == (mode, size) and _checksum(whole, status) == checksum


def _checksum(path: bytes, status: os.stat_result) -> bytes:
    from blake3 import blake3

    if stat.S_ISLNK(status.st_mode):
        return blake3(os.readlink(path)).digest()
    if not stat.S_ISREG(status.st_mode):
        return b""
    try:
        if status.st_size > _SMALL_BYTES:
            return blake3().update_mmap(os.fsdecode(path)).digest()
        with open(path, "rb") as file:
            return blake3(file.read()).digest()
    except PermissionError:
        # Its owner may not read it, and so no program of his.
        return b""
