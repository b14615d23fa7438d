"""Catalogs that a running process uses, and that stay in the cache for that long.

`.outcrop/pins/NAME` lists what the process NAME uses, one object name (`xx/rest`) a line. The file of a process that
has ended is void. There is no harm in a catalog that goes in spite of its pin, it is fetched again; so a cache where
nothing can be written has no pins.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress

from outcrop.client.cache.bookkeeping import bookkeeping, make_directory, open_shared
from outcrop.client.cache.members import Member
from outcrop.client.cache.scan import files_in, remove


class Pins:
    """What this process uses of the cache `root`."""

    def __init__(self, root: bytes) -> None:
        self._directory = pins_directory(root)
        self._lock = threading.Lock()
        self._pinned: dict[bytes, None] = {}
        self._member: Member | None = None

    def add(self, name: bytes) -> None:
        """Pins the object `name` for as long as this process lives, or until `keep_only`."""
        member = self._member
        if name in self._pinned and member is not None and member.process == os.getpid():
            return
        with self._lock, suppress(OSError):
            self._pinned[name] = None
            self._append(name)

    def keep_only(self, names: Iterable[bytes]) -> None:
        """Lets go of everything but `names`: a mount does that when it shows another revision."""
        with self._lock, suppress(OSError):
            self._pinned = dict.fromkeys(name for name in names if name in self._pinned)
            self._rewrite()

    def release(self) -> None:
        """Lets go of everything."""
        with self._lock, suppress(OSError):
            self._pinned = {}
            if self._member is not None and self._member.process == os.getpid():
                remove(self._path(self._member))
            self._member = None

    def _append(self, name: bytes) -> None:
        if self._member is None or self._member.process != os.getpid():
            self._member = Member.current()
            self._rewrite()
            return
        try:
            descriptor = os.open(self._path(self._member), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            # Somebody took us for gone, or emptied the cache.
            self._rewrite()
            return
        try:
            os.write(descriptor, name + b"\n")
        finally:
            os.close(descriptor)

    def _rewrite(self) -> None:
        if self._member is None:
            return
        path = self._path(self._member)
        make_directory(self._directory)
        temporary = path + b".new"
        with open(open_shared(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(b"".join(name + b"\n" for name in self._pinned))
        os.replace(temporary, path)

    def _path(self, member: Member) -> bytes:
        return b"%s/%s" % (self._directory, member.name.encode())


def pins_directory(root: bytes) -> bytes:
    """Where the lists lie."""
    return bookkeeping(root) + b"/pins"


def pinned_objects(root: bytes, now: float) -> set[bytes]:
    """The names of all objects in the cache `root` that a living process has pinned."""
    names: set[bytes] = set()
    for entry, status in files_in(pins_directory(root)):
        member = Member.parse(os.fsdecode(entry.name))
        if member is None or member.is_gone(status.st_mtime, now):
            continue
        with suppress(FileNotFoundError), open(entry.path, "rb") as file:
            names.update(line for line in file.read().split(b"\n") if line)
    return names


def remove_void_pins(root: bytes, now: float) -> None:
    """Takes away the lists of processes that have ended."""
    for entry, status in files_in(pins_directory(root)):
        member = Member.parse(os.fsdecode(entry.name))
        if member is None or member.is_gone(status.st_mtime, now):
            remove(entry.path)
