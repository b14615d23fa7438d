"""Giving a complete file its final name, on any file system and beside any number of others who do the same.

A hard link to the final name says whether the object has come from somebody else meanwhile, so nothing is counted
twice, and it replaces no file that another node has open (on NFS, that node would lose it). Where a file system has no
links, or none between directories (BeeGFS), the file is moved to its directory first and renamed there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

_NO_LINKS = frozenset({
    errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES, errno.EINVAL,
})  # fmt: skip


def place(temporary: bytes, final: bytes, size: int, link: Callable[[bytes, bytes], None] = os.link) -> bool:
    """The file `temporary` of `size` bytes is `final` afterwards, and no more under its old name; whether it came to
    lie there now. False where the same object was there. OSError where the file system refuses, FileNotFoundError when
    the directory is gone. `link` is link(2)."""
    try:
        link(temporary, final)
    except FileExistsError:
        if _is_whole(final, size):
            os.unlink(temporary)
            return False
        os.rename(temporary, final)
        return True
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _place_by_renaming(temporary, final, size)
    os.unlink(temporary)
    return True


def _place_by_renaming(temporary: bytes, final: bytes, size: int) -> bool:
    is_new = not _is_whole(final, size)
    beside = b"%s/%s" % (os.path.dirname(final), os.path.basename(temporary))
    os.rename(temporary, beside)
    os.rename(beside, final)
    return is_new


def _is_whole(path: bytes, size: int) -> bool:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size
