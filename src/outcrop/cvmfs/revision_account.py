"""The account of a revision: who published it when and why, and what it did, path by path.

Accounts are rows of the table `outcrop_revisions` in the history, beside the tags and signed with them. Tools of the
reference do not know the table: they leave it alone, and edit the database in place, so that it survives them. It also
survives the collection of old catalogs, after which nothing else tells what a revision did.

    outcrop_revisions (revision INTEGER PRIMARY KEY, hash TEXT, timestamp INTEGER, author TEXT, message TEXT,
      reason TEXT, added INTEGER, changed INTEGER, removed INTEGER, bytes INTEGER, changes BLOB)

`hash` is the root catalog, `timestamp` the time of publishing; `added`, `changed` and `removed` count entries; `bytes`
is the size of the files that were added or changed. `changes` is a zlib stream of records, each ended by NUL, which no
path holds. The first is `outcrop-changes 1 complete` or `outcrop-changes 1 truncated`. Each of the others is

    EFFECT EXTENT ENTRIES BYTES PATH

with EFFECT one of `+`, `~`, `-`; EXTENT one of `content`, `attributes`, `below`; two decimal numbers; and the raw path
(empty for the root). A directory that came or went whole is one line, with the entries at and below it. `below` says
that a directory stands for changes in it that are not told one by one; lines of that kind make a list *truncated*.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.compression import inflate
from outcrop.cvmfs.database import digest_value, integer_value, text_value, time_value
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.paths import RepositoryPath, is_below, is_canonical
from outcrop.errors import FormatError, InvalidValue

MAXIMUM_LINES = 500
"""A client that mounts a tag fetches the whole history, and it is written anew at each publish: with some ten bytes a
line, compressed, a thousand revisions of this many lines are a few megabytes."""

MAXIMUM_TEXT_BYTES = 64 * 1024
"""Of an author, a message or a reason. The kernel's mailing list has seen commit messages of a quarter of that."""

_MAXIMUM_CHANGES_BYTES = 4 * 1024**2
"""Of the records, inflated: MAXIMUM_LINES of them, each with a path of 4096 bytes (PATH_MAX), and some room."""

_HEADER = {False: b"outcrop-changes 1 complete", True: b"outcrop-changes 1 truncated"}
_LINE = re.compile(rb"([+~-]) (content|attributes|below) (0|[1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18}) (.*)", re.DOTALL)
_LEVEL = 9
"""Of zlib: a few kilobytes, written once and read often."""


