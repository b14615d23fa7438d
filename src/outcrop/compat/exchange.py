"""Two directories that swap their names in one step: there is no moment in which one of the names is not taken.

Source: renameat2(2), RENAME_EXCHANGE.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from outcrop.errors import storage_error

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems and kernels say that do not have it."""


def exchanged(one: Path, other: Path) -> bool:
    """Whether `one` and `other`, on one file system, have swapped their names; False where it cannot be done in one
    step. StorageError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise storage_error(OSError(number, os.strerror(number)), str(other))
