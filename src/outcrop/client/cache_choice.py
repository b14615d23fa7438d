"""Which caches a client uses: the one that was asked for, else this user's, else a private one that ends with us."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from outcrop.client.cache import Cache
from outcrop.errors import StorageError

_PRIVATE_PREFIX = "outcrop-cache-"
OBJECTS_NAME = "objects"
"""The directory below the cache directory that holds objects."""


class CacheChoice:
    """Opens caches and tells, in a sentence each, where it had to fall back on something lesser."""

    def __init__(self, default_directory: Path, explicit: Path | None, tell: Callable[[str], None]) -> None:
        """`explicit` is the directory of objects that the user asked for; otherwise it is below
        `default_directory`."""
        self._directory = explicit or default_directory / OBJECTS_NAME
        self._is_explicit = explicit is not None
        self._tell = tell
        self._private: Cache | None = None

    def open(self) -> list[Cache]:
        """The caches to use, the first of which can be written to.

        StorageError when the explicit one cannot be used, or nothing at all can be written."""
        try:
            return [Cache.create(self._directory, tell=self._tell)]
        except StorageError as error:
            if self._is_explicit:
                raise
            private = self._private_cache()
            self._tell(f"{error}; what is fetched is kept until this ends only, in {private.root}")
            readable = os.access(self._directory, os.R_OK | os.X_OK)
            return [private, Cache(self._directory, tell=self._tell)] if readable else [private]

    def spare(self, error: StorageError) -> Cache | None:
        """A private cache for when the first one takes no more; None when there is none that would take more."""
        if self._private is not None:
            return None
        try:
            if os.stat(tempfile.gettempdir()).st_dev == os.stat(self._directory).st_dev:
                return None
            private = self._private_cache()
        except (OSError, StorageError):
            return None
        self._tell(f"{error}; what else is fetched is kept until this ends only, in {private.root}")
        return private

    def _private_cache(self) -> Cache:
        _remove_abandoned()
        try:
            root = Path(tempfile.mkdtemp(prefix=f"{_PRIVATE_PREFIX}{os.getuid()}-{os.getpid()}-"))
        except OSError as error:
            raise StorageError(
                what=f"{self._directory} and every directory for temporary files",
                problem=f"cannot be written ({error.strerror})",
                hint="name a directory that can be written with `--cache DIR`",
            ) from error
        self._private = Cache.create(root, tell=self._tell)
        weakref.finalize(self, _remove_own, root, os.getpid())
        return self._private


def _remove_own(root: Path, process: int) -> None:
    # A forked child has a copy of us, and must leave its parent's files alone.
    if os.getpid() == process:
        shutil.rmtree(root, ignore_errors=True)


def _remove_abandoned() -> None:
    """Takes away private caches of this user's processes that were killed."""
    for root in Path(tempfile.gettempdir()).glob(f"{_PRIVATE_PREFIX}{os.getuid()}-*"):
        process = root.name.removeprefix(_PRIVATE_PREFIX).split("-")[1]
        if process.isdecimal() and not Path("/proc", process).exists() and root.stat().st_uid == os.getuid():
            shutil.rmtree(root, ignore_errors=True)
