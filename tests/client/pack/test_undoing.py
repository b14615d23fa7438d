"""Undoing a relocation gives the repository's bytes, and nothing else does."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.pack.undoing import FoundRecord
from outcrop.client.relocate.changes import Change, Place, PlaceKind, Style
from outcrop.client.relocate.prefix import prefix
from outcrop.client.relocate.record import Record, encode_record
from outcrop.client.relocate.rewrite import rewritten
from outcrop.cvmfs.paths import ROOT, RepositoryPath

OLD, NEW = prefix("/cvmfs/books.example.org"), prefix("/s/x")
PATH = RepositoryPath(b"/file")


def found(change: Change) -> FoundRecord:
    return FoundRecord.parse(ROOT, encode_record(Record(OLD, (NEW,), (change,), ())))


def planned(pieces: list[bytes], style: Style) -> tuple[bytes, Change]:
    """A file with the old prefix between `pieces`, and the change of all of it."""
    data = OLD.path.join(pieces)
    places, position = [], 0
    for piece in pieces[:-1]:
        position += len(piece)
        places.append(Place(position, PlaceKind.TEXT))
        position += len(OLD)
    return data, Change(PATH[1:], style, len(data), tuple(places))


several = st.lists(st.binary(max_size=40), min_size=2, max_size=6)


@pytest.mark.property
@given(several, st.sampled_from(Style))
def test_undoing_gives_the_digest_of_what_was_there(pieces: list[bytes], style: Style) -> None:
    data, change = planned(pieces, style)
    now = rewritten(data, change, OLD, OLD, NEW)
    assert found(change).undone_digest(PATH, io.BytesIO(now)) == hashlib.sha256(data).hexdigest()


@pytest.mark.property
@given(several, st.sampled_from(Style), st.data())
def test_any_other_byte_is_found(pieces: list[bytes], style: Style, data: st.DataObject) -> None:
    original, change = planned(pieces, style)
    now = bytearray(rewritten(original, change, OLD, OLD, NEW))
    position = data.draw(st.integers(0, len(now) - 1))
    now[position] ^= data.draw(st.integers(1, 255))
    assert found(change).undone_digest(PATH, io.BytesIO(now)) != hashlib.sha256(original).hexdigest()


@pytest.mark.parametrize("spoilt", [b"", b"/s/x", b"before /s/", b"before /s/x after and more"])
def test_what_is_cut_off_or_longer_is_not_the_repositorys(spoilt: bytes) -> None:
    data, change = planned([b"before ", b" after"], Style.EXACT)
    assert found(change).undone_digest(PATH, io.BytesIO(spoilt)) != hashlib.sha256(data).hexdigest()


def test_a_file_without_a_change_has_nothing_to_undo() -> None:
    _, change = planned([b"a", b"b"], Style.PADDED)
    assert found(change).undone_digest(RepositoryPath(b"/other"), io.BytesIO(b"a")) == ""
    assert found(change).undone_target(RepositoryPath(b"/other"), b"a") == b""


def test_links_are_undone() -> None:
    change = Change(PATH[1:], Style.EXACT, len(OLD) + 4, (Place(0, PlaceKind.LINK),))
    assert found(change).undone_target(PATH, b"/s/x/bin") == OLD.path + b"/bin"
    assert found(change).undone_target(PATH, b"/etc/bin") == b""
