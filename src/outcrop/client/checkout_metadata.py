"""What a copy keeps of an entry besides its bytes: mode, times, attributes and, on request, owner."""

from __future__ import annotations

import errno
import os
from collections import Counter

from outcrop.cvmfs.entry import NANOSECONDS, Entry

_CANNOT_KEEP = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.ERANGE})
"""What a file system says of an attribute that it does not take: no support, no right, no room beside the inode."""


class Metadata:
    """Gives copies the properties of their entries, and counts in `left_out` what could not be kept."""

    def __init__(self, *, owner: bool) -> None:
        """With `owner`, files get the user and group that the repository says; only root can do that."""
        self.left_out: Counter[str] = Counter()
        self._owner = owner

    def set_open_file(self, descriptor: int, entry: Entry) -> None:
        """Completes the regular file that is open and has all its bytes."""
        if self._owner:
            os.fchown(descriptor, entry.uid, entry.gid)
        # Attributes after the owner, whose change drops capabilities; before the mode, which may forbid writing.
        self._set_attributes(descriptor, entry)
        os.fchmod(descriptor, entry.permissions)
        os.utime(descriptor, ns=_times(entry))

    def set_path(self, path: bytes, entry: Entry) -> None:
        """Completes the directory or special file at `path`, which is no symbolic link."""
        if self._owner:
            os.chown(path, entry.uid, entry.gid)
        self._set_attributes(path, entry)
        os.chmod(path, entry.permissions)
        os.utime(path, ns=_times(entry))

    def set_symlink(self, path: bytes, entry: Entry) -> None:
        """Completes the symbolic link at `path`; links have no mode of their own."""
        if self._owner:
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        self._set_attributes(path, entry)
        os.utime(path, ns=_times(entry), follow_symlinks=False)

    def _set_attributes(self, target: bytes | int, entry: Entry) -> None:
        for key, value in entry.xattrs:
            try:
                if isinstance(target, int):
                    os.setxattr(target, key, value)
                else:
                    os.setxattr(target, key, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _CANNOT_KEEP:
                    raise
                self.left_out[f"the attribute {key.decode('utf-8', 'backslashreplace')}"] += 1


def _times(entry: Entry) -> tuple[int, int]:
    moment = entry.mtime * NANOSECONDS + (entry.mtime_ns or 0)
    return moment, moment
