"""The freshness record: every line in both directions, every line that can be wrong, and no manifest in its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.fields import MAXIMUM_UINT64, MAXIMUM_UNIX_TIME
from outcrop.cvmfs.freshness_record import FreshnessRecord
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.errors import FormatError
from tests.cvmfs.refusal import refused

_NAME = RepositoryName("tools.example.org")
_DIGESTS = {letter: Digest.of(letter.encode(), Algorithm.SHA1) for letter in "CX"}
LINES = {
    "F": "outcrop-freshness-1",
    "N": _NAME,
    "S": "7",
    "O": "5",
    "C": _DIGESTS["C"].text,
    "T": "1795227010",
    "E": "1795831810",
    "X": _DIGESTS["X"].text,
}

revisions = st.integers(0, MAXIMUM_UINT64).map(Revision)
times = st.integers(0, MAXIMUM_UNIX_TIME)
digests = st.builds(Digest.of, st.binary(max_size=4), st.sampled_from(Algorithm))


def text_of(lines: dict[str, str]) -> bytes:
    return "".join(f"{letter}{value}\n" for letter, value in lines.items()).encode()


@pytest.mark.property
@given(pair=st.tuples(revisions, revisions), issued=times, expires=times, root=digests, certificate=digests)
def test_encoded_and_back(
    pair: tuple[Revision, Revision], issued: int, expires: int, root: Digest, certificate: Digest
) -> None:
    record = FreshnessRecord(_NAME, max(pair), root, min(pair), issued, expires, certificate)
    assert FreshnessRecord.parse(record.encode()) == record


def test_every_line_is_read_and_what_is_unknown_passed_over() -> None:
    record = FreshnessRecord.parse(text_of({**LINES, "Q": "what comes later"}))
    expected = FreshnessRecord(_NAME, Revision(7), _DIGESTS["C"], Revision(5), 1795227010, 1795831810, _DIGESTS["X"])
    assert record == expected
    assert record.encode() == text_of(LINES)


@pytest.mark.parametrize("letter", [letter for letter in LINES if letter != "F"])
def test_a_missing_line_is_named(letter: str) -> None:
    with refused(f"line {letter}"):
        FreshnessRecord.parse(text_of({key: value for key, value in LINES.items() if key != letter}))


@pytest.mark.parametrize(
    ("letter", "value"),
    [("N", "tools"), ("S", "-1"), ("S", ""), ("O", "x"), ("C", "00"), ("T", "253402300800"), ("E", "soon"), ("X", "")],
)
def test_a_malformed_line_is_named(letter: str, value: str) -> None:
    with refused(f"line {letter}"):
        FreshnessRecord.parse(text_of({**LINES, letter: value}))


def test_the_oldest_revision_is_not_above_the_current_one() -> None:
    with refused("line O"):
        FreshnessRecord.parse(text_of({**LINES, "O": "8"}))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "its first line"),
        (text_of(LINES)[:-1], "its last line"),
        (text_of(LINES) + b"\xff\n", "its text"),
        (text_of(LINES) + b"\n", "the line"),
        (text_of(LINES) + b"S8\n", "the line"),
        (text_of({key: LINES[key] for key in "NFSOCTEX"}), "its first line"),
        (text_of({**LINES, "F": "outcrop-freshness-2"}), "its first line"),
    ],
)
def test_a_text_of_another_form_is_refused(data: bytes, field: str) -> None:
    with refused(field):
        FreshnessRecord.parse(data)


def test_neither_a_manifest_nor_a_record_passes_for_the_other() -> None:
    """Both are signed with the same key in the same way, so one must never be taken for the other."""
    manifest = Manifest(_NAME, Revision(7), _DIGESTS["C"], 100, _DIGESTS["X"], published_at=1)
    with refused("its first line"):
        FreshnessRecord.parse(manifest.encode())
    with refused("line R"):
        Manifest.parse(text_of(LINES))


@pytest.mark.property
@given(letter=st.sampled_from(sorted(LINES)), value=st.text(max_size=60), tail=st.binary(max_size=20))
def test_whatever_strangers_write_ends_in_a_typed_error_or_is_written_again(
    letter: str, value: str, tail: bytes
) -> None:
    data = text_of({**LINES, letter: value.encode("utf-8", "replace").decode()}) + tail
    try:
        record = FreshnessRecord.parse(data)
    except FormatError:
        return
    assert FreshnessRecord.parse(record.encode()) == record
