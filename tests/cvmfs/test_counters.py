"""Statistics of catalogs: what each kind of row adds, and that all ways to count agree."""

from __future__ import annotations

import stat
from dataclasses import astuple, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.catalog_edit import NewEntry
from outcrop.cvmfs.counters import COUNTER_NAMES, Counters, Counts, counts_of, counts_of_rows
from outcrop.cvmfs.entry import Entry, EntryKind, Mark, encode_entry
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import FormatError
from tests.cvmfs.databases import CHUNKED, CHUNKS, FILE, ROOT_ENTRY, finished, new_catalog
from tests.cvmfs.strategies import StoredEntry, stored_entries

LINK = Entry(b"link", stat.S_IFLNK | 0o777, size=4, symlink=b"file")
NOTED = Xattrs.of({b"user.a": b"1", b"user.b": b"2"})

COUNTED = {
    "a directory": (ROOT_ENTRY, 0, Counts(dir=1)),
    "a mountpoint": (replace(ROOT_ENTRY, marks=Mark.NESTED_MOUNTPOINT), 0, Counts(dir=1)),
    "the root of a nested catalog": (replace(ROOT_ENTRY, marks=Mark.NESTED_ROOT), 0, Counts(dir=1)),
    "a file": (FILE, 0, Counts(regular=1, file_size=3)),
    "a hard link": (replace(FILE, linkcount=2, hardlink_group=7), 0, Counts(regular=1, file_size=3)),
    "a chunked file": (CHUNKED, 2, Counts(regular=1, chunked=1, chunks=2, file_size=30, chunked_size=30)),
    "an external file": (
        replace(FILE, marks=Mark.EXTERNAL),
        0,
        Counts(regular=1, file_size=3, external=1, external_file_size=3),
    ),
    "a symbolic link, whose length is no file's": (LINK, 0, Counts(symlink=1)),
    "a device, whose number is no size": (Entry(b"d", stat.S_IFCHR | 0o600, size=259), 0, Counts(special=1)),
    "a pipe": (Entry(b"p", stat.S_IFIFO | 0o600), 0, Counts(special=1)),
    "attributes, however many": (replace(FILE, xattrs=NOTED), 0, Counts(regular=1, file_size=3, xattr=1)),
    "a directory's attributes": (replace(ROOT_ENTRY, xattrs=NOTED), 0, Counts(dir=1, xattr=1)),
}


@pytest.mark.parametrize("case", COUNTED)
def test_what_a_row_adds(case: str) -> None:
    entry, chunks, expected = COUNTED[case]
    assert counts_of(entry, chunks) == expected
    assert expected.entries == 1


def test_there_are_twelve_counters_called_as_the_format_calls_them() -> None:
    names = "regular symlink special dir nested chunked chunks file_size chunked_size xattr external external_file_size"
    assert " ".join(COUNTER_NAMES) == names


counts = st.builds(Counts, *(st.integers(0, 2**62) for _ in fields(Counts)))


@pytest.mark.property
@given(counts, counts, counts)
def test_counts_are_sums_and_differences(a: Counts, b: Counts, c: Counts) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + b - b == a
    assert a - a == Counts()
    assert a + Counts() == a
    assert (a + b).entries == a.entries + b.entries


@pytest.mark.property
@given(counts, counts)
def test_statistics_read_back(own: Counts, subtree: Counts) -> None:
    counters = Counters(own, subtree)
    rows = counters.rows()
    assert len(rows) == len(dict(rows)) == 24
    assert Counters.parse(dict(rows), "a catalog") == counters
    assert counters.total == own + subtree


def test_counters_that_are_missing_are_zero() -> None:
    assert Counters.parse({"self_regular": 3, "something": "else"}, "a catalog") == Counters(Counts(3), Counts())


@pytest.mark.parametrize("value", [-1, "3", None, 1.5, b"3"])
@pytest.mark.parametrize("name", ["self_chunks", "subtree_dir"])
def test_a_counter_that_is_no_number_is_named(name: str, value: object) -> None:
    with pytest.raises(FormatError, match=f"a catalog is malformed: the counter {name} is"):
        Counters.parse({name: value}, "a catalog")


@pytest.mark.property
@given(st.data())
def test_all_ways_to_count_agree(data: st.DataObject) -> None:
    """One by one, many at once, and by the database over rows that go."""
    names = [b"a", b"b", b"c", b"d"]
    stored: list[StoredEntry] = [
        data.draw(stored_entries(name)) for name in names[: data.draw(st.integers(0, len(names)))]
    ]
    expected = Counts()
    for one in stored:
        expected += counts_of(one.entry, len(one.chunks))
    rows = [(encode_entry(one.entry), one.chunks) for one in stored]
    assert counts_of_rows((row.mode, row.size, row.flags, row.xattr, len(chunks)) for row, chunks in rows) == expected
    catalog = new_catalog()
    empty = catalog.own
    catalog.add(b"", [NewEntry(row, tuple(chunks)) for row, chunks in rows])
    assert catalog.own == empty + expected
    assert catalog.remove_below(b"") == len(stored)
    assert catalog.own == empty
    assert finished(catalog).counters.own == empty


def test_a_removal_takes_back_what_was_added() -> None:
    catalog = new_catalog()
    before = catalog.own
    for path, entry in {b"/file": FILE, b"/big": CHUNKED, b"/link": LINK}.items():
        catalog.put(path, entry, CHUNKS if entry.is_chunked else ())
    assert catalog.own != before
    for path in (b"/link", b"/big", b"/file"):
        catalog.remove(path)
    assert catalog.own == before
    assert not any(astuple(before - catalog.own))


def test_every_kind_is_counted_once() -> None:
    for kind in EntryKind:
        symlink = b"x" if kind is EntryKind.SYMLINK else b""
        assert counts_of(Entry(b"x", kind.value | 0o600, symlink=symlink)).entries == 1
