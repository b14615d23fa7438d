"""Taking requests from the device of FUSE."""

from __future__ import annotations

import errno
import os

CONNECTION_ENDED = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.EBADF, errno.ECONNRESET})
"""What the device answers when the mount is gone."""
_AGAIN = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOENT})
"""ENOENT: the request was withdrawn while we took it."""


def next_request(device: int, buffer: bytearray) -> int:
    """The length of the next request from `device`, now in `buffer`; 0 when there will be none."""
    while True:
        try:
            return os.readv(device, [buffer])
        except OSError as error:
            if error.errno in CONNECTION_ENDED:
                return 0
            if error.errno not in _AGAIN:
                raise
