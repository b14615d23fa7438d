"""Where a run keeps objects: in the user's cache, or in a directory that goes with the process that made it.

A process that becomes the command never comes to its own end, so nothing may be left to what Python does there."""

from __future__ import annotations

import dataclasses
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.ladder.copies import can_be_made
from outcrop.client.ladder.request import RunRequest
from outcrop.client.repository import ClientSettings, OpenRepository
from outcrop.errors import storage_error

_PREFIX = "outcrop-cache-"
"""Private caches that are called so are taken away by the next client, if their process was killed."""


@dataclass(frozen=True, slots=True)
class OwnCache:
    """A directory that is made for one reader; `directory` is None where the user's cache can be written."""

    directory: Path | None

    @classmethod
    def for_settings(cls, settings: ClientSettings) -> OwnCache:
        """The user's cache if it can be written, else a new directory. StorageError where that is not possible."""
        if settings.cache is not None or (
            settings.cache_directory.is_absolute() and can_be_made(settings.cache_directory)
        ):
            return cls(None)
        try:
            return cls(Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-{os.getpid()}-")))
        except OSError as error:
            raise storage_error(error, tempfile.gettempdir()) from error

    def request_with(self, request: RunRequest) -> RunRequest:
        """`request`, which uses this cache."""
        if self.directory is None:
            return request
        settings = dataclasses.replace(request.settings, cache=self.directory)
        return dataclasses.replace(request, settings=settings)

    def remove(self) -> None:
        """Takes the directory away."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def opened(request: RunRequest) -> Iterator[OpenRepository]:
    """The repository of `request` within the block, read by way of a cache of which nothing is left that was private.

    Raises as `RunRequest.open` does."""
    cache = OwnCache.for_settings(request.settings)
    try:
        with cache.request_with(request).open() as repository:
            yield repository
    finally:
        cache.remove()
        # A spare cache, taken when the first one is full, goes when nothing refers to it.
        gc.collect()
