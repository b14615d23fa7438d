"""Entries: every kind as a row and back, and every column that can be wrong."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Entry, EntryKind, EntryRow, Mark, decode_chunk, decode_entry, encode_entry
from outcrop.errors import FormatError
from tests.cvmfs.refusal import refused
from tests.cvmfs.strategies import StoredEntry, stored_entries

RAW = bytes(range(20))
FILE = Entry(b"name", stat.S_IFREG | 0o644, size=3, digest=Digest(Algorithm.SHA1, RAW))
DIRECTORY = Entry(b"name", stat.S_IFDIR | 0o755, size=4096, linkcount=2)
LINK = Entry(b"name", stat.S_IFLNK | 0o777, size=1, symlink=b"x")
FIFO = Entry(b"name", stat.S_IFIFO | 0o644)


@pytest.mark.property
@given(stored_entries())
def test_encoded_and_back(stored: StoredEntry) -> None:
    entry = stored.entry
    assert decode_entry(encode_entry(entry), "a catalog") == entry
    assert entry.kind is EntryKind(stat.S_IFMT(entry.mode))
    assert entry.permissions == stat.S_IMODE(entry.mode)


@pytest.mark.parametrize(
    ("entry", "flags"),
    [
        (DIRECTORY, 1),
        (replace(DIRECTORY, marks=Mark.NESTED_MOUNTPOINT), 3),
        (replace(DIRECTORY, marks=Mark.NESTED_ROOT), 33),
        (replace(DIRECTORY, marks=Mark.BIND_MOUNTPOINT), 0x4001),
        (replace(DIRECTORY, marks=Mark.HIDDEN | Mark.NESTED_MOUNTPOINT), 0x8003),
        (FILE, 4),
        (replace(FILE, digest=Digest(Algorithm.RMD160, RAW), algorithm=Algorithm.RMD160), 260),
        (replace(FILE, compression=Compression.NONE), 2052),
        (
            replace(
                FILE,
                digest=Digest(Algorithm.SHAKE128, RAW),
                algorithm=Algorithm.SHAKE128,
                compression=Compression.NONE,
            ),
            2564,
        ),
        (replace(FILE, digest=None, marks=Mark.CHUNKED), 68),
        (replace(FILE, digest=None, algorithm=Algorithm.RMD160, marks=Mark.CHUNKED), 324),
        (replace(FILE, marks=Mark.EXTERNAL | Mark.DIRECT_IO), 0x10084),
        (LINK, 12),
        (FIFO, 20),
        (replace(FIFO, mode=stat.S_IFBLK | 0o600, size=2049), 20),
        # What belongs to files alone is not written for others.
        (replace(LINK, algorithm=Algorithm.RMD160, compression=Compression.NONE), 12),
    ],
)
def test_flags_are_those_of_the_reference(entry: Entry, flags: int) -> None:
    assert entry.flags == flags
    assert encode_entry(entry).flags == flags


def test_the_digest_decides_which_algorithm_is_written() -> None:
    entry = replace(FILE, digest=Digest(Algorithm.SHAKE128, RAW))
    assert decode_entry(encode_entry(entry), "a catalog").digest == entry.digest


def test_a_hard_link_group_is_above_the_link_count() -> None:
    row = encode_entry(replace(FILE, linkcount=3, hardlink_group=2))
    assert row.hardlinks == 2 << 32 | 3


def row_with(entry: Entry, **columns: object) -> EntryRow:
    return EntryRow(*encode_entry(entry))._replace(**columns)


NOT_A_NUMBER = [None, b"1", 1.0, "1"]


@pytest.mark.parametrize(
    ("entry", "column", "value", "field"),
    [
        *[
            (FILE, column, value, column)
            for column in ("mode", "size", "mtime", "uid", "gid", "hardlinks", "flags")
            for value in NOT_A_NUMBER
        ],
        (FILE, "mtimens", b"1", "mtimens"),
        (FILE, "mtimens", -1, "mtimens"),
        (FILE, "mtimens", 10**9, "mtimens"),
        (FILE, "size", -1, "size"),
        (FILE, "uid", -1, "uid"),
        (FILE, "uid", 2**32, "uid"),
        (FILE, "gid", -1, "gid"),
        (FILE, "gid", 2**32, "gid"),
        (FILE, "hardlinks", 0, "hardlinks"),
        (FILE, "hardlinks", -1, "hardlinks"),
        (FILE, "hardlinks", 7 << 32, "hardlinks"),
        (FILE, "mode", 0, "mode"),
        (FILE, "mode", 0o644, "mode"),
        (FILE, "mode", -1, "mode"),
        (FILE, "mode", 2**32, "mode"),
        (FILE, "mode", 0o150000, "mode"),
        (FILE, "mode", stat.S_IFDIR | 0o755, "flags"),
        (FILE, "mode", stat.S_IFIFO | 0o644, "flags"),
        (FILE, "flags", 0, "flags"),
        (FILE, "flags", 1, "flags"),
        (FILE, "flags", 12, "flags"),
        (FILE, "flags", -1, "flags"),
        (FILE, "flags", 4 | 0x20000, "flags"),
        (FILE, "flags", 2**62, "flags"),
        (FILE, "flags", 4 | 2, "flags"),
        (FILE, "flags", 4 | 32, "flags"),
        (FILE, "flags", 4 | 0x4000, "flags"),
        (FILE, "flags", 4 | 3 << 8, "flags"),
        (FILE, "flags", 4 | 7 << 8, "flags"),
        (FILE, "flags", 4 | 2 << 11, "flags"),
        (DIRECTORY, "flags", 1 | 64, "flags"),
        (DIRECTORY, "flags", 1 | 128, "flags"),
        (DIRECTORY, "flags", 1 | 0x10000, "flags"),
        (LINK, "flags", 12 | 64, "flags"),
        (FILE, "hash", None, "hash"),
        (FILE, "hash", RAW[:-1], "hash"),
        (FILE, "hash", RAW + b"\0", "hash"),
        (FILE, "hash", b"", "hash"),
        (FILE, "hash", "text", "hash"),
        (FILE, "hash", 1, "hash"),
        (FILE, "symlink", None, "symlink"),
        (FILE, "symlink", b"x", "symlink"),
        (DIRECTORY, "symlink", b"x", "symlink"),
        (LINK, "symlink", b"", "symlink"),
        (LINK, "symlink", b"a\0b", "symlink"),
        (LINK, "symlink", 1, "symlink"),
        (FILE, "xattr", 1, "xattr"),
        (FILE, "xattr", "text", "xattr"),
        (FILE, "xattr", b"", "xattr: the version"),
        (FILE, "xattr", b"\1\1", "xattr: an attribute's lengths"),
    ],
)
def test_a_malformed_column_is_named(entry: Entry, column: str, value: object, field: str) -> None:
    with refused(f"entry 'name'{', ' if column == 'xattr' and isinstance(value, bytes) else ': '}{field}"):
        decode_entry(row_with(entry, **{column: value}), "a catalog")


def test_a_malformed_column_is_named_with_the_entry_and_the_catalog() -> None:
    with refused("the catalog at '/x', entry 'name'"):
        decode_entry(row_with(FILE, size=-1), "the catalog at '/x'")


@pytest.mark.parametrize("name", [None, 1, "text", b"a/b", b"/", b".", b"..", b"a\0b"])
def test_a_malformed_name(name: object) -> None:
    with refused("name"):
        decode_entry(row_with(FILE, name=name), "a catalog")


@pytest.mark.parametrize("entry", [DIRECTORY, LINK, FIFO])
def test_algorithm_and_compression_say_nothing_of_what_is_no_file(entry: Entry) -> None:
    flags = entry.flags | 2 << 8 | 1 << 11
    assert decode_entry(row_with(entry, flags=flags), "a catalog") == entry


def test_a_chunked_file_may_have_no_hash() -> None:
    assert decode_entry(row_with(FILE, flags=68, hash=None), "a catalog").digest is None
    assert decode_entry(row_with(FILE, flags=68), "a catalog").digest == FILE.digest


_values = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 70000), st.binary(max_size=24), st.floats()
)


@pytest.mark.property
@given(st.builds(EntryRow, *[_values] * 12))
def test_any_row_is_an_entry_or_an_error_of_ours(row: EntryRow) -> None:
    try:
        entry = decode_entry(row, "a catalog")
    except FormatError:
        return
    assert decode_entry(encode_entry(entry), "a catalog") == entry


@pytest.mark.property
@given(stored_entries(), st.integers(0, 11), _values)
def test_one_wrong_column_is_an_error_of_ours(stored: StoredEntry, position: int, value: object) -> None:
    row: list[object] = list(encode_entry(stored.entry))
    row[position] = value
    try:
        entry = decode_entry(EntryRow(*row), "a catalog")
    except FormatError:
        return
    assert decode_entry(encode_entry(entry), "a catalog") == entry


@pytest.mark.parametrize(
    ("offset", "size", "digest", "field"),
    [
        (-1, 1, RAW, "offset"),
        (None, 1, RAW, "offset"),
        (0, 0, RAW, "size"),
        (0, -1, RAW, "size"),
        (0, 1.5, RAW, "size"),
        (0, 1, None, "hash"),
        (0, 1, RAW[:-1], "hash"),
        (0, 1, "text", "hash"),
    ],
)
def test_a_malformed_chunk(offset: object, size: object, digest: object, field: str) -> None:
    with refused(f"a chunk's {field}"):
        decode_chunk(offset, size, digest, Algorithm.SHA1, "a catalog")
