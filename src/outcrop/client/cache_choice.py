"""Which caches a client uses: the one that was asked for, else this user's, else a private one that ends with us; and
below it any number of others that are only read."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.cache.quota import DEFAULT_LIMIT_BYTES, Quota
from outcrop.client.cache.sizes import parse_limit
from outcrop.client.cache.store import Cache, begins_or_began_with_us
from outcrop.directories import located
from outcrop.errors import StorageError, storage_error

_PRIVATE_PREFIX = "outcrop-cache-"
OBJECTS_NAME = "objects"
"""The directory below the cache directory that holds objects."""

LIMIT_VARIABLE = "OUTCROP_CACHE_LIMIT"
LOWER_VARIABLE = "OUTCROP_CACHE_LOWER"


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """How caches are kept. `limit` is in bytes, None for none; `limit_is_stated` says that somebody has decided that,
    rather than nobody. `lower` are directories of objects to read from, the first one first."""

    limit: int | None = DEFAULT_LIMIT_BYTES
    limit_is_stated: bool = False
    lower: tuple[Path, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> CacheSettings:
        """What `OUTCROP_CACHE_LIMIT` (a size like `20G`, or `none`) and `OUTCROP_CACHE_LOWER` (directories with colons
        between them) say; InvalidValue for a limit that is none."""
        lower = tuple(located(path, environment) for path in environment.get(LOWER_VARIABLE, "").split(":") if path)
        text = environment.get(LIMIT_VARIABLE, "")
        if not text:
            return cls(lower=lower)
        return cls(parse_limit(text, LIMIT_VARIABLE), limit_is_stated=True, lower=lower)


class CacheChoice:
    """Opens caches and tells, in a sentence each, where it had to fall back on something lesser."""

    def __init__(
        self,
        default_directory: Path,
        explicit: Path | None,
        tell: Callable[[str], None],
        settings: CacheSettings | None = None,
    ) -> None:
        """`explicit` is the directory of objects that the user asked for; otherwise it is below
        `default_directory`. `settings` are those of the environment by default."""
        self.directory = explicit or default_directory / OBJECTS_NAME
        self.settings = settings or CacheSettings.from_environment()
        self._is_explicit = explicit is not None
        self._tell = tell
        self._private: Cache | None = None

    @property
    def quota(self) -> Quota | None:
        """The limit that holds for the directory. One that nobody stated holds only for a cache that we began: a site
        that has filled a shared one with its own tools would not want half of it removed."""
        limit = self.settings.limit
        if limit is None:
            return None
        is_ours = not self._is_explicit or begins_or_began_with_us(self.directory)
        return Quota(limit) if is_ours or self.settings.limit_is_stated else None

    def open(self) -> list[Cache]:
        """The caches to use, the first of which can be written to.

        StorageError when the explicit one cannot be used, or nothing at all can be written."""
        try:
            return [self._own(), *self._lower(self.directory)]
        except StorageError as error:
            if self._is_explicit:
                raise
            private = self._private_cache()
            self._tell(f"{error}; what is fetched is kept until this ends only, in {private.root}")
            readable = os.access(self.directory, os.R_OK | os.X_OK)
            own = [self._read_only(self.directory, private.root)] if readable else []
            return [private, *own, *self._lower(private.root)]

    def open_as_it_is(self) -> list[Cache]:
        """The same for whoever fills the cache for later: no private one steps in.

        StorageError when nothing can be written to the directory."""
        return [self._own(), *self._lower(self.directory)]

    def spare(self, error: StorageError) -> Cache | None:
        """A private cache for when the first one takes no more; None when there is none that would take more."""
        if self._private is not None:
            return None
        try:
            if os.stat(tempfile.gettempdir()).st_dev == os.stat(self.directory).st_dev:
                return None
            private = self._private_cache()
        except (OSError, StorageError):
            return None
        self._tell(f"{error}; what else is fetched is kept until this ends only, in {private.root}")
        return private

    def _own(self) -> Cache:
        if _is_read_only(self.directory):
            raise storage_error(OSError(errno.EROFS, os.strerror(errno.EROFS)), str(self.directory))
        return Cache.create(self.directory, tell=self._tell, quota=self.quota)

    def _read_only(self, directory: Path, first: Path) -> Cache:
        return Cache(directory, tell=self._tell, read_only=True, noted_in=first)

    def _lower(self, first: Path) -> list[Cache]:
        """The caches below the one at `first`, which notes what proves their files."""
        found = []
        for directory in self.settings.lower:
            if os.access(directory, os.R_OK | os.X_OK) and directory.is_dir():
                found.append(self._read_only(directory, first))
            else:
                self._tell(f"the cache {directory} cannot be read; what it holds is fetched from a server")
        return found

    def _private_cache(self) -> Cache:
        _remove_abandoned()
        try:
            root = Path(tempfile.mkdtemp(prefix=f"{_PRIVATE_PREFIX}{os.getuid()}-{os.getpid()}-"))
        except OSError as error:
            raise StorageError(
                what=f"{self.directory} and every directory for temporary files",
                problem=f"cannot be written ({error.strerror})",
                hint="name a directory that can be written with `--cache DIR`",
            ) from error
        quota = Quota(self.settings.limit) if self.settings.limit is not None else None
        self._private = Cache.create(root, tell=self._tell, quota=quota)
        weakref.finalize(self, _remove_own, root, os.getpid())
        return self._private


def remove_private_caches(process: int) -> None:
    """Takes away the private caches of the process of this number, which has ended or is about to: `os._exit` and
    `kill -9` leave them behind."""
    for root in _private_roots(str(process)):
        shutil.rmtree(root, ignore_errors=True)


def _private_roots(process: str) -> Iterator[Path]:
    """The private caches of this user's processes whose numbers match the pattern `process`."""
    own = os.getuid()
    for root in Path(tempfile.gettempdir()).glob(f"{_PRIVATE_PREFIX}{own}-{process}-*"):
        # Another process may take it away at this moment.
        with suppress(FileNotFoundError):
            if root.lstat().st_uid == own:
                yield root


def _is_read_only(directory: Path) -> bool:
    """Whether `directory` is there, on a file system that takes in nothing."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _remove_own(root: Path, process: int) -> None:
    # A forked child has a copy of us, and must leave its parent's files alone.
    if os.getpid() == process:
        shutil.rmtree(root, ignore_errors=True)


def _remove_abandoned() -> None:
    """Takes away private caches of this user's processes that were killed."""
    for root in _private_roots("*"):
        process = root.name.removeprefix(_PRIVATE_PREFIX).split("-")[1]
        if process.isdecimal() and not Path("/proc", process).exists():
            shutil.rmtree(root, ignore_errors=True)
