"""The bytes behind a repository's digests: from the cache, or from a server by way of the cache.

Every object is checked against its digest before anything uses it. A server that does not have an object, cannot be
reached, or sends other bytes is passed over for the next one, and the one that answered is asked first from then on;
`outcrop.client.network.route` has the rules. An object is downloaded once, however many threads and processes ask for
it at the same time (`outcrop.client.claims`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from outcrop.client.arrivals import Arrivals
from outcrop.client.cache import TRANSACTION, Cache, unwritable
from outcrop.client.catalog_file import open_catalog
from outcrop.client.claims import Claims, Waiting
from outcrop.client.content import Content, ExternalPlace
from outcrop.client.download import Downloaded, Landed, bring
from outcrop.client.network.servers import Servers
from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import MissingCapability, StorageError
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

    `servers` are in order of preference, `external` hold external files; `Servers` say by which ways they are reached,
    a plain sequence is reached as its stores were opened. The first of `caches` takes in what is fetched, the others
    are read only. `spare_cache` is asked for a new first cache when nothing can be written to the present one. `tell`
    is told, in a sentence, of everything that was mended on the way. `waiting` says how long another process that
    brings objects of so many bytes is waited for.
    """

    def __init__(
        self,
        servers: Sequence[ReadableStore] | Servers,
        caches: Sequence[Cache],
        *,
        external: Sequence[ReadableStore] | Servers = (),
        spare_cache: Callable[[StorageError], Cache | None] = lambda _error: None,
        tell: Callable[[str], None] = lambda _text: None,
        waiting: Callable[[int], Waiting] = Waiting,
    ) -> None:
        self._servers = servers if isinstance(servers, Servers) else Servers(servers, tell=tell)
        self._external = external if isinstance(external, Servers) else Servers(external, tell=tell)
        self._caches = list(caches)
        self._spare_cache = spare_cache
        self._waiting = waiting
        self._coming = Arrivals()
        self._sound_catalogs: set[Digest] = set()

    @property
    def servers(self) -> Servers:
        """The servers, and how they are reached."""
        return self._servers

    @property
    def external_servers(self) -> Servers:
        """The servers of external files, and how they are reached."""
        return self._external

    @property
    def server(self) -> ReadableStore:
        """The server that is asked first."""
        return self._servers.first

    def open(self, piece: Piece) -> int:
        """A descriptor of the file that holds the bytes of `piece`, fetched if need be. The caller closes it."""
        return self._open(piece.content)

    def open_cached(self, piece: Piece) -> int | None:
        """A descriptor as `open` gives it, None where that would take a download."""
        return self._open_cached(piece.content)

    def read_cached(self, piece: Piece, into: memoryview) -> memoryview | None:
        """The bytes of `piece`, in the beginning of `into`, None where that would take a download."""
        content = piece.content
        for cache in self._caches:
            data = cache.read(content, into)
            if data is not None:
                return data
        return None

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

    def keep_catalogs(self, digests: Iterable[Digest]) -> None:
        """Of the catalogs that have been used, only `digests` need stay in the caches from now on."""
        kept = [catalog_content(digest, 0) for digest in digests]
        for cache in self._caches:
            cache.keep_pinned(kept)

    def document(self, name: ObjectName) -> bytes:
        """The whole object `name` inflated: a certificate, a history, a meta-information."""
        descriptor = self._open(Content(name, Compression.ZLIB, None))
        with open(descriptor, "rb") as file:
            return file.read()

    def close(self) -> None:
        """Lets go of the servers' connections, and of what is pinned in the caches."""
        self._servers.close()
        self._external.close()
        for cache in self._caches:
            cache.close()

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
        own: dict[bytes, Content] = {}
        others: dict[bytes, Content] = {}

        def landed(content: Content) -> None:
            # Whoever waits for this one need not wait for the others.
            key = content.key
            own.pop(key, None)
            self._coming.ended(key)
            progress.advance(content.size or 0)

        try:
            for key, content in {content.key: content for content in contents}.items():
                if any(cache.holds(content) for cache in self._caches):
                    progress.advance(content.size or 0)
                elif self._coming.begin(key):
                    own[key] = content
                else:
                    others[key] = content
            self._fetch(list(own.values()), landed)
        finally:
            for key in own:
                self._coming.ended(key)
        for key, content in others.items():
            self._coming.wait(key)
            # If the other thread failed, this one tries for itself and has the error as its own.
            self._obtain([content], progress)

    def _fetch(self, contents: list[Content], landed: Landed) -> None:
        self._fetch_from(self._servers, [content for content in contents if content.external is None], landed)
        external = [content for content in contents if content.external is not None]
        if external and not len(self._external):
            raise MissingCapability(
                what=external[0].shown,
                problem="no server for external files is known",
                hint="name it with `--external URL`, or as `external_servers` in the configuration of the repository",
            )
        self._fetch_from(self._external, external, landed)

    def _fetch_from(self, servers: Servers, contents: list[Content], landed: Landed) -> None:
        """Brings `contents` into the cache. What another process is bringing is waited for, though not for ever."""
        left = contents
        waiting: Waiting | None = None
        may_wait = True
        while left:
            downloaded = self._bring(servers, left, landed, claimed=may_wait)
            if downloaded.failures:
                raise downloaded.failures[0].error
            if waiting is None:
                waiting = self._waiting(max(content.size or 0 for content in left))
            elif len(downloaded.elsewhere) < len(left):
                waiting.something_came()
            left = downloaded.elsewhere
            may_wait = not left or waiting.goes_on()

    def _bring(self, servers: Servers, contents: list[Content], landed: Landed, *, claimed: bool) -> Downloaded:
        """Downloads into the first cache. When it can take no more, a spare one steps in, once."""
        downloaded = self._bring_into(self._caches[0], servers, contents, landed, claimed=claimed)
        full = [failure for failure in downloaded.failures if failure.of_cache]
        if not full:
            return downloaded
        error = full[0].error
        spare = self._spare_cache(error) if isinstance(error, StorageError) and unwritable(error) else None
        if spare is None:
            raise error
        self._caches.insert(0, spare)
        again = self._bring_into(spare, servers, [failure.content for failure in full], landed, claimed=claimed)
        again.failures += [failure for failure in downloaded.failures if not failure.of_cache]
        again.elsewhere += downloaded.elsewhere
        return again

    def _bring_into(
        self, cache: Cache, servers: Servers, contents: list[Content], landed: Landed, *, claimed: bool
    ) -> Downloaded:
        if not claimed:
            return bring(servers, contents, cache, landed)
        with Claims(cache.root / TRANSACTION) as claims:
            return bring(servers, contents, cache, landed, claims)


def _vanished(content: Content) -> StorageError:
    return StorageError(
        what=content.shown,
        problem="disappears from the cache as soon as it is there",
        hint="somebody empties the cache, or it is too small; choose another with `--cache DIR`",
    )
