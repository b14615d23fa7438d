"""The reflog `.cvmfsreflog`: every root catalog, certificate, history and meta-information that was ever published.

A SQLite database of schema 1.0, stored plain. Entries are added *before* the manifest that uses them is activated, so
that whatever a crash leaves can be found and collected. Its digest is the manifest's line Y.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import IntEnum

from outcrop.cvmfs.database import (
    Database,
    digest_value,
    properties_of,
    set_property,
    sqlite_border,
    time_value,
)
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError

SCHEMA = "1.0"
SCHEMA_REVISION = 0

_SCHEMA_SQL = """
CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key));
CREATE TABLE refs (hash TEXT, type INTEGER, timestamp INTEGER, CONSTRAINT pk_refs PRIMARY KEY (hash));
"""


class ReferenceType(IntEnum):
    """What a reference names; the value is what the database holds."""

    ROOT_CATALOG = 0
    CERTIFICATE = 1
    HISTORY = 2
    METAINFO = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that was published; `timestamp` is when it was recorded, in seconds since 1970."""

    digest: Digest
    type: ReferenceType
    timestamp: int


class Reflog(Database):
    """A reflog, behind a connection to its database."""

    kind = "the reflog"

    def __init__(self, connection: sqlite3.Connection, what: str = "") -> None:
        super().__init__(connection, what)
        if properties_of(connection, self.what).get("schema") != SCHEMA:
            raise FormatError(what=self.what, field="the property schema", problem=f"is not {SCHEMA}")

    @classmethod
    def create(cls, connection: sqlite3.Connection, repository: RepositoryName) -> Reflog:
        """An empty reflog."""
        with sqlite_border("the reflog"):
            connection.executescript(_SCHEMA_SQL)
            set_property(connection, "schema", SCHEMA)
            set_property(connection, "schema_revision", str(SCHEMA_REVISION))
            set_property(connection, "fqrn", repository)
        return cls(connection)

    def references(self) -> list[Reference]:
        """All references, oldest first."""
        with sqlite_border(self.what):
            rows = self.connection.execute(
                "SELECT hash, type, timestamp FROM refs ORDER BY timestamp, rowid"
            ).fetchall()
        references = []
        for digest, type_number, timestamp in rows:
            try:
                reference_type = ReferenceType(type_number)
            except ValueError:
                raise FormatError(what=self.what, field="a reference's type", problem=f"is {type_number!r}") from None
            references.append(
                Reference(
                    digest_value(digest, self.what, "a reference's digest"),
                    reference_type,
                    time_value(timestamp, self.what, "a reference's time"),
                )
            )
        return references

    def add(self, digest: Digest, reference_type: ReferenceType, now: int) -> None:
        """Records that `digest` is about to be published."""
        with sqlite_border(self.what):
            self.connection.execute(
                "INSERT OR REPLACE INTO refs (hash, type, timestamp) VALUES (?, ?, ?)",
                (digest.text, int(reference_type), now),
            )

    def remove(self, digest: Digest) -> None:
        """Forgets `digest`, which is about to be collected."""
        with sqlite_border(self.what):
            self.connection.execute("DELETE FROM refs WHERE hash = ?", (digest.text,))
