"""Rows of a catalog that are plainly sound, told apart by SQLite itself.

Nearly all rows are plain directories, files and links: decoding each of them costs five times what this does. The
screen lets through only what `decode_entry` takes and `encode_entry` would write again byte for byte; everything that
is unusual or wrong is decoded, so a row that the screen holds back for nothing costs time and no more.
"""

from __future__ import annotations

import stat

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.digest import DIGEST_BYTES
from outcrop.cvmfs.entry import MAXIMUM_UINT32, NANOSECONDS

DIRECTORY, LINK = 1, 12
"""The flags of a plain directory and of a plain link."""
FILES = {
    4 | algorithm << 8 | compression << 11: (algorithm, compression)
    for algorithm in (0, 1, 2)
    for compression in (0, 1)
}
"""The flags of plain files, with the numbers of digest algorithm and compression that they say."""

MAXIMUM_NAME_BYTES = 255
"""NAME_MAX of Linux."""
MARKER = b".cvmfscatalog"

_INTEGERS = ("mode", "size", "mtime", "uid", "gid", "hardlinks", "flags")


def _kind(file_type: int) -> str:
    return f"mode & {0o170000} = {file_type} AND mode BETWEEN 0 AND {MAXIMUM_UINT32}"


_NAME = (
    f"typeof(name) = 'text' AND length(CAST(name AS BLOB)) BETWEEN 1 AND {MAXIMUM_NAME_BYTES}"
    " AND instr(CAST(name AS BLOB), x'2f') = 0 AND instr(CAST(name AS BLOB), x'00') = 0"
    f" AND name NOT IN ('.', '..', '{MARKER.decode()}')"
)
_NUMBERS = " AND ".join(f"typeof({column}) = 'integer'" for column in _INTEGERS) + (
    f" AND size >= 0 AND uid BETWEEN 0 AND {MAXIMUM_UINT32} AND gid BETWEEN 0 AND {MAXIMUM_UINT32}"
)
_DIRECTORY = (
    f"flags = {DIRECTORY} AND {_kind(stat.S_IFDIR)} AND hardlinks BETWEEN 1 AND {MAXIMUM_UINT32}"
    " AND hash IS NULL AND symlink = ''"
)
_FILE = (
    f"flags IN ({', '.join(map(str, FILES))}) AND {_kind(stat.S_IFREG)} AND hardlinks = 1"
    f" AND typeof(hash) = 'blob' AND length(hash) = {DIGEST_BYTES} AND symlink = ''"
)
_LINK = (
    f"flags = {LINK} AND {_kind(stat.S_IFLNK)} AND hardlinks = 1 AND hash IS NULL"
    " AND symlink <> '' AND length(CAST(symlink AS BLOB)) = size AND instr(CAST(symlink AS BLOB), x'00') = 0"
)


def plainly_sound(catalog: Catalog) -> str:
    """The SQL condition that holds for the rows of `catalog` which need no closer look."""
    has_xattr = "xattr" in catalog.columns.split(", ")
    conditions = [_NAME, _NUMBERS, "typeof(symlink) = 'text'"]
    if "mtimens" in catalog.columns.split(", "):
        conditions.append(
            f"(mtimens IS NULL OR typeof(mtimens) = 'integer' AND mtimens BETWEEN 0 AND {NANOSECONDS - 1})"
        )
    if has_xattr:
        conditions.append("xattr IS NULL")
    return f"{' AND '.join(conditions)} AND ({_DIRECTORY} OR {_FILE} OR {_LINK})"
