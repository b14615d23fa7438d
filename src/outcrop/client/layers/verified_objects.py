"""Every object that a revision names and the cache holds, verified before the kernel may show it.

The kernel does not tell which objects it reads, and overlayfs leaves their times of access alone, by which the cache
knows what to remove first. So all objects of a revision count as used when a command begins to use it, once a day.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outcrop.client.cache.layout import PREFIXES
from outcrop.client.contents import Piece
from outcrop.client.layers.objects import PlainObject
from outcrop.client.layers.proofs import ProofBook
from outcrop.errors import storage_error

_BATCH = 64
"""Objects that a thread checks before it asks for more."""

USE_SECONDS = 86_400
"""How exactly the cache knows when objects of a layer were used: setting the time of many costs as much as looking at
them, and a day is little beside the time that a revision is in use."""


class CachedContents(Protocol):
    """What opens an object of the cache only if it is sound, and throws it away if it is not."""

    def open_cached(self, piece: Piece) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Checked:
    """How many objects are there with a proof, how many were checked anew, and how many of those were not sound."""

    proved: int = 0
    checked: int = 0
    thrown_away: int = 0


def verify_objects(
    root: Path,
    objects: Sequence[PlainObject],
    contents: CachedContents,
    book: ProofBook,
    *,
    threads: int = 0,
    clock: Callable[[], float] = time.time,
) -> Checked:
    """Leaves none of `objects` in the cache `root` that is not what its name says, as far as the cache can tell.

    Those without a proof are read, by `threads` (as many as there are processors); what is not sound is removed, and
    will be fetched again. What is no plain file is removed, too. StorageError where the cache cannot be read."""
    names = {one.name: one for one in objects}
    unproved: list[PlainObject] = []
    unused: list[PlainObject] = []
    proved = 0
    now = clock()
    try:
        for prefix in PREFIXES:
            for entry in _entries(os.fsencode(root), prefix.encode()):
                one = names.get(b"%b/%b" % (prefix.encode(), entry.name))
                if one is None:
                    continue
                status = entry.stat(follow_symlinks=False)
                if book.holds(one, status):
                    proved += 1
                    if abs(now - status.st_atime) > USE_SECONDS and _is_used(entry.path, status, now):
                        unused.append(one)
                elif entry.is_file(follow_symlinks=False):
                    unproved.append(one)
                elif not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
    except OSError as error:
        raise storage_error(error, str(root)) from error

    # The time of access is part of what makes a proof outdated.
    book.add(unused)

    def check(batch: Sequence[PlainObject]) -> list[PlainObject]:
        good = []
        for one in batch:
            path = b"%b/%b" % (os.fsencode(root), one.name)
            if _is_sound(one, path, contents):
                good.append(one)
            else:
                _remove(path)
        return good

    batches = [unproved[start : start + _BATCH] for start in range(0, len(unproved), _BATCH)]
    sound = 0
    if batches:
        with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
            for good in pool.map(check, batches):
                book.add(good)
                sound += len(good)
    return Checked(proved, len(unproved), len(unproved) - sound)


def _entries(root: bytes, prefix: bytes) -> Sequence[os.DirEntry[bytes]]:
    try:
        with os.scandir(b"%b/%b" % (root, prefix)) as entries:
            return list(entries)
    except FileNotFoundError:
        return ()


def _is_used(path: bytes, before: os.stat_result, now: float) -> bool:
    """Notes that the object is in use now; whether that was possible, and nothing else happened to the file."""
    try:
        os.utime(path, ns=(int(now * 1e9), before.st_mtime_ns))
        after = os.lstat(path)
    except OSError:
        # Files of others follow the rules of the mount.
        return False
    return (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


def _remove(path: bytes) -> None:
    """A file that nothing proves may stay in a cache, but not where the kernel would show it."""
    # Where nothing may be removed, the caller is told of what was not sound.
    with suppress(OSError):
        os.unlink(path)


def _is_sound(one: PlainObject, path: bytes, contents: CachedContents) -> bool:
    """Whether `contents` would use the file `path`, and not one in a cache below."""
    descriptor = contents.open_cached(one.piece)
    if descriptor is None:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)
