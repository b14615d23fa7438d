"""Looking at what lies in a cache directory, while others add to it and take from it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from outcrop.client.cache.layout import PREFIXES, QUARANTINE, TRANSACTION, is_object
from outcrop.client.cache.members import Member, is_old
from outcrop.client.claims import CLAIMS_NAME
from outcrop.client.content import disk_bytes

_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})


class Stored(NamedTuple):
    """An object in the cache: where it lies, its name below the root (`xx/rest`), its size on disk in bytes, when it
    was last used (nanoseconds since 1970)."""

    path: bytes
    name: bytes
    size: int
    used_ns: int


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of files, and their bytes on disk."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that is no object: on its way in, left behind, or somebody else's. `written_at` in seconds."""

    path: bytes
    size: int
    written_at: float

    def is_leftover(self, now: float) -> bool:
        """Whether whoever wrote it is gone."""
        member = Member.parse(os.fsdecode(os.path.basename(self.path)))
        return is_old(self.written_at, now) if member is None else member.is_gone(self.written_at, now)


def stored_objects(root: bytes, prefix: str) -> Iterator[Stored | Stray]:
    """What lies in the directory `prefix` of the cache `root`, in no order. OSError where it cannot be read; one that
    is not there holds nothing."""
    short = prefix.encode()
    for entry, status in files_in(b"%s/%s" % (root, short)):
        if is_object(entry.name):
            yield Stored(entry.path, b"%s/%s" % (short, entry.name), disk_bytes(status.st_size), status.st_atime_ns)
        else:
            yield Stray(entry.path, disk_bytes(status.st_size), status.st_mtime)


def all_stored(root: bytes) -> Iterator[Stored | Stray]:
    """What lies in all directories of objects."""
    for prefix in PREFIXES:
        yield from stored_objects(root, prefix)


def strays(root: bytes) -> Iterator[Stray]:
    """What lies in the directories for what is no object, but for the file by which downloads are claimed."""
    for name in (TRANSACTION, QUARANTINE):
        for entry, status in files_in(b"%s/%s" % (root, name.encode())):
            if entry.name != CLAIMS_NAME.encode():
                yield Stray(entry.path, disk_bytes(status.st_size), status.st_mtime)


def files_in(directory: bytes) -> Iterator[tuple[os.DirEntry[bytes], os.stat_result]]:
    """The regular files in `directory` with what the file system says of them. What vanishes meanwhile is left out."""
    try:
        entries = os.scandir(directory)
    except OSError as error:
        if error.errno in _VANISHED:
            return
        raise
    with entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                if error.errno in _VANISHED:
                    continue
                raise
            if stat.S_ISREG(status.st_mode):
                yield entry, status


def remove(path: bytes) -> bool:
    """Takes a file away; whether this call did it. OSError where it may not be removed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
