"""Processes that want to make the same thing take turns, so that one makes it and the others find it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outcrop.errors import storage_error


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """One process is in the block, on whichever machine, as far as locks on the file `path` reach.

    StorageError if the file cannot be made. On a file system without locks nobody waits: what is made must come out
    right when several make it."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise storage_error(error) from error
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
