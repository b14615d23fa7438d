"""The history: names for revisions, a SQLite database of schema 1.0, revision 3.

A tag is a row with the root catalog it stands for. The publisher keeps `trunk` and `trunk-previous` as ordinary rows;
automatic tags are called `generic-<date>`. Branches hold one row (the unnamed one); `recycle_bin` stays empty.

A table of ours stands beside them, `outcrop_revisions`: see `outcrop.cvmfs.revision_account`. Histories that others
wrote lack it, and read as if it were empty.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from outcrop.cvmfs.database import (
    Database,
    digest_value,
    integer_value,
    properties_of,
    set_property,
    sqlite_border,
    text_value,
    time_value,
)
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.revision_account import ACCOUNT_SQL, ACCOUNT_TABLE, AccountRow, RevisionAccount
from outcrop.errors import FormatError, InvalidValue

SCHEMA = "1.0"
SCHEMA_REVISION = 3
TRUNK = "trunk"
TRUNK_PREVIOUS = "trunk-previous"
RESERVED_NAMES = frozenset({TRUNK, TRUNK_PREVIOUS})

_SCHEMA_SQL = """
CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key));
CREATE TABLE branches (branch TEXT, parent TEXT, initial_revision INTEGER, CONSTRAINT pk_branch PRIMARY KEY (branch),
  FOREIGN KEY (parent) REFERENCES branches (branch),
  CHECK ((branch <> '') OR (parent IS NULL)), CHECK ((branch = '') OR (parent IS NOT NULL)));
CREATE TABLE tags (name TEXT, hash TEXT, revision INTEGER, timestamp INTEGER, channel INTEGER, description TEXT,
  size INTEGER, branch TEXT, CONSTRAINT pk_tags PRIMARY KEY (name),
  FOREIGN KEY (branch) REFERENCES branches (branch));
CREATE TABLE recycle_bin (hash TEXT, flags INTEGER, CONSTRAINT pk_hash PRIMARY KEY (hash));
INSERT INTO branches (branch, parent, initial_revision) VALUES ('', NULL, 0);
"""

MAXIMUM_TAGGED_REVISION = 2**63 - 1
"""SQLite's integers are signed. A manifest could hold one bit more, but every revision is tagged at least `trunk`."""

