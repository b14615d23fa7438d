"""How a finished layer takes its place: whoever looks there sees the old layer or the new one, whole.

Where the file system can, both swap their names in one step. Where it cannot (NFS), the old layer is called
`.<name>.before` for the moment between two renames. A process that is killed in that moment leaves the place empty; the
next build puts the old layer back before it does anything else.

Source: renameat2(2), RENAME_EXCHANGE.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from outcrop.errors import storage_error

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems and kernels say that do not have it."""

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
"""What they say where a directory has the name already."""

_MOMENT = 0.5
"""Seconds within which another process, if one is just between its two renames, has done the second."""


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


def take_place(new: Path, tree: Path, exchange: Callable[[Path, Path], bool] = exchanged) -> None:
    """Gives the finished layer `new` the name `tree`. One that had it has the name `new` afterwards, or is gone.
    StorageError; then `tree` is what it was."""
    if not (tree.exists() and exchange(new, tree)):
        move_into_place(new, tree)


def move_into_place(new: Path, tree: Path) -> None:
    """The same by two renames; one that had the name is gone afterwards. StorageError; then `tree` is what it was."""
    aside = _aside(tree)
    try:
        if tree.exists():
            shutil.rmtree(aside, ignore_errors=True)
            tree.rename(aside)
        new.rename(tree)
    except BaseException as error:
        with suppress(OSError):
            if not tree.exists():
                aside.rename(tree)
        if isinstance(error, OSError):
            raise storage_error(error, str(tree)) from error
        raise
    shutil.rmtree(aside, ignore_errors=True)


def put_back(tree: Path) -> bool:
    """Whether the layer `tree`, which a process that was killed has left aside, has its name again. What is aside of a
    layer that is there goes. StorageError."""
    aside = _aside(tree)
    if not aside.exists():
        return False
    if not tree.exists():
        time.sleep(_MOMENT)
    if tree.exists():
        shutil.rmtree(aside, ignore_errors=True)
        return False
    try:
        aside.rename(tree)
    except OSError as error:
        if error.errno in (errno.ENOENT, *_TAKEN):
            return False  # another process was quicker
        raise storage_error(error, str(tree)) from error
    return True


def _aside(tree: Path) -> Path:
    return tree.with_name(f".{tree.name}.before")
