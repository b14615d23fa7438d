"""A tree in memory that can be mounted: its catalogs are real ones, its objects are files in a directory."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path

from outcrop.client.contents import Piece
from outcrop.client.mount.listing import Listing, listing_of
from outcrop.client.mount.tree import About, CatalogInformation
from outcrop.client.network.state import NetworkState
from outcrop.client.network.traffic import Amount
from outcrop.cvmfs.catalog_edit import EditableCatalog, nested_mountpoint, nested_root
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ancestors, is_below
from outcrop.cvmfs.variant import expand
from outcrop.errors import NetworkError

NETWORK = NetworkState(
    servers=("http://localhost", "http://far"), proxy="http://proxy:3128", proxies=("http://proxy:3128", "DIRECT"),
    timeout=5.0, timeout_direct=10.0, received=Amount(bytes=5000, objects=3, seconds=0.5),
)  # fmt: skip
ABOUT = About("fake.example.org", 7, "ab" * 20, tag="v1", network=NETWORK, public_keys="KEY\n")
MTIME, MTIME_NS = 1_500_000_000, 123_456_789
DIRECTORY = Entry(b"", stat.S_IFDIR | 0o755, size=4096, linkcount=2, mtime=MTIME)


@dataclass
class FakeTree:
    """Entries by path, contents by digest.

    Objects in `remote` are not in the cache: to open them, `network` must be set, and they fail while `broken`.
    """

    directory: Path
    settings: Mapping[bytes, bytes] = field(default_factory=dict)
    entries: dict[bytes, Entry] = field(default_factory=lambda: {b"": DIRECTORY})
    layouts: dict[bytes, tuple[Piece, ...]] = field(default_factory=dict)
    nested: set[bytes] = field(default_factory=lambda: {b""})
    remote: set[Digest] = field(default_factory=set)
    network: threading.Event = field(default_factory=threading.Event)
    broken: bool = False
    fetches: int = 0
    listings: int = 0
    fetched_ahead: list[Digest] = field(default_factory=list)
    told: tuple[str, ...] = ()
    about: About = ABOUT
    next: FakeTree | None = None
    unreachable: bool = False
    released: bool = False
    known_at_take_over: Mapping[bytes, str] | None = None

    def put(self, path: bytes, entry: Entry) -> None:
        """Adds `entry`, and the directories that lead to it."""
        for above in ancestors(path)[1:]:
            if above not in self.entries:
                self.put(above, DIRECTORY)
        self.entries[path] = replace(entry, name=path.rpartition(b"/")[2])

    def put_file(self, path: bytes, content: bytes, mode: int = 0o644) -> Entry:
        """Adds a file with `content`."""
        digest = self._store(content)
        entry = Entry(b"", stat.S_IFREG | mode, size=len(content), mtime=MTIME, mtime_ns=MTIME_NS, digest=digest)
        self.put(path, entry)
        return self.entries[path]

    def put_chunked(self, path: bytes, chunks: Sequence[bytes]) -> None:
        """Adds a file that consists of `chunks`."""
        pieces: list[Piece] = []
        offset = 0
        for chunk in chunks:
            name = ObjectName(self._store(chunk), ObjectKind.CHUNK)
            pieces.append(Piece(offset, len(chunk), name, Entry(b"", stat.S_IFREG).compression))
            offset += len(chunk)
        self.layouts[path] = tuple(pieces)
        self.put(path, Entry(b"", stat.S_IFREG | 0o644, size=offset, marks=Mark.CHUNKED))

    def put_link(self, path: bytes, target: bytes) -> None:
        """Adds a symbolic link."""
        self.put(path, Entry(b"", stat.S_IFLNK | 0o777, size=len(target), symlink=target))

    def nest(self, path: bytes) -> None:
        """Gives the directory `path` a catalog of its own."""
        self.nested.add(path)
        self.entries[path] = nested_mountpoint(self.entries[path])

    def _store(self, content: bytes) -> Digest:
        digest = Digest.of(content)
        (self.directory / digest.text).write_bytes(content)
        return digest

    def root(self) -> Entry:
        return self.entries[b""]

    @contextmanager
    def listing(self, mountpoint: bytes) -> Iterator[Listing]:
        self.listings += 1
        yield listing_of(self._catalog(mountpoint), mountpoint)

    def _catalog(self, mountpoint: bytes) -> EditableCatalog:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        root = self.entries[mountpoint]
        catalog = EditableCatalog.create(connection, mountpoint, nested_root(root) if mountpoint else root)
        for path, entry in self.entries.items():
            if path not in (b"", mountpoint) and self._mountpoint_above(path) == mountpoint:
                catalog.put(path, entry)
        catalog.finish(revision=1, now=MTIME, previous=None)
        return catalog

    def _mountpoint_above(self, path: bytes) -> bytes:
        return next(above for above in reversed(ancestors(path)) if above in self.nested)

    def symlink_target(self, entry: Entry) -> bytes:
        return expand(entry.symlink, self.settings)

    def pieces(self, path: bytes, entry: Entry) -> Sequence[Piece]:
        if path in self.layouts:
            return self.layouts[path]
        assert entry.digest is not None
        return (Piece(0, entry.size, ObjectName(entry.digest, ObjectKind.FILE), entry.compression),)

    def open_cached(self, piece: Piece) -> int | None:
        if piece.object.digest in self.remote:
            return None
        return os.open(self.directory / piece.object.digest.text, os.O_RDONLY)

    def read_cached(self, piece: Piece, into: memoryview) -> memoryview | None:
        descriptor = self.open_cached(piece)
        if descriptor is None:
            return None
        with open(descriptor, "rb") as file:
            found = file.readinto(into[: piece.size])
        return into[:found] if found == piece.size else None

    def open_piece(self, piece: Piece) -> int:
        if piece.object.digest in self.remote:
            self.fetches += 1
            assert self.network.wait(timeout=30)
            if self.broken:
                raise NetworkError(what="http://localhost", problem="does not answer")
            self.remote.discard(piece.object.digest)
        return os.open(self.directory / piece.object.digest.text, os.O_RDONLY)

    def catalog(self, path: bytes) -> CatalogInformation:
        mountpoint = path if path in self.nested else self._mountpoint_above(path)
        catalog = self._catalog(mountpoint)
        return CatalogInformation(mountpoint, self._digest(mountpoint), catalog.counters)

    def _digest(self, mountpoint: bytes) -> str:
        """Changes with everything at and below `mountpoint`, as that of a real catalog does."""
        everything = sorted(self.entries.items(), key=itemgetter(0))
        below = [(path, entry, self.layouts.get(path)) for path, entry in everything if is_below(path, mountpoint)]
        return Digest.of(repr(below).encode()).text

    def catalogs_loaded(self) -> int:
        return self.listings

    def fetch(self, pieces: Sequence[Piece]) -> None:
        self.fetched_ahead += [piece.object.digest for piece in pieces]
        for piece in pieces:
            os.close(self.open_piece(piece))

    def metainfo(self) -> bytes | None:
        return None

    def notices(self) -> Sequence[str]:
        return self.told

    def newer(self) -> FakeTree | None:
        if self.unreachable:
            raise NetworkError(what="http://localhost", problem="does not answer")
        return self.next

    def takes_over(self, catalogs: Mapping[bytes, str]) -> None:
        self.known_at_take_over = catalogs

    def release(self) -> None:
        self.released = True

    def successor(self) -> FakeTree:
        """A copy to make the next revision of; `newer` gives it."""
        self.next = replace(
            self, entries=dict(self.entries), layouts=dict(self.layouts), nested=set(self.nested), fetched_ahead=[],
            about=replace(self.about, revision=self.about.revision + 1), next=None, released=False,
        )  # fmt: skip
        return self.next
