"""The border to SQLite, which catalogs, history and reflog are made of.

Names and link targets are raw bytes, so connections hand out every text as bytes. Whatever SQLite finds wrong with a
database comes out as a FormatError that names it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import ClassVar, Self

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.fields import MAXIMUM_UNIX_TIME
from outcrop.errors import FormatError, StorageError

SQLITE_MAGIC = b"SQLite format 3\0"
_FORMAT_VERSIONS = slice(18, 20)
_ROLLBACK_JOURNAL = b"\1\1"
"""What the header says of a database without a write-ahead log: clients open it read-only, so it must have none."""

MAXIMUM_VALUE_BYTES = 16 * 1024**2
"""The longest text or blob that is taken from a database. Extended attributes have 130 kB at most, paths far less."""

_PLAIN_SCHEMA = re.compile(rb"CREATE (?:TABLE|INDEX|UNIQUE INDEX) (?!.*\bAS\b)", re.DOTALL | re.IGNORECASE)
"""SQLite itself writes these first words. A computed column, and only that, needs the word AS."""


@contextmanager
def sqlite_border(what: str) -> Iterator[None]:
    """SQLite's errors within the block come out as ours: a full disk as StorageError, the rest as FormatError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # errors of the binding itself have none
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN) or (code & 0xFF == sqlite3.SQLITE_IOERR):
            raise StorageError(
                what=what, problem=f"cannot be written ({error})", hint="free some space, or choose another directory"
            ) from error
        raise FormatError(what=what, field="the database", problem=f"cannot be read ({error})") from error
    except (sqlite3.DatabaseError, OverflowError, UnicodeError, MemoryError) as error:
        # A damaged record may state a length that no memory can hold: SQLite then says that it has run out of memory.
        raise FormatError(what=what, field="the database", problem=f"cannot be read ({error})") from error


def database_from_bytes(data: bytes, what: str) -> sqlite3.Connection:
    """A connection to the sound database whose file has the bytes `data`, in memory; FormatError if it is none."""
    if not data.startswith(SQLITE_MAGIC):
        raise FormatError(what=what, field="the first bytes", problem="are not those of an SQLite database")
    if data[_FORMAT_VERSIONS] != _ROLLBACK_JOURNAL:
        raise FormatError(what=what, field="the journal mode", problem="is not that of a rollback journal")
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        with sqlite_border(what):
            connection.deserialize(data)
        admit(connection, what)
        require_sound_pages(connection, what)
    except BaseException:
        connection.close()
        raise
    return connection


def require_sound_pages(connection: sqlite3.Connection, what: str) -> None:
    """FormatError unless every page of the admitted database stands in one place of one tree.

    Pages that stand in many places make one look-up visit more rows than could ever be counted. The check takes 40 ms
    for 100,000 entries, less than inflating them; a file that never changes needs it once.
    """
    with sqlite_border(what):
        connection.execute("PRAGMA ignore_check_constraints = ON")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        connection.execute("PRAGMA ignore_check_constraints = OFF")
    if verdict != b"ok":
        raise FormatError(what=what, field="the database", problem=f"is damaged ({verdict.decode('utf-8', 'replace')})")


def admit(connection: sqlite3.Connection, what: str) -> None:
    """`connection` gives texts as bytes, and nothing that the database brings along is ever run.

    FormatError for a schema of more than plain tables and indexes: a view, a trigger or a computed column would be SQL
    of the publisher's choosing, which need not end.
    """
    connection.text_factory = bytes
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAXIMUM_VALUE_BYTES)
    with sqlite_border(what):
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        (encoding,) = connection.execute("PRAGMA encoding").fetchone()
        schema = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if encoding != b"UTF-8":
        raise FormatError(what=what, field="the encoding", problem=f"is {encoding!r}, not UTF-8")
    for name, sql in schema:
        if not isinstance(sql, bytes) or not _PLAIN_SCHEMA.match(sql):
            raise FormatError(what=what, field=f"the schema's {name!r:.80}", problem="is no plain table or index")


class Database:
    """An admitted database of the format, behind `connection`, which `close` or the end of a `with` block closes.

    `what` names it in errors.
    """

    kind: ClassVar[str]
    """What it is, where nobody gives it another name."""

    def __init__(self, connection: sqlite3.Connection, what: str = "") -> None:
        self.connection = connection
        self.what = what or self.kind
        admit(connection, self.what)

    @classmethod
    def parse(cls, data: bytes, what: str = "") -> Self:
        """What the database file with the bytes `data` (inflated) holds."""
        connection = database_from_bytes(data, what or cls.kind)
        try:
            return cls(connection, what)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def database_to_bytes(connection: sqlite3.Connection) -> bytes:
    """The bytes of the file that `connection` reads and writes, all changes included."""
    return connection.serialize()


def text_value(value: object, what: str, field: str) -> str:
    """A text column as str; FormatError when it is no UTF-8 text."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    raise FormatError(what=what, field=field, problem=f"is not a UTF-8 text: {value!r:.80}")


def integer_value(value: object, what: str, field: str, minimum: int = 0) -> int:
    """An integer column, at least `minimum`; FormatError otherwise."""
    if not isinstance(value, int) or value < minimum:
        raise FormatError(what=what, field=field, problem=f"is not a number from {minimum} up: {value!r:.80}")
    return value


def time_value(value: object, what: str, field: str) -> int:
    """An integer column that is a time in seconds since 1970; FormatError otherwise."""
    seconds = integer_value(value, what, field)
    if seconds > MAXIMUM_UNIX_TIME:
        raise FormatError(what=what, field=field, problem=f"is later than any date: {seconds}")
    return seconds


def digest_value(value: object, what: str, field: str) -> Digest:
    """A text column that spells a digest; FormatError otherwise."""
    return Digest.parse(text_value(value, what, field), what=what, field=field)


def properties_of(connection: sqlite3.Connection, what: str) -> dict[str, str]:
    """The `properties` table, which every database of the format has. What is not UTF-8 shows as surrogates."""
    with sqlite_border(what):
        rows = connection.execute("SELECT key, value FROM properties").fetchall()
    properties = {}
    for key, value in rows:
        name = text_value(key, what, "a property's key")
        shown = str(value).encode() if isinstance(value, int | float) else value
        if not isinstance(shown, bytes):
            raise FormatError(what=what, field=f"the property {name}", problem=f"is not a text: {value!r:.80}")
        properties[name] = shown.decode("utf-8", "surrogateescape")
    return properties


def set_property(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Sets one row of the `properties` table."""
    connection.execute("INSERT OR REPLACE INTO properties (key, value) VALUES (?, ?)", (key, value))
