"""What was stored before, so that it is neither read nor compressed again: a cache, whose loss costs time only.

Three things are remembered. A *file* by its device, inode, size, time of modification and time of change: while these
are what they were, so are its bytes: no program can set the time of change. A *content* by the digest of its plain
bytes: a copy of a file, a tree under another name. A *change* by a fingerprint of all that came in, with the root
catalog after which there was nothing left to do. What is remembered may have been collected as garbage since; whoever
uses it makes sure that the object is still there.

New knowledge waits until `save`, which belongs after the publication: what the store has not made durable yet is not to
be relied on after a crash.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import DIGEST_BYTES, Algorithm, Buffer, Digest
from outcrop.cvmfs.entry import Chunk
from outcrop.cvmfs.objects import ObjectKind

_RAW_DIGEST = "BLAKE3"
"""What names plain bytes: part of the settings, since an index with other names is of no use."""

SETTLED_NANOSECONDS = 2 * 10**9
"""A file that changed later than this before it was read is not remembered: a further change within the granularity of
the file system's clock would not show."""

MAXIMUM_BYTES = 2 * 1024**3
"""An index of this size (some fifteen million files) has most of its entries from trees that are long gone."""

_BUSY_SECONDS = 10
_CLOSE_SECONDS = 5.0
"""A statement takes milliseconds. An interruption in an unlucky moment can leave a lock to nobody."""
_DAMAGE = (sqlite3.DatabaseError, UnicodeError, MemoryError)
"""How SQLite and its binding say that a file is no sound database, or cannot be used."""
_CHUNK = struct.Struct(f"<QQ{DIGEST_BYTES}s")
_TABLES = """
CREATE TABLE IF NOT EXISTS {schema}.files (device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER,
  ctime_ns INTEGER, content BLOB, PRIMARY KEY (device, inode)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {schema}.changes (change BLOB PRIMARY KEY, root TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {schema}.contents (raw BLOB, kind TEXT, digest BLOB, PRIMARY KEY (raw, kind)) WITHOUT ROWID;
"""
_KNOWLEDGE = ("files", "contents", "changes")


class FileIdentity(NamedTuple):
    """What tells that a file on this machine is the one it was. Times in nanoseconds since 1970."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """The identity of the file that `status` is about."""
        inode = status.st_ino - 2**64 if status.st_ino >= 2**63 else status.st_ino  # SQLite's numbers have a sign
        return cls(status.st_dev, inode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def is_settled(self, now_ns: int) -> bool:
        """Whether a change after `now_ns` would show in the time of change."""
        return self.ctime_ns < now_ns - SETTLED_NANOSECONDS


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A file's bytes, stored. Either `digest` names its one object or `chunks` hold its pieces. `size` in bytes."""

    size: int
    compression: Compression
    digest: Digest | None
    chunks: tuple[Chunk, ...] = ()


def raw_digest(data: Buffer) -> bytes:
    """The name of plain bytes in this index."""
    return blake3(data).digest()


