"""Every object of a cache against what proves it, resumable and beside running readers.

How far it is, is kept in `.outcrop/verification`, one directory of objects at a time. Where nothing can be written
there, it begins anew each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outcrop.client.cache.bookkeeping import bookkeeping
from outcrop.client.cache.checksum import attribute_of
from outcrop.client.cache.checksum_book import ChecksumBook
from outcrop.client.cache.layout import PREFIXES, digest_of
from outcrop.client.cache.proof import (
    Proof,
    SizesByDigest,
    Verdict,
    examine,
    is_database,
    sizes_in_catalog,
)
from outcrop.client.cache.scan import Stored, all_stored, remove, stored_objects
from outcrop.cvmfs.digest import Digest
from outcrop.errors import storage_error
from outcrop.progress import SILENT, Progress

_FILE_NAME = "verification"


@dataclass(frozen=True, slots=True)
class DamagedObject:
    """An object that is not what its name says, and why."""

    digest: str
    path: str
    problem: str


class Verification(msgspec.Struct):
    """What a verification has found so far: objects and bytes on disk looked at, and how many are of which verdict.
    `done` are directories. It is kept as JSON while it is not at its end."""

    done: int = 0
    objects: int = 0
    bytes: int = 0
    sound: int = 0
    proven: int = 0
    unproven: int = 0
    damaged: list[DamagedObject] = msgspec.field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return self.done == len(PREFIXES)


class Verifier:
    """Verifies the cache `root`. With `repair`, damaged objects are removed, so that they are fetched again when they
    are needed, and those that their digest proves get the checksum they lack; `removed` is told the size of each."""

    def __init__(self, root: Path, *, repair: bool, removed: Callable[[Digest], None] | None = None) -> None:
        self._root = os.fsencode(root)
        self._record = Path(os.fsdecode(bookkeeping(self._root))) / _FILE_NAME
        self._book = ChecksumBook(self._root)
        self._repair = repair
        self._removed = removed

    def earlier(self) -> Verification | None:
        """What an interrupted verification found; None where there is none to be continued."""
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._record.read_bytes(), type=Verification)
        return None

    def run(self, begun: Verification | None = None, progress: Progress = SILENT) -> Verification:
        """The whole verification, from where `begun` ended. StorageError where the cache cannot be read."""
        result = begun or Verification()
        try:
            sizes = self._stated_sizes(progress)
            progress.start("Verifying", len(PREFIXES), "steps")
            progress.advance(result.done)
            for prefix in PREFIXES[result.done :]:
                for one in stored_objects(self._root, prefix):
                    if isinstance(one, Stored):
                        self._verify(one, prefix, sizes, result)
                result.done += 1
                self._keep(result)
                progress.advance()
        except OSError as error:
            raise storage_error(error, os.fsdecode(self._root)) from error
        progress.finish()
        with suppress(OSError):
            self._record.unlink()
        return result

    def _verify(self, one: Stored, prefix: str, sizes: SizesByDigest, result: Verification) -> None:
        digest = digest_of(prefix, os.path.basename(one.path))
        if digest is None:
            return
        try:
            proof = examine(one.path, digest, sizes, self._book)
        except FileNotFoundError:
            return
        result.objects += 1
        result.bytes += one.size
        match proof.verdict:
            case Verdict.SOUND:
                result.sound += 1
            case Verdict.PROVEN:
                result.proven += 1
            case Verdict.UNPROVEN:
                result.unproven += 1
            case Verdict.DAMAGED:
                result.damaged.append(DamagedObject(digest.text, os.fsdecode(one.path), proof.problem))
        if self._repair:
            self._mend(one, digest, proof)

    def _mend(self, one: Stored, digest: Digest, proof: Proof) -> None:
        if proof.verdict is Verdict.DAMAGED:
            if self._removed is not None:
                self._removed(digest)
            else:
                remove(one.path)
        elif proof.checksum:
            self._book.note(one.path, digest, proof.compression, proof.checksum)

    def _stated_sizes(self, progress: Progress) -> dict[bytes, frozenset[int]]:
        """What the sound catalogs in the cache say of objects without a checksum of their own."""
        found = [one for one in all_stored(self._root) if isinstance(one, Stored)]
        unmarked = {_raw(one) for one in found if _lacks_checksum(one.path)}
        stated: dict[bytes, frozenset[int]] = {}
        if not unmarked:
            return stated
        progress.start("Reading catalogs", len(found), "objects")
        for one in found:
            if is_database(one.path) and self._is_proven(one):
                for raw, size in sizes_in_catalog(one.path):
                    if raw in unmarked:
                        stated[raw] = stated.get(raw, frozenset()) | {size}
            progress.advance()
        progress.finish()
        return stated

    def _is_proven(self, one: Stored) -> bool:
        digest = digest_of(os.fsdecode(one.name[:2]), one.name[3:])
        if digest is None:
            return False
        with suppress(FileNotFoundError):
            return examine(one.path, digest, {}, self._book).verdict in (Verdict.SOUND, Verdict.PROVEN)
        return False

    def _keep(self, result: Verification) -> None:
        temporary = self._record.with_suffix(".new")
        with suppress(OSError):
            temporary.write_bytes(msgspec.json.encode(result))
            temporary.replace(self._record)


def _raw(one: Stored) -> bytes:
    digest = digest_of(os.fsdecode(one.name[:2]), one.name[3:])
    return digest.raw if digest is not None else b""


def _lacks_checksum(path: bytes) -> bool:
    with suppress(OSError):
        return attribute_of(path) is None
    return False
