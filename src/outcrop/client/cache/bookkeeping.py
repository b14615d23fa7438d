"""Our own files in a cache. They belong to all who share it, so they follow its root and not somebody's umask."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from outcrop.client.cache.layout import BOOKKEEPING, CUSTOMARY_MODES, Modes


def bookkeeping(root: bytes) -> bytes:
    """The directory for our own files in the cache `root`."""
    return b"%s/%s" % (root, BOOKKEEPING.encode())


def make_directory(path: bytes) -> None:
    """Makes the directory `path`, and those above it, where they are missing. OSError where that cannot be."""
    with suppress(FileExistsError):
        try:
            os.mkdir(path, CUSTOMARY_MODES.directory)
        except FileNotFoundError:
            make_directory(os.path.dirname(path))
            os.mkdir(path, CUSTOMARY_MODES.directory)
        os.chmod(path, Modes.below(os.stat(os.path.dirname(path)).st_mode).directory)


def open_shared(path: bytes, flags: int) -> int:
    """A descriptor of the file `path`, made if `flags` say so, which all who share the cache may read and write."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, CUSTOMARY_MODES.file)
    try:
        mode = Modes.below(os.stat(os.path.dirname(path)).st_mode).file
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            # A file of somebody else has its mode from them.
            with suppress(PermissionError):
                os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
