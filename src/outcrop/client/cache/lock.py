"""One process at a time: a lock file that needs no locks of the kernel's.

Who creates the file, has the lock. It holds the name of its process; when that process has ended, or has not renewed
the file for long, anybody may break the lock. Two processes may then believe to have it, for instance when a clock
jumps. So what it guards must be harmless when done twice: it saves work, and keeps nothing from going wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from outcrop.client.cache.bookkeeping import open_shared
from outcrop.client.cache.members import Member, this_machine
from outcrop.client.cache.scan import remove

ABANDONED_SECONDS = 600
"""A holder on another machine renews its lock with each of 256 directories; none takes ten minutes."""


class FileLock:
    """The lock file `path`, in a directory that exists."""

    def __init__(self, path: bytes, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._content = b""

    def take(self) -> bool:
        """Takes the lock if it is free or abandoned; whether that went well. OSError where no file can be made."""
        return self._create() or (self._break() and self._create())

    def renew(self) -> None:
        """Says that the holder is at work."""
        now = self._clock()
        try:
            os.utime(self._path, (now, now))
        except FileNotFoundError:
            return

    def release(self) -> None:
        """Gives the lock back."""
        if self._read() == self._content:
            remove(self._path)

    def _create(self) -> bool:
        try:
            descriptor = open_shared(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        self._content = Member.current().name.encode()
        try:
            os.write(descriptor, self._content)
        finally:
            os.close(descriptor)
        return True

    def _break(self) -> bool:
        """Takes an abandoned lock away; whether the way is free."""
        try:
            status, content = os.stat(self._path), self._read()
        except FileNotFoundError:
            return True
        if not self._is_abandoned(content, status.st_mtime):
            return False
        # Another process may be at this, too, and have the lock anew already: what is moved away must be what was seen.
        aside = b"%s.%s" % (self._path, os.urandom(4).hex().encode())
        try:
            os.rename(self._path, aside)
            if _content_of(aside) != content:
                os.rename(aside, self._path)
                return False
        except FileNotFoundError:
            return True
        remove(aside)
        return True

    def _is_abandoned(self, content: bytes, renewed_at: float) -> bool:
        member = Member.parse(content.decode("ascii", "replace"))
        age = abs(self._clock() - renewed_at)
        if member is None or member.machine != this_machine():
            return age > ABANDONED_SECONDS
        return member.is_gone(renewed_at, self._clock())

    def _read(self) -> bytes:
        return _content_of(self._path)


def _content_of(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
