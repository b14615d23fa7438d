"""The bytes behind a repository's digests: from the cache, or from a server by way of the cache.

Every object is checked against its digest before anything uses it. A server that does not have an object, cannot be
reached, or sends other bytes is passed over for the next one, and the one that answered is asked first from then on.
Within a process an object is downloaded once, however many threads ask for it; several processes may download the same
object, which is harmless.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from outcrop.client.cache import Cache, unwritable
from outcrop.client.catalog_file import open_catalog
from outcrop.client.content import Content, ExternalPlace
from outcrop.client.download import Failure, download
from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import MissingCapability, OutcropError, StorageError
from outcrop.progress import SILENT, Progress
from outcrop.storage.interface import ReadableStore

BATCH_CONTENTS = 4096
"""How many objects are planned at once: enough to keep all connections busy, little enough to hold in memory."""

_ATTEMPTS_AGAINST_EVICTION = 3
"""An object can leave a shared cache between its download and its use. Three times in a row is no coincidence."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a file's bytes: where it begins, how long it is (bytes, plain), the object that holds it."""

    offset: int
    size: int
    object: ObjectName
    compression: Compression
    external: ExternalPlace | None = None

    @property
    def content(self) -> Content:
        return Content(self.object, self.compression, self.size, self.external)


def catalog_content(digest: Digest, size: int) -> Content:
    """The content of a catalog; a `size` of 0 stands for one that its parent does not know."""
    return Content(ObjectName(digest, ObjectKind.CATALOG), Compression.ZLIB, size or None)