_TAG_NAME = re.compile(r"[A-Za-z0-9_.:+@-]{1,255}")
_AUTOMATIC_NAME = re.compile(r"generic(?:_[0-9]+)?-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for a revision. `timestamp` is in seconds since 1970, `size` that of the root catalog in bytes."""

    name: str
    root_catalog: Digest
    revision: int
    timestamp: int
    description: str = ""
    size: int = 0
    branch: str = ""

    @property
    def is_automatic(self) -> bool:
        """Whether a publisher made it without being asked, so that it may end by itself."""
        return _AUTOMATIC_NAME.fullmatch(self.name) is not None


def tag_name(text: str) -> str:
    """`text` as the name of a tag; InvalidValue when it cannot be one."""
    if not _TAG_NAME.fullmatch(text) or text in RESERVED_NAMES:
        raise InvalidValue(
            what=f"the tag name {text!r}",
            problem="cannot be used",
            hint="use letters, digits and `_.:+@-`; `trunk` and `trunk-previous` are kept by the publisher",
        )
    return text


class History(Database):
    """The tags of a repository, behind a connection to the database."""

    kind = "the history"

    def __init__(self, connection: sqlite3.Connection, what: str = "") -> None:
        super().__init__(connection, what)
        self.properties = properties_of(connection, self.what)
        if self.properties.get("schema") != SCHEMA:
            raise FormatError(what=self.what, field="the property schema", problem=f"is not {SCHEMA}")

    @classmethod
    def create(cls, connection: sqlite3.Connection, repository: RepositoryName) -> History:
        """An empty history."""
        with sqlite_border("the history"):
            connection.executescript(_SCHEMA_SQL)
            set_property(connection, "schema", SCHEMA)
            set_property(connection, "schema_revision", str(SCHEMA_REVISION))
            set_property(connection, "fqrn", repository)
            set_property(connection, "previous_revision", "")
        return cls(connection)

    def tags(self) -> list[Tag]:
        """All tags, the newest revision first, then by name."""
        with sqlite_border(self.what):
            rows = self.connection.execute(
                "SELECT name, hash, revision, timestamp, description, size, branch FROM tags"
            ).fetchall()
        tags = []
        for name, digest, revision, timestamp, description, size, branch in rows:
            tag = text_value(name, self.what, "a tag's name")
            tags.append(
                Tag(
                    name=tag,
                    root_catalog=digest_value(digest, self.what, f"the root catalog of the tag {tag}"),
                    revision=integer_value(revision, self.what, f"the revision of the tag {tag}"),
                    timestamp=time_value(timestamp, self.what, f"the time of the tag {tag}"),
                    description=text_value(
                        b"" if description is None else description, self.what, f"the description of the tag {tag}"
                    ),
                    size=integer_value(0 if size is None else size, self.what, f"the size of the tag {tag}"),
                    branch=text_value(b"" if branch is None else branch, self.what, f"the branch of the tag {tag}"),
                )
            )
        return sorted(tags, key=lambda tag: (-tag.revision, tag.name))

    def find(self, name: str) -> Tag | None:
        """The tag called `name`, None where there is none."""
        return next((tag for tag in self.tags() if tag.name == name), None)

    def put(self, tag: Tag) -> None:
        """Adds `tag`, in the place of one with its name; InvalidValue for a revision beyond the format's numbers."""
        if tag.revision > MAXIMUM_TAGGED_REVISION:
            raise InvalidValue(what=f"revision {tag.revision}", problem="is beyond the last one that can have a tag")
        with sqlite_border(self.what):
            self.connection.execute(
                "INSERT OR REPLACE INTO tags (name, hash, revision, timestamp, channel, description, size, branch) "
                "VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
                (tag.name, tag.root_catalog.text, tag.revision, tag.timestamp, tag.description, tag.size, tag.branch),
            )

    def remove(self, name: str) -> None:
        """Takes the tag called `name` away, if there is one."""
        with sqlite_border(self.what):
            self.connection.execute("DELETE FROM tags WHERE name = ?", (name,))

    def accounts(self) -> list[RevisionAccount]:
        """The accounts of all revisions that have one, the newest first."""
        return self._accounts("ORDER BY revision DESC")

    def account(self, revision: Revision) -> RevisionAccount | None:
        """The account of `revision`, None where there is none."""
        if revision > MAXIMUM_TAGGED_REVISION:
            return None
        return next(iter(self._accounts("WHERE revision = ?", revision)), None)

    def _accounts(self, clause: str, *values: int) -> list[RevisionAccount]:
        with sqlite_border(self.what):
            known = self.connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", (ACCOUNT_TABLE,)
            ).fetchone()
            if known == (0,):
                return []
            columns = ", ".join(AccountRow._fields)
            rows = self.connection.execute(f"SELECT {columns} FROM {ACCOUNT_TABLE} {clause}", values).fetchall()
        return [RevisionAccount.parse(AccountRow(*row), self.what) for row in rows]

    def put_account(self, account: RevisionAccount) -> None:
        """Adds the account of a revision, in the place of one that it has."""
        columns, places = ", ".join(AccountRow._fields), ", ".join("?" for _ in AccountRow._fields)
        with sqlite_border(self.what):
            self.connection.execute(ACCOUNT_SQL)
            self.connection.execute(
                f"INSERT OR REPLACE INTO {ACCOUNT_TABLE} ({columns}) VALUES ({places})", account.encode()
            )

    def set_previous(self, previous: Digest | None) -> None:
        """Says which history this one follows."""
        with sqlite_border(self.what):
            set_property(self.connection, "previous_revision", previous.text if previous else "")
