"""Opens the files of a tree for whoever looks through all of their bytes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from outcrop.client.relocate.places import Data

MAPPED_BYTES = 8 * 1024 * 1024
"""From this size on a file is mapped instead of read: it takes no memory of ours, but costs more to set up."""


@contextmanager
def opened(path: bytes) -> Iterator[Data]:
    """The contents of the file `path`, which is no symbolic link, within the block. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size < MAPPED_BYTES:
            yield _read(descriptor, size)
            return
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            yield data
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data