class ContentIndex:
    """The index in the file `path`, for contents that are stored as `settings` say; None keeps it in memory.

    `settings` is any text: an index that was made with another one is begun anew. Pickled, it is the same file opened
    again, without what is not saved."""

    def __init__(self, path: Path | None, settings: str, algorithm: Algorithm, compression: Compression) -> None:
        self._path = path
        self._settings = settings
        self._origin = f"{_RAW_DIGEST} {settings}"
        self._algorithm = algorithm
        self._compression = compression
        self._lock = threading.Lock()
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.executescript(_TABLES.format(schema="main"))
        self._attach()

    def __reduce__(self) -> tuple[type[ContentIndex], tuple[object, ...]]:
        return ContentIndex, (self._path, self._settings, self._algorithm, self._compression)

    def _attach(self) -> None:
        path = self._path
        try:
            if path is not None and path.is_file() and path.stat().st_size > MAXIMUM_BYTES:
                path.unlink()
            self._attach_file(str(path) if path else ":memory:")
        except (*_DAMAGE, OSError) as error:
            self._go_on_without(error)

    def _go_on_without(self, error: Exception) -> None:
        """Knows nothing from now on. The file, which gave the `error`, goes, unless others only keep it busy."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        if any(row[1] == "known" for row in self._database.execute("PRAGMA database_list")):
            self._database.execute("DETACH known")
        if self._path is not None and getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
            with suppress(OSError):
                self._path.unlink()
        self._attach_file(":memory:")

    def _attach_file(self, place: str) -> None:
        execute = self._database.execute
        execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        execute("ATTACH ? AS known", (place,))
        execute("PRAGMA known.synchronous = NORMAL")
        self._database.executescript(
            _TABLES.format(schema="known") + "CREATE TABLE IF NOT EXISTS known.settings (text TEXT);"
        )
        if not self._is_ours():
            execute("BEGIN IMMEDIATE")
            for table in (*_KNOWLEDGE, "settings"):
                execute(f"DELETE FROM known.{table}")
            execute("INSERT INTO known.settings VALUES (?)", (self._origin,))
            execute("COMMIT")

    def _is_ours(self) -> bool:
        """Whether the file was made with the settings of this index."""
        rows = self._database.execute("SELECT text FROM known.settings").fetchall()
        return rows == [(self._origin,)]

    def _known(self, query: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """The rows that `query` finds; none in a file that turns out to be damaged."""
        try:
            return self._database.execute(query, parameters).fetchall()
        except _DAMAGE as error:
            self._go_on_without(error)
            return []

    def files(self, identities: Sequence[FileIdentity]) -> list[StoredContent | None]:
        """What is known of each of these files."""
        by_inode: dict[tuple[int, int], tuple[FileIdentity, object]] = {}
        with self._lock:
            for device in {identity.device for identity in identities}:
                inodes = [identity.inode for identity in identities if identity.device == device]
                places = ", ".join("?" * len(inodes))
                rows = self._known(
                    "SELECT device, inode, size, mtime_ns, ctime_ns, content FROM known.files "
                    f"WHERE device = ? AND inode IN ({places})",
                    (device, *inodes),
                )
                by_inode.update({(row[0], row[1]): (FileIdentity(*row[:5]), row[5]) for row in rows})
        found = (by_inode.get((identity.device, identity.inode)) for identity in identities)
        return [
            self._decoded(one[1], identity.size) if one is not None and one[0] == identity else None
            for identity, one in zip(identities, found, strict=True)
        ]

    def contents(self, raws: Sequence[bytes], kind: ObjectKind) -> list[bytes | None]:
        """The digests of the objects that hold plain bytes with these digests."""
        places = ", ".join("?" * len(raws))
        known: dict[bytes, object] = {}
        with self._lock:
            for schema in ("known", "main"):
                rows = self._known(
                    f"SELECT raw, digest FROM {schema}.contents WHERE kind = ? AND raw IN ({places})",
                    (kind.value, *raws),
                )
                known.update(rows)
        found = [known.get(raw) for raw in raws]
        return [digest if isinstance(digest, bytes) and len(digest) == DIGEST_BYTES else None for digest in found]

    def note_files(self, files: Iterable[tuple[FileIdentity, StoredContent]]) -> None:
        """Remembers what files hold."""
        rows = [(*identity, _encoded(content)) for identity, content in files]
        with self._lock:
            self._database.executemany("INSERT OR REPLACE INTO main.files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def note_contents(self, contents: Iterable[tuple[bytes, bytes]], kind: ObjectKind) -> None:
        """Remembers which objects hold the plain bytes with these digests: plain digest first, then the object's."""
        rows = [(raw, kind.value, digest) for raw, digest in contents]
        with self._lock:
            self._database.executemany("INSERT OR REPLACE INTO main.contents VALUES (?, ?, ?)", rows)

    def is_made(self, change: bytes, root: Digest) -> bool:
        """Whether the `change` is contained in the revision with the catalog `root`."""
        with self._lock:
            rows = self._known("SELECT root FROM known.changes WHERE change = ?", (change,))
        return rows == [(root.text,)]

    def note_made(self, change: bytes, root: Digest) -> None:
        """Remembers that the `change` is contained in the revision with the catalog `root`."""
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO main.changes VALUES (?, ?)", (change, root.text))

    def save(self) -> None:
        """Keeps what is new for the next publications. An index that cannot be written is no reason to fail."""
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                for table in _KNOWLEDGE if self._is_ours() else ():
                    self._database.execute(f"INSERT OR REPLACE INTO known.{table} SELECT * FROM main.{table}")
                self._database.execute("COMMIT")
            except _DAMAGE as error:
                self._go_on_without(error)

    def forget(self) -> None:
        """Begins anew: what it said of some object was wrong."""
        with self._lock:
            try:
                for schema in ("main", "known"):
                    for table in _KNOWLEDGE:
                        self._database.execute(f"DELETE FROM {schema}.{table}")
            except _DAMAGE as error:
                self._go_on_without(error)

    def close(self) -> None:
        """Lets go of the files. Other threads may still be at it where an interruption kept anybody from waiting for
        them: SQLite is not closed under a statement of theirs, and their next one fails."""
        is_ours = self._lock.acquire(timeout=_CLOSE_SECONDS)
        try:
            self._database.close()
        finally:
            if is_ours:
                self._lock.release()

    def _decoded(self, content: object, size: int) -> StoredContent | None:
        """What `content` says of a file of `size` bytes; None if damage made nonsense of it."""
        if not isinstance(content, bytes) or (len(content) % _CHUNK.size and len(content) != DIGEST_BYTES):
            return None
        if len(content) == DIGEST_BYTES:
            return StoredContent(size, self._compression, Digest(self._algorithm, content))
        chunks = []
        end = 0
        for offset, length, raw in _CHUNK.iter_unpack(content):
            if offset != end:
                return None
            chunks.append(Chunk(offset, length, Digest(self._algorithm, raw)))
            end += length
        return StoredContent(size, self._compression, None, tuple(chunks)) if end == size else None


def _encoded(content: StoredContent) -> bytes:
    if content.digest is not None:
        return content.digest.raw
    return b"".join(_CHUNK.pack(chunk.offset, chunk.size, chunk.digest.raw) for chunk in content.chunks)