class Extent(Enum):
    """How much a line of an account speaks of; the value is how the format writes it.

    An entry with all that a reader finds in it (a directory that comes or goes with all below), the attributes of an
    entry alone, or changes in and below a directory that are not told one by one.
    """

    CONTENT = "content"
    ATTRIBUTES = "attributes"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One line of an account. `entries` counts the entries it stands for, `bytes` those of their files."""

    path: RepositoryPath
    effect: Effect
    extent: Extent = Extent.CONTENT
    entries: int = 1
    bytes: int = 0

    def touches(self, path: RepositoryPath) -> bool:
        """Whether something at or below `path` may have changed: the line is about it, or stands for it."""
        covers = self.extent is Extent.BELOW or self.effect is not Effect.CHANGED
        return is_below(self.path, path) or (covers and is_below(path, self.path))


class AccountRow(NamedTuple):
    """The columns of the table, in their order."""

    revision: object
    hash: object
    timestamp: object
    author: object
    message: object
    reason: object
    added: object
    changed: object
    removed: object
    bytes: object
    changes: object


ACCOUNT_TABLE = "outcrop_revisions"
ACCOUNT_SQL = (
    f"CREATE TABLE IF NOT EXISTS {ACCOUNT_TABLE} (revision INTEGER PRIMARY KEY, hash TEXT, timestamp INTEGER, "
    "author TEXT, message TEXT, reason TEXT, added INTEGER, changed INTEGER, removed INTEGER, bytes INTEGER, "
    "changes BLOB)"
)


@dataclass(frozen=True, slots=True)
class RevisionAccount:
    """Who published a revision, when (seconds since 1970) and why, and what it did.

    `added`, `changed` and `removed` count entries, `bytes` is the size of the files that were added or changed.
    `reason` is why a promise to users was broken, empty where none was. `truncated` says that some of `changes` stand
    for others. InvalidValue for texts that are too long or no text, and for too many lines.
    """

    revision: Revision
    root_catalog: Digest
    timestamp: int
    author: str = ""
    message: str = ""
    reason: str = ""
    added: int = 0
    changed: int = 0
    removed: int = 0
    bytes: int = 0
    changes: tuple[ChangeLine, ...] = ()
    truncated: bool = False

    def __post_init__(self) -> None:
        for what, text in (("author", self.author), ("message", self.message), ("reason", self.reason)):
            problem = _text_problem(text)
            if problem:
                raise InvalidValue(what=f"the {what} of revision {self.revision}", problem=problem)
        if len(self.changes) > MAXIMUM_LINES:
            problem = f"has {len(self.changes)} lines, more than {MAXIMUM_LINES}"
            raise InvalidValue(what=f"the account of revision {self.revision}", problem=problem)

    def encode(self) -> AccountRow:
        """The row that says this."""
        return AccountRow(
            revision=self.revision,
            hash=self.root_catalog.text,
            timestamp=self.timestamp,
            author=self.author,
            message=self.message,
            reason=self.reason,
            added=self.added,
            changed=self.changed,
            removed=self.removed,
            bytes=self.bytes,
            changes=_encoded(self.changes, self.truncated),
        )

    @classmethod
    def parse(cls, row: AccountRow, what: str = "the history") -> RevisionAccount:
        """The account that `row` makes; FormatError names the column that is malformed."""
        revision = Revision(integer_value(row.revision, what, "the revision of an account"))

        def field(column: str) -> str:
            return f"the {column} of revision {revision}"

        def text(column: str, value: object) -> str:
            decoded = text_value(value, what, field(column))
            problem = _text_problem(decoded)
            if problem:
                raise FormatError(what=what, field=field(column), problem=problem)
            return decoded

        changes, truncated = _decoded(row.changes, what, field("changes"))
        return cls(
            revision=revision,
            root_catalog=digest_value(row.hash, what, field("hash")),
            timestamp=time_value(row.timestamp, what, field("timestamp")),
            author=text("author", row.author),
            message=text("message", row.message),
            reason=text("reason", row.reason),
            added=integer_value(row.added, what, field("added")),
            changed=integer_value(row.changed, what, field("changed")),
            removed=integer_value(row.removed, what, field("removed")),
            bytes=integer_value(row.bytes, what, field("bytes")),
            changes=changes,
            truncated=truncated,
        )


def _text_problem(text: str) -> str:
    """What is wrong with a text; empty if nothing is."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not UTF-8"
    if size > MAXIMUM_TEXT_BYTES:
        return f"is longer than {MAXIMUM_TEXT_BYTES} bytes"
    return "holds a NUL byte" if "\0" in text else ""


def _encoded(changes: tuple[ChangeLine, ...], truncated: bool) -> bytes:
    lines = [
        b"%s %s %d %d %s"
        % (line.effect.value.encode(), line.extent.value.encode(), line.entries, line.bytes, bytes(line.path))
        for line in changes
    ]
    return zlib.compress(b"".join(record + b"\0" for record in [_HEADER[truncated], *lines]), _LEVEL)


def _decoded(blob: object, what: str, field: str) -> tuple[tuple[ChangeLine, ...], bool]:
    if not isinstance(blob, bytes):
        raise FormatError(what=what, field=field, problem=f"are not a blob: {blob!r:.80}")
    *records, rest = inflate(blob, what=f"{what}, {field}", limit=_MAXIMUM_CHANGES_BYTES).split(b"\0")
    if rest or not records or records[0] not in _HEADER.values():
        raise FormatError(what=what, field=field, problem="do not begin with their header, or end too early")
    if len(records) > 1 + MAXIMUM_LINES:
        raise FormatError(what=what, field=field, problem=f"have more than {MAXIMUM_LINES} lines")
    return tuple(_line(record, what, field) for record in records[1:]), records[0] == _HEADER[True]


def _line(record: bytes, what: str, field: str) -> ChangeLine:
    match = _LINE.fullmatch(record)
    if match is None or not is_canonical(match[5]):
        raise FormatError(what=what, field=field, problem=f"have a line that is none: {record!r:.80}")
    effect, extent = Effect(match[1].decode()), Extent(match[2].decode())
    if extent is not Extent.CONTENT and effect is not Effect.CHANGED:
        raise FormatError(what=what, field=field, problem=f"have a line that contradicts itself: {record!r:.80}")
    return ChangeLine(RepositoryPath(match[5]), effect, extent, int(match[3]), int(match[4]))
