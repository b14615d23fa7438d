"""The checksum of the plain bytes that is kept beside an object, in an attribute of its file."""

from __future__ import annotations

import errno
import os

from outcrop.client.content import new_checksum
from outcrop.cvmfs.compression import Compression

CHECK_ATTRIBUTE = "user.outcrop.blake3"
NO_ATTRIBUTES = frozenset({
    errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM, errno.EACCES, errno.E2BIG, errno.ENOSYS, errno.EROFS,
})  # fmt: skip
"""What file systems answer that keep no user attributes, or none of this file."""

READ_BYTES = 1024 * 1024


def attribute_of(file: int | bytes) -> bytes | None:
    """The checksum kept with `file`; None where there is none. OSError where it cannot be read."""
    try:
        return os.getxattr(file, CHECK_ATTRIBUTE)
    except OSError as error:
        if error.errno in NO_ATTRIBUTES:
            return None
        raise


def checksum_of_bytes(data: bytes | memoryview, compression: Compression) -> bytes:
    """The checksum of all the plain bytes of an object that is stored by `compression`."""
    checksum = new_checksum(compression)
    checksum.update(data)
    return checksum.digest()


def checksum_of(descriptor: int, compression: Compression) -> bytes:
    """The checksum of the open file, read as the plain bytes of an object that is stored by `compression`."""
    checksum = new_checksum(compression)
    offset = 0
    while piece := os.pread(descriptor, READ_BYTES, offset):
        checksum.update(piece)
        offset += len(piece)
    return checksum.digest()
