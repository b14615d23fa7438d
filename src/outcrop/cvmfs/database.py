"""The border to SQLite, which catalogs, history and reflog are made of.

Names and link targets are raw bytes, so connections hand out every text as bytes. Whatever SQLite finds wrong with a
database comes out as a FormatError that names it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from outcrop.cvmfs.digest import Digest
from outcrop.errors import FormatError, StorageError

SQLITE_MAGIC = b"SQLite format 3\0"


@contextmanager
def sqlite_border(what: str) -> Iterator[None]:
    """SQLite's errors within the block come out as ours: a full disk as StorageError, the rest as FormatError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN) or (
            error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR
        ):
            raise StorageError(
                what=what, problem=f"cannot be written ({error})", hint="free some space, or choose another directory"
            ) from error
        raise FormatError(what=what, field="the database", problem=f"cannot be read ({error})") from error
    except (sqlite3.DatabaseError, OverflowError, UnicodeDecodeError) as error:
        raise FormatError(what=what, field="the database", problem=f"cannot be read ({error})") from error


def database_from_bytes(data: bytes, what: str) -> sqlite3.Connection:
    """A connection to the database whose file has the bytes `data`, in memory; FormatError if it is none."""
    if not data.startswith(SQLITE_MAGIC):
        raise FormatError(what=what, field="the first bytes", problem="are not those of an SQLite database")
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with sqlite_border(what):
        connection.deserialize(data)
    return connection


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


def digest_value(value: object, what: str, field: str) -> Digest:
    """A text column that spells a digest; FormatError otherwise."""
    return Digest.parse(text_value(value, what, field), what=what, field=field)


def properties_of(connection: sqlite3.Connection, what: str) -> dict[str, str]:
    """The `properties` table, which every database of the format has."""
    with sqlite_border(what):
        rows = connection.execute("SELECT key, value FROM properties").fetchall()
    properties = {}
    for key, value in rows:
        name = text_value(key, what, "a property's key")
        shown = str(value).encode() if isinstance(value, int | float) else value
        properties[name] = text_value(shown, what, f"the property {name}")
    return properties


def set_property(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Sets one row of the `properties` table."""
    connection.execute("INSERT OR REPLACE INTO properties (key, value) VALUES (?, ?)", (key, value))
