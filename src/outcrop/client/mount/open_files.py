"""Descriptors of cached files that are being read, a bounded number of them."""

from __future__ import annotations

import os
import resource
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple


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


@dataclass(frozen=True, slots=True)
class DescriptorBudget:
    """What a server may have open at once: files of each reader, answers that wait for the network, threads that fetch
    ahead, and files that one of these fetches at once."""

    files: int
    fetches: int
    ahead_threads: int
    ahead_batch: int


_AMPLE = DescriptorBudget(files=64, fetches=32, ahead_threads=3, ahead_batch=32)
"""For `_AMPLE_LIMIT` and more. A set of connections may come to each thread in turn and grow to the largest batch."""
_AMPLE_LIMIT = 2048
_SCANTY = DescriptorBudget(files=16, fetches=8, ahead_threads=1, ahead_batch=8)
"""For `ulimit -n 256`: 9 sets of 8 connections and 3 descriptors of their own each, 48 catalogs, 32 files, what is
being written, the device, the log: some 200."""
_SCANTY_LIMIT = 256
_LEAST = DescriptorBudget(files=4, fetches=4, ahead_threads=1, ahead_batch=2)


def descriptor_budget(limit: int) -> DescriptorBudget:
    """How `limit` descriptors (`ulimit -n`) are shared out."""
    if limit >= _AMPLE_LIMIT:
        return _AMPLE
    return _SCANTY if limit >= _SCANTY_LIMIT else _LEAST


def raise_descriptor_limit() -> int:
    """Lets this process have as many descriptors as it may, often more than it is given; how many these are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard
