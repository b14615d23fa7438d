"""Everything a repository consists of, loaded once for all rules; what cannot be loaded is itself a finding."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from .catalog import Catalog, Reference, decode_catalog
from .database import Database, Text, Value, open_database
from .digests import Digest, decimal, optional_digest
from .envelope import Manifest, Whitelist, parse_manifest, parse_whitelist
from .findings import Violation, shown
from .rsa import PublicKey, public_key_from_pem
from .storage import ObjectError, Storage

MANIFEST, WHITELIST, REFLOG = ".cvmfspublished", ".cvmfswhitelist", ".cvmfsreflog"
_SNAPSHOT_MARK = ".cvmfs_last_snapshot"
_REFLOG_ROOT_CATALOG = 0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tag:
    """A row of the history's tags, in the types the database has."""

    name: Value
    digest: Value
    revision: Value
    timestamp: Value
    channel: Value
    description: Value
    size: Value
    branch: Value

    @property
    def shown(self) -> str:
        return self.name.shown if isinstance(self.name, Text) else repr(self.name)

    @property
    def digest_text(self) -> str:
        return self.digest.shown if isinstance(self.digest, Text) else ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A row of the reflog's refs, in the types the database has."""

    digest: Value
    kind: Value
    timestamp: Value

    @property
    def digest_text(self) -> str:
        return self.digest.shown if isinstance(self.digest, Text) else ""


@dataclass(frozen=True, slots=True)
class RootFacts:
    """The figures of a root catalog that tags, successors and the manifest must agree with."""

    size: int
    revision: int | None
    last_modified: int | None


@dataclass(slots=True)
class Inspection:
    """A repository as found, and the violations met while finding it."""

    directory: Path
    fqrn: str
    now: datetime
    storage: Storage
    public_keys: list[PublicKey] = field(default_factory=list)
    manifest: Manifest | None = None
    whitelist: Whitelist | None = None
    certificate: bytes | None = None
    metainfo: bytes | None = None
    history: Database | None = None
    tags: list[Tag] = field(default_factory=list)
    reflog: Database | None = None
    log: list[LogEntry] = field(default_factory=list)
    databases: list[Database] = field(default_factory=list)
    catalogs: dict[tuple[Digest, bytes], Catalog] = field(default_factory=dict)
    found: list[Violation] = field(default_factory=list)
    _facts: dict[Digest, RootFacts] = field(default_factory=dict)

    def open(self, where: str, image: bytes) -> Database:
        """A database that stays open until the inspection is closed; raises sqlite3.Error or ValueError."""
        database = open_database(where, image)
        self.databases.append(database)
        return database

    def close(self) -> None:
        for database in self.databases:
            database.close()

    @property
    def is_replica(self) -> bool:
        """A Stratum 1 keeps its own reflog, which the copied manifest knows nothing of."""
        return (self.directory / _SNAPSHOT_MARK).exists()

    @property
    def head(self) -> Catalog | None:
        """The root catalog that the manifest names."""
        root = self.manifest.digest("C") if self.manifest else None
        return self.catalogs.get((root, b"")) if root else None

    def child(self, reference: Reference) -> Catalog | None:
        """The nested catalog of a reference, if it could be loaded."""
        digest = optional_digest(reference.digest_text)
        return self.catalogs.get((digest, reference.path)) if digest else None

    def parents(self) -> Iterator[tuple[Catalog, Reference, Catalog]]:
        """Every loaded nested catalog with each catalog that refers to it."""
        for catalog in self.catalogs.values():
            for reference in catalog.nested:
                if child := self.child(reference):
                    yield catalog, reference, child

    def root_facts(self, digest: Digest) -> RootFacts:
        """Raises ObjectError, ValueError or sqlite3.Error where the catalog cannot be read."""
        if digest not in self._facts:
            image = self.storage.read(digest, "C")
            with closing(open_database(str(digest), image)) as database:
                properties = database.pairs("properties", "key", "value")
            texts = {key: value.shown for key, value in properties.items() if isinstance(value, Text)}
            revision, modified = decimal(texts.get("revision")), decimal(texts.get("last_modified"))
            self._facts[digest] = RootFacts(len(image), revision, modified)
        return self._facts[digest]

    def attempt(self, rule: str, where: str, action: Callable[[], _T]) -> _T | None:
        """The action's result, or nothing and a finding: the object's own rule where an object is to blame."""
        try:
            return action()
        except ObjectError as problem:
            self.found.append(Violation(problem.rule, where, str(problem)))
        except (OSError, ValueError, sqlite3.Error) as error:
            self.found.append(Violation(rule, where, f"cannot be read: {error}"))
        return None