class Contents:
    """The contents of one repository, from `servers` by way of `caches`.

    `servers` are in order of preference, `external` hold external files. The first of `caches` takes in what is
    fetched, the others are read only. `spare_cache` is asked for a new first cache when nothing can be written to the
    present one. `tell` is told, in a sentence, of everything that was mended on the way.
    """

    def __init__(
        self,
        servers: Sequence[ReadableStore],
        caches: Sequence[Cache],
        *,
        external: Sequence[ReadableStore] = (),
        spare_cache: Callable[[StorageError], Cache | None] = lambda _error: None,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._servers = list(servers)
        self._external = list(external)
        self._caches = list(caches)
        self._spare_cache = spare_cache
        self._tell = tell
        self._lock = threading.Lock()
        self._coming: dict[bytes, threading.Event] = {}
        self._sound_catalogs: set[Digest] = set()

    @property
    def server(self) -> ReadableStore:
        """The server that is asked first."""
        return self._servers[0]

    def open(self, piece: Piece) -> int:
        """A descriptor of the file that holds the bytes of `piece`, fetched if need be. The caller closes it."""
        return self._open(piece.content)

    def open_cached(self, piece: Piece) -> int | None:
        """A descriptor as `open` gives it, None where that would take a download."""
        return self._open_cached(piece.content)

    def local_file(self, piece: Piece) -> Path:
        """Where the bytes of `piece` lie, fetched if need be. A shared cache may drop the file at any time after."""
        return self._local_file(piece.content)

    def ensure(self, pieces: Iterable[Piece], progress: Progress = SILENT) -> None:
        """Fetches all of `pieces` that are not here, many at once; `progress` advances by their plain bytes."""
        remaining = iter(pieces)
        while batch := [piece.content for piece in islice(remaining, BATCH_CONTENTS)]:
            self._obtain(batch, progress)

    def ensure_catalogs(self, references: Iterable[CatalogReference]) -> None:
        """Fetches the catalogs that are not here, many at once."""
        self._obtain([catalog_content(reference.digest, reference.size) for reference in references], SILENT)

    def catalog(self, digest: Digest, size: int, what: str) -> Catalog:
        """The catalog `digest`, open for reading; `size` in bytes, 0 if unknown; `what` names it in errors."""
        content = catalog_content(digest, size)
        for _ in range(_ATTEMPTS_AGAINST_EVICTION):
            path = self._local_file(content)
            try:
                catalog = open_catalog(path, what, known_sound=digest in self._sound_catalogs)
            except StorageError:
                if path.exists():
                    raise
            else:
                self._sound_catalogs.add(digest)
                return catalog
        raise _vanished(content)

    def document(self, name: ObjectName) -> bytes:
        """The whole object `name` inflated: a certificate, a history, a meta-information."""
        descriptor = self._open(Content(name, Compression.ZLIB, None))
        with open(descriptor, "rb") as file:
            return file.read()

    def close(self) -> None:
        """Lets go of the servers' connections."""
        for server in (*self._servers, *self._external):
            server.close()

    def _open(self, content: Content) -> int:
        for _ in range(_ATTEMPTS_AGAINST_EVICTION):
            descriptor = self._open_cached(content)
            if descriptor is not None:
                return descriptor
            self._obtain([content], SILENT)
        raise _vanished(content)

    def _open_cached(self, content: Content) -> int | None:
        for cache in self._caches:
            descriptor = cache.open(content)
            if descriptor is not None:
                return descriptor
        return None

    def _local_file(self, content: Content) -> Path:
        for _ in range(_ATTEMPTS_AGAINST_EVICTION):
            for cache in self._caches:
                if cache.holds(content):
                    return Path(os.fsdecode(cache.path(content)))
            self._obtain([content], SILENT)
        raise _vanished(content)

    def _obtain(self, contents: Sequence[Content], progress: Progress) -> None:
        """Makes all of `contents` present. What another thread is fetching already is waited for."""
        own: list[Content] = []
        others: list[tuple[Content, threading.Event]] = []
        try:
            for content in {content.key: content for content in contents}.values():
                if any(cache.holds(content) for cache in self._caches):
                    progress.advance(content.size or 0)
                    continue
                with self._lock:
                    coming = self._coming.get(content.key)
                    if coming is None:
                        self._coming[content.key] = threading.Event()
                        own.append(content)
                    else:
                        others.append((content, coming))
            self._fetch(own, progress)
        finally:
            with self._lock:
                ended = [self._coming.pop(content.key) for content in own]
            for event in ended:
                event.set()
        for content, event in others:
            event.wait()
            # If the other thread failed, this one tries for itself and has the error as its own.
            self._obtain([content], progress)

    def _fetch(self, contents: list[Content], progress: Progress) -> None:
        internal = [content for content in contents if content.external is None]
        self._fetch_from(self._servers, internal, progress)
        external = [content for content in contents if content.external is not None]
        if external and not self._external:
            raise MissingCapability(
                what=external[0].shown,
                problem="no server for external files is known",
                hint="name it with `--external URL`, or as `external_servers` in the configuration of the repository",
            )
        self._fetch_from(self._external, external, progress)

    def _fetch_from(self, servers: list[ReadableStore], contents: list[Content], progress: Progress) -> None:
        left = contents
        first: Failure | None = None
        for server in list(servers):
            if not left:
                break
            failures = self._download(server, left, progress)
            if failures and first is None:
                first = failures[0]
            elif first is not None and len(failures) < len(left):
                self._prefer(servers, server, first.error)
            left = [failure.content for failure in failures]
        if left and first is not None:
            raise first.error

    def _download(self, server: ReadableStore, contents: list[Content], progress: Progress) -> list[Failure]:
        """Downloads from one server. When the cache can take no more, a spare one steps in, once."""
        failures = download(server, contents, self._caches[0], progress)
        full = [failure for failure in failures if failure.of_cache]
        if not full:
            return failures
        error = full[0].error
        spare = self._spare_cache(error) if isinstance(error, StorageError) and unwritable(error) else None
        if spare is None:
            raise error
        self._caches.insert(0, spare)
        again = download(server, [failure.content for failure in full], spare, progress)
        for failure in again:
            if failure.of_cache:
                raise failure.error
        return again + [failure for failure in failures if not failure.of_cache]

    def _prefer(self, servers: list[ReadableStore], server: ReadableStore, reason: OutcropError) -> None:
        with self._lock:
            if servers[0] is not server:
                self._tell(f"{server.address} is asked first from now on: {reason}")
                servers.remove(server)
                servers.insert(0, server)


def _vanished(content: Content) -> StorageError:
    return StorageError(
        what=content.shown,
        problem="disappears from the cache as soon as it is there",
        hint="somebody empties the cache, or it is too small; choose another with `--cache DIR`",
    )
