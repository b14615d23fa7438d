"""Descriptors of cached files that are being read, a bounded number of them."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import NamedTuple

FEWEST_FILES, MOST_FILES = 4, 64
_RESERVED_DESCRIPTORS = 160
"""Of `ulimit -n`: open catalogs (48), fetches (32 objects and their connections), the device, the log, spare ones."""


class OpenFile(NamedTuple):
    """An open cached file; `size` in bytes is what it must have."""

    descriptor: int
    size: int


class OpenFiles:
    """The most recently read files of one thread, by a key of the caller's. No other thread may use it, so that no
    descriptor is closed while a read from it goes on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files: OrderedDict[object, OpenFile] = OrderedDict()

    def get(self, key: object) -> OpenFile | None:
        """The open file under `key`, which counts as used now."""
        file = self._files.get(key)
        if file is not None:
            self._files.move_to_end(key)
        return file

    def add(self, key: object, file: OpenFile) -> None:
        """Keeps `file`, and closes the one that was not used for longest if there are too many."""
        self._files[key] = file
        if len(self._files) > self._limit:
            os.close(self._files.popitem(last=False)[1].descriptor)

    def drop(self, key: object) -> None:
        """Closes the file under `key`."""
        file = self._files.pop(key, None)
        if file is not None:
            os.close(file.descriptor)

    def close(self) -> None:
        """Closes all."""
        for key in list(self._files):
            self.drop(key)

    def __len__(self) -> int:
        return len(self._files)


def files_per_reader(descriptor_limit: int, readers: int) -> int:
    """How many files each of `readers` threads may keep open under `ulimit -n` of `descriptor_limit`."""
    return max(FEWEST_FILES, min(MOST_FILES, (descriptor_limit - _RESERVED_DESCRIPTORS) // readers))
