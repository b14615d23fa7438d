"""Undoes what a record of relocation says, without writing anything: the repository's own bytes must come out.

A record names every place that was changed in a file, so each byte of a relocated file is either the repository's or
one that the new prefix put there. Where undoing gives the repository's digest, the file is exactly what relocation made
of the repository's, and nothing else was done to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from outcrop.client.pack.image import RECORD_PATH
from outcrop.client.pack.manifest import PackManifest
from outcrop.client.relocate.changes import Change
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.record import Record, decode_record
from outcrop.client.relocate.rewrite import offsets, restored, slot
from outcrop.cvmfs.paths import ROOT, RepositoryPath

_READ_BYTES = 1024 * 1024


class Readable(Protocol):
    """A stream of plain bytes that gives as many as it is asked for, until it ends."""

    def read(self, size: int = ..., /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """The record that was found in the directory `base` of an image, with the SHA-256 of its bytes, and its changes by
    paths from the image's root on."""

    base: RepositoryPath
    record: Record
    sha256: str
    changes: Mapping[RepositoryPath, Change]

    @classmethod
    def parse(cls, base: RepositoryPath, data: bytes) -> FoundRecord:
        """The record whose file has the bytes `data`; FormatError where they are none."""
        record = decode_record(data)
        changes = {RepositoryPath(base + b"/" + change.path): change for change in record.changes}
        return cls(base, record, hashlib.sha256(data).hexdigest(), changes)

    @property
    def path(self) -> RepositoryPath:
        """Where it was found."""
        return RepositoryPath(self.base + RECORD_PATH)

    def undone_target(self, path: RepositoryPath, target: bytes) -> bytes:
        """What the link at `path`, which leads to `target`, led to before it was changed; empty if no record says."""
        change = self.changes.get(path)
        before = None if change is None else restored(target, change, self.record.original, self.record.states)
        return b"" if before is None else bytes(before[:])

    def undone_digest(self, path: RepositoryPath, file: Readable) -> str:
        """The SHA-256 that the file at `path` had before it was changed; empty if its bytes are not what the record
        says of it."""
        change = self.changes.get(path)
        return "" if change is None else _undone(file, change, self.record.original, self.record.current)


def _undone(file: Readable, change: Change, original: Prefix, current: Prefix) -> str:
    state = hashlib.sha256()
    new = slot(change, original, current)
    position = size = 0
    for offset in offsets(change, original, current):
        if offset < position or not _pass_on(file, offset - position, state):
            return ""
        if file.read(len(new)) != new:
            return ""
        state.update(original.path)
        size += offset - position + len(original)
        position = offset + len(new)
    while data := file.read(_READ_BYTES):
        state.update(data)
        size += len(data)
    return state.hexdigest() if size == change.size else ""


def _pass_on(file: Readable, count: int, state: hashlib._Hash) -> bool:
    """Digests the next `count` bytes; whether there were so many."""
    while count:
        data = file.read(min(count, _READ_BYTES))
        if not data:
            return False
        state.update(data)
        count -= len(data)
    return True


def record_of(records: Mapping[RepositoryPath, bytes], manifest: PackManifest) -> FoundRecord | None:
    """The record among `records` (bytes by their path in the image) that is about the repository in it: the one in its
    root, or in the image's. FormatError where it is damaged.

    A file of that name which the repository itself has is not one."""
    published = {RepositoryPath(manifest.at + entry.path) for entry in manifest.entries}
    for base in (manifest.at, ROOT):
        path = RepositoryPath(base + RECORD_PATH)
        if path in records and path not in published:
            return FoundRecord.parse(base, records[path])
    return None
