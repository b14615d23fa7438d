"""Rules for the files as stored, the history and the reflog (sections 0, 5 and 6; 16.10, 16.11, 16.15)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from .database import Database, Table, Text, check_file, check_tables
from .digests import OBJECT_NAME, digest_of, optional_digest, parse_digest
from .findings import Violation, warning
from .inspection import MANIFEST, REFLOG, Inspection, Tag
from .storage import ObjectError

_DIRECTORIES = tuple(f"{number:02x}" for number in range(256))

_HISTORY_TABLES = (
    Table("properties", (("key", "TEXT"), ("value", "TEXT")), ("key",)),
    Table("branches", (("branch", "TEXT"), ("parent", "TEXT"), ("initial_revision", "INTEGER")), ("branch",)),
    Table(
        "tags",
        (
            ("name", "TEXT"),
            ("hash", "TEXT"),
            ("revision", "INTEGER"),
            ("timestamp", "INTEGER"),
            ("channel", "INTEGER"),
            ("description", "TEXT"),
            ("size", "INTEGER"),
            ("branch", "TEXT"),
        ),
        ("name",),
    ),
    Table("recycle_bin", (("hash", "TEXT"), ("flags", "INTEGER")), ("hash",)),
)
_REFLOG_TABLES = (
    Table("properties", (("key", "TEXT"), ("value", "TEXT")), ("key",)),
    Table("refs", (("hash", "TEXT"), ("type", "INTEGER"), ("timestamp", "INTEGER")), ("hash",)),
)
_LETTERS = {0: "C", 1: "X", 2: "H", 3: "M"}
"""Type letters of the objects that a reflog records, by its own type numbers."""


def rule_10_databases(repository: Inspection) -> Iterator[Violation]:
    """Every database was closed in rollback-journal mode before it was hashed, is whole, and encodes text as UTF-8."""
    for database in repository.databases:
        yield from check_file(database)


def rule_11_objects(repository: Inspection) -> Iterator[Violation]:
    """The manifest came last and no object was written over: all that is referenced is there, under its own digest.

    (An object that a catalog, the manifest, a tag or the reflog names and that is missing is reported under this
    rule where the reference is followed.)
    """
    for path in repository.storage.files():
        place = str(path.relative_to(repository.directory))
        match = OBJECT_NAME.fullmatch(path.name)
        if match is None or path.parent.name not in _DIRECTORIES or path.is_symlink() or not path.is_file():
            yield Violation("0.layout", place, "is no object")
            continue
        digest = parse_digest(path.parent.name + match["digest"])
        try:
            repository.storage.require_digest(digest, match["letter"])
        except ObjectError as problem:
            yield Violation(problem.rule, place, str(problem))


def section_0_layout(repository: Inspection) -> Iterator[Violation]:
    """All 256 object directories exist, so that the stock uploader can rename into them."""
    missing = [name for name in _DIRECTORIES if not (repository.directory / "data" / name).is_dir()]
    if missing:
        yield warning("0.layout", "data", f"{len(missing)} object directories are missing, such as {missing[0]}")


def section_5_history(repository: Inspection) -> Iterator[Violation]:
    """The history has its schema and name, and its tags name stored root catalogs by their size and revision.

    The tag `trunk`, where there is one, is what the manifest publishes, and `trunk-previous` is older.
    """
    history = repository.history
    if history is None:
        return
    yield from check_tables("5.history", history, _HISTORY_TABLES)
    yield from _identity("5.history", history, {"schema": "1.0", "schema_revision": "3", "fqrn": repository.fqrn})
    branches = {branch for (branch,) in history.rows("SELECT branch FROM branches")}
    if b"" not in branches:
        yield Violation("5.history", history.where, "no main branch ''")
    if history.rows("SELECT hash FROM recycle_bin"):
        yield warning("5.history", history.where, "the recycle bin is deprecated and not empty")
    for tag in repository.tags:
        where = f"tag {tag.shown}"
        for problem in _tag_values(tag):
            yield Violation("5.history", where, problem)
        if tag.branch not in branches:
            yield Violation("5.history", where, f"unknown branch {tag.branch!r}")
        yield from _tag_target(repository, tag)
    yield from _trunk(repository)


def _tag_values(tag: Tag) -> Iterator[str]:
    if not isinstance(tag.name, Text) or not tag.name or tag.name.split() != [bytes(tag.name)]:
        yield f"name {tag.name!r} is empty or has blanks"
    if not isinstance(tag.description, Text):
        yield f"description {tag.description!r} is no text"
    for name, number in (("revision", tag.revision), ("timestamp", tag.timestamp), ("size", tag.size)):
        if not isinstance(number, int) or number < 0:
            yield f"{name} {number!r} is no unsigned integer"
    if tag.channel != 0:
        yield f"channel {tag.channel!r} is not 0"


def _tag_target(repository: Inspection, tag: Tag) -> Iterator[Violation]:
    where, digest = f"tag {tag.shown}", optional_digest(tag.digest_text)
    if digest is None:
        return
    try:
        facts = repository.root_facts(digest)
    except ObjectError as problem:
        yield Violation("5.history", where, str(problem))
    except (ValueError, sqlite3.Error) as error:
        yield Violation("5.history", where, f"root catalog {digest} cannot be read: {error}")
    else:
        if tag.size != facts.size:
            yield Violation("5.history", where, f"size is {tag.size!r}, the root catalog has {facts.size} bytes")
        if tag.revision != facts.revision:
            yield Violation("5.history", where, f"revision is {tag.revision!r}, the root catalog's {facts.revision}")


def _trunk(repository: Inspection) -> Iterator[Violation]:
    tags = {tag.shown: tag for tag in repository.tags}
    trunk, previous = tags.get("trunk"), tags.get("trunk-previous")
    if trunk and repository.manifest and trunk.digest_text != repository.manifest.fields.get("C"):
        yield Violation("5.history", "tag trunk", "is not the root catalog of the manifest")
    revisions = [tag.revision for tag in (previous, trunk) if tag and isinstance(tag.revision, int)]
    if revisions != sorted(set(revisions)):
        yield Violation("5.history", "tag trunk-previous", f"revisions {revisions}: not before trunk")


def section_6_reflog(repository: Inspection) -> Iterator[Violation]:
    """The reflog has its schema and name, and every object it records is stored with the type it says."""
    reflog = repository.reflog
    if reflog is None:
        return
    yield from check_tables("6.reflog", reflog, _REFLOG_TABLES)
    yield from _identity("6.reflog", reflog, {"schema": "1.0", "schema_revision": "0", "fqrn": repository.fqrn})
    for entry in repository.log:
        where = f"{REFLOG} {entry.digest_text}"
        if not isinstance(entry.timestamp, int):
            yield Violation("6.reflog", where, f"timestamp {entry.timestamp!r} is no integer")
        letter = _LETTERS.get(entry.kind) if isinstance(entry.kind, int) else None
        digest = optional_digest(entry.digest_text)
        if letter is None:
            yield Violation("6.reflog", where, f"unknown type {entry.kind!r}")
        elif digest:
            try:
                repository.storage.require_digest(digest, letter)
            except ObjectError as problem:
                yield Violation("6.reflog", where, str(problem))


def rule_15_reflog_checksum(repository: Inspection) -> Iterator[Violation]:
    """Where there is a reflog, it records what the manifest names, and Y is the digest of the file as it lies there.

    A replica keeps a reflog of its own beside the original's manifest, so there Y means another file.
    """
    manifest, exists = repository.manifest, (repository.directory / REFLOG).exists()
    if manifest is None:
        return
    if not repository.is_replica:
        if exists and "Y" not in manifest.fields:
            yield Violation("16.15", MANIFEST, "no Y, but there is a reflog")
        if "Y" in manifest.fields and not exists:
            yield Violation("16.15", REFLOG, "is missing, but the manifest has a Y")
        checksum = manifest.digest("Y")
        if exists and checksum:
            content = (repository.directory / REFLOG).read_bytes()
            if digest_of(content, checksum.algorithm) != checksum:
                yield Violation("16.15", REFLOG, f"is not the file with digest {checksum}")
    if repository.reflog:
        recorded = {(entry.digest_text, entry.kind) for entry in repository.log}
        for kind, letter in _LETTERS.items():
            text = manifest.fields.get(letter)
            if text is not None and (text, kind) not in recorded:
                yield Violation("16.15", REFLOG, f"does not record the manifest's {letter} {text} as type {kind}")


def _identity(rule: str, database: Database, expected: dict[str, str]) -> Iterator[Violation]:
    properties = database.pairs("properties", "key", "value")
    for key, value in expected.items():
        if properties.get(key) != value.encode():
            yield Violation(rule, database.where, f"property {key} is {properties.get(key)!r} instead of {value!r}")
