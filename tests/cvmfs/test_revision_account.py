"""The account of a revision: in both directions, and every column and record that can be wrong."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.cvmfs.revision_account import (
    MAXIMUM_LINES,
    MAXIMUM_TEXT_BYTES,
    AccountRow,
    ChangeLine,
    Extent,
    RevisionAccount,
)
from outcrop.errors import InvalidValue
from tests.cvmfs import strategies
from tests.cvmfs.refusal import refused

SHA1 = "0123456789abcdef0123456789abcdef01234567"
ACCOUNT = RevisionAccount(Revision(7), Digest.parse(SHA1), 1_700_000_000, "ada@build1", "GCC 14", "", 3, 1, 2, 99)
NUMBERS = st.integers(0, strategies.MAXIMUM_INT64)
TEXTS = st.text(max_size=20).filter(lambda text: "\0" not in text)


@st.composite
def change_lines(draw: st.DrawFn) -> ChangeLine:
    effect = draw(st.sampled_from(Effect))
    extent = draw(st.sampled_from(Extent)) if effect is Effect.CHANGED else Extent.CONTENT
    return ChangeLine(draw(strategies.paths), effect, extent, draw(NUMBERS), draw(NUMBERS))


accounts = st.builds(
    RevisionAccount,
    revision=NUMBERS.map(Revision),
    root_catalog=strategies.digests,
    timestamp=strategies.unix_times,
    author=TEXTS,
    message=TEXTS,
    reason=TEXTS,
    added=NUMBERS,
    changed=NUMBERS,
    removed=NUMBERS,
    bytes=NUMBERS,
    changes=st.lists(change_lines(), max_size=6).map(tuple),
    truncated=st.booleans(),
)


def stored(account: RevisionAccount) -> AccountRow:
    """The row as a database gives it back: every text as bytes."""
    return AccountRow(*(value.encode() if isinstance(value, str) else value for value in account.encode()))


@pytest.mark.property
@given(accounts)
def test_written_and_back(account: RevisionAccount) -> None:
    assert RevisionAccount.parse(stored(account)) == account


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("revision", None, "the revision of an account"),
        ("revision", -1, "the revision of an account"),
        ("hash", b"rubbish", "the hash of revision 7"),
        ("timestamp", -1, "the timestamp of revision 7"),
        ("timestamp", 253402300800, "the timestamp of revision 7"),
        ("author", None, "the author of revision 7"),
        ("author", b"\xff", "the author of revision 7"),
        ("message", b"a\0b", "the message of revision 7"),
        ("message", b"x" * (MAXIMUM_TEXT_BYTES + 1), "the message of revision 7"),
        ("reason", 5, "the reason of revision 7"),
        ("added", -1, "the added of revision 7"),
        ("changed", "3", "the changed of revision 7"),
        ("removed", None, "the removed of revision 7"),
        ("bytes", 1.5, "the bytes of revision 7"),
        ("changes", None, "the changes of revision 7"),
        ("changes", b"rubbish", "the changes of revision 7"),
        ("changes", zlib.compress(b""), "the changes of revision 7"),
        ("changes", zlib.compress(bytes(5 * 1024**2)), "the changes of revision 7"),
    ],
)
def test_a_malformed_column_is_named(column: str, value: object, field: str) -> None:
    with refused(field):
        RevisionAccount.parse(stored(ACCOUNT)._replace(**{column: value}))


@pytest.mark.parametrize(
    "records",
    [
        b"outcrop-changes 2 complete\0",
        b"outcrop-changes 1 complete",
        b"outcrop-changes 1 complete\0+ content 1 0 /a",
        b"outcrop-changes 1 complete\0\0",
        b"outcrop-changes 1 complete\0? content 1 0 /a\0",
        b"outcrop-changes 1 complete\0+ attributes 1 0 /a\0",
        b"outcrop-changes 1 complete\0- below 1 0 /a\0",
        b"outcrop-changes 1 complete\0+ content -1 0 /a\0",
        b"outcrop-changes 1 complete\0+ content 01 0 /a\0",
        b"outcrop-changes 1 complete\0+ content 1 0 a\0",
        b"outcrop-changes 1 complete\0+ content 1 0 /a/../b\0",
        b"outcrop-changes 1 complete\0" + b"+ content 1 0 /a\0" * (MAXIMUM_LINES + 1),
    ],
)
def test_malformed_changes_are_refused(records: bytes) -> None:
    with refused("the changes of revision 7"):
        RevisionAccount.parse(stored(ACCOUNT)._replace(changes=zlib.compress(records)))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "é" * MAXIMUM_TEXT_BYTES])
@pytest.mark.parametrize("column", ["author", "message", "reason"])
def test_texts_that_no_account_can_hold(column: str, text: str) -> None:
    with pytest.raises(InvalidValue, match=f"the {column} of revision 1"):
        RevisionAccount(Revision(1), ACCOUNT.root_catalog, 0, **{column: text})  # type: ignore[arg-type]


def test_more_lines_than_an_account_can_hold() -> None:
    line = ChangeLine(RepositoryPath(b"/a"), Effect.ADDED)
    with pytest.raises(InvalidValue):
        RevisionAccount(Revision(1), ACCOUNT.root_catalog, 0, changes=(line,) * (MAXIMUM_LINES + 1))


@pytest.mark.parametrize(
    ("line", "path", "touches"),
    [
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.CHANGED), b"/a/b", True),
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.CHANGED), b"/a", True),
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.CHANGED), b"", True),
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.CHANGED), b"/a/bc", False),
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.CHANGED, Extent.ATTRIBUTES), b"/a/b/c", False),
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.CHANGED, Extent.BELOW), b"/a/b/c", True),
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.ADDED, entries=9), b"/a/b/c", True),
        (ChangeLine(RepositoryPath(b"/a/b"), Effect.REMOVED, entries=9), b"/a/b/c", True),
        (ChangeLine(ROOT, Effect.CHANGED, Extent.BELOW), b"/x/y", True),
    ],
)
def test_a_line_touches_what_it_is_about_and_what_it_stands_for(line: ChangeLine, path: bytes, touches: bool) -> None:
    assert line.touches(RepositoryPath(path)) is touches
