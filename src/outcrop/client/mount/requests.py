"""Taking requests from the device of FUSE."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

CONNECTION_ENDED = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.EBADF, errno.ECONNRESET})
"""What the device answers when the mount is gone."""
_AGAIN = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOENT})
"""ENOENT: the request was withdrawn while we took it."""


class Request(NamedTuple):
    """What the kernel asks: for what, under which number, about which node, for which process, and the rest."""

    opcode: int
    unique: int
    node: int
    pid: int
    body: memoryview

    def kept(self) -> Request:
        """The same with a body of its own: the buffer that it lies in takes the next request."""
        return self._replace(body=memoryview(bytes(self.body)))


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