def load(found: Inspection, public_keys: Sequence[bytes], *, all_revisions: bool) -> None:
    """Fills an inspection; never raises for what is in the repository."""
    directory = found.directory
    for number, pem in enumerate(public_keys, start=1):
        key = found.attempt("16.8", f"public key {number}", lambda pem=pem: public_key_from_pem(pem))  # type: ignore[misc]
        if key:
            found.public_keys.append(key)
    found.manifest = found.attempt("1.manifest", MANIFEST, lambda: parse_manifest((directory / MANIFEST).read_bytes()))
    found.whitelist = found.attempt("16.7", WHITELIST, lambda: parse_whitelist((directory / WHITELIST).read_bytes()))
    if found.manifest:
        found.certificate = _manifest_object(found, found.manifest, "X", "16.13")
        found.metainfo = _manifest_object(found, found.manifest, "M", "1.manifest")
        _load_history(found, found.manifest)
    if (directory / REFLOG).exists():
        _load_reflog(found)
    for root in _roots(found, all_revisions=all_revisions):
        _load_tree(found, root)


def _manifest_object(found: Inspection, manifest: Manifest, letter: str, rule: str) -> bytes | None:
    digest = manifest.digest(letter)
    if digest is None:
        return None
    return found.attempt(rule, f"{MANIFEST} {letter}", lambda: found.storage.read(digest, letter))


def _load_history(found: Inspection, manifest: Manifest) -> None:
    image = _manifest_object(found, manifest, "H", "5.history")
    if image is None:
        return
    where = f"history {manifest.fields['H']}"
    found.history = history = found.attempt("16.10", where, lambda: found.open(where, image))
    if history is None:
        return
    query = "SELECT name, hash, revision, timestamp, channel, description, size, branch FROM tags ORDER BY name"
    rows = found.attempt("5.history", where, lambda: history.rows(query))
    found.tags = [Tag(*row) for row in rows or ()]


def _load_reflog(found: Inspection) -> None:
    found.reflog = reflog = found.attempt(
        "16.10", REFLOG, lambda: found.open(REFLOG, (found.directory / REFLOG).read_bytes())
    )
    if reflog is None:
        return
    query = "SELECT hash, type, timestamp FROM refs ORDER BY rowid"
    rows = found.attempt("6.reflog", REFLOG, lambda: reflog.rows(query))
    found.log = [LogEntry(*row) for row in rows or ()]


def _roots(found: Inspection, *, all_revisions: bool) -> list[Digest]:
    texts = [found.manifest.fields.get("C")] if found.manifest else []
    if all_revisions:
        texts += [tag.digest_text for tag in found.tags]
        texts += [entry.digest_text for entry in found.log if entry.kind == _REFLOG_ROOT_CATALOG]
    return [digest for digest in dict.fromkeys(map(optional_digest, texts)) if digest]


def _load_tree(found: Inspection, root: Digest) -> None:
    pending = [(root, b"")]
    while pending:
        key = digest, mountpoint = pending.pop()
        if key in found.catalogs:
            continue
        catalog = _load_catalog(found, digest, mountpoint)
        if catalog is None:
            continue
        found.catalogs[key] = catalog
        for reference in catalog.nested:
            nested = optional_digest(reference.digest_text)
            # A path outside its parent is another rule's finding; following it could go round in circles.
            if nested and reference.path.startswith(mountpoint + b"/"):
                pending.append((nested, reference.path))


def _load_catalog(found: Inspection, digest: Digest, mountpoint: bytes) -> Catalog | None:
    where = f"catalog {shown(mountpoint)} ({digest})"
    image = found.attempt("16.11", where, lambda: found.storage.read(digest, "C"))
    if image is None:
        return None
    database = found.attempt("16.10", where, lambda: found.open(where, image))
    if database is None:
        return None
    return found.attempt("16.10", where, lambda: decode_catalog(where, mountpoint, digest, database))
