"""The record: what it says, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.client.relocate.changes import Change, Finding, Place, PlaceKind, Reason, Style
from outcrop.client.relocate.prefix import prefix
from outcrop.client.relocate.record import RECORD_NAME, Record, decode_record, encode_record, load_record
from outcrop.errors import FormatError

RECORD = Record(
    prefix("/cvmfs/repo.example"),
    (prefix("/cvmfs/repo.example"), prefix("/s/x")),
    (
        Change(
            b"bin/x", Style.PADDED, 900,
            (
                Place(5, PlaceKind.INTERPRETER),
                Place(70, PlaceKind.DATA),
                Place(200, PlaceKind.RUN_PATH),
                Place(300, PlaceKind.DATA),
            ),
        ),
        Change(b"na\xffme", Style.EXACT, 20, (Place(0, PlaceKind.LINK),)),
    ),
    (Finding(b"x.jar", Reason.COMPRESSED, 3, "a.class"),),
    prefix("/tmp/x"),
)  # fmt: skip


def test_a_record_reads_as_it_was_written() -> None:
    assert decode_record(encode_record(RECORD)) == RECORD


def test_a_record_says_what_was_changed_by_kind() -> None:
    document = json.loads(encode_record(RECORD))
    assert document["prefix"] == "/s/x"
    assert document["changed"] == {"symbolic link": 1, "interpreter": 1, "run path": 1, "compiled-in data": 2}
    assert document["files"][0]["places"] == {"interpreter": [5], "compiled-in data": [70, 300], "run path": [200]}
    assert document["kept"] == [{"path": "x.jar", "reason": "compressed", "count": 3, "detail": "a.class"}]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"original": "relative"},
        {"original": 5},
        {"states": None},
        {"files": [{"path": "x"}]},
        {"files": [{"path": "x", "style": "padded", "size": -1, "places": {}}]},
        {"files": [{"path": "x", "style": "padded", "size": 1, "places": {"nonsense": [1]}}]},
        {"files": [{"path": "x", "style": "padded", "size": 1, "places": {"text": ["1"]}}]},
        {"kept": ["x"]},
    ],
)
def test_a_damaged_record_is_refused(change: dict[str, object]) -> None:
    document = json.loads(encode_record(RECORD)) | change
    with pytest.raises(FormatError):
        decode_record(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{", b"{}"])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_record(data)


def test_a_tree_without_a_record_has_none(tmp_path: Path) -> None:
    assert load_record(tmp_path) is None


def test_a_record_behind_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(encode_record(RECORD))
    (tmp_path / RECORD_NAME).symlink_to("elsewhere")
    with pytest.raises(Exception, match=RECORD_NAME):
        load_record(tmp_path)
