"""Advisories as they come: files, directories and archives, whole, damaged, hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.compat.audit.advisories import Advisories, Interest
from outcrop.compat.audit.feed import Limits, read_advisories
from outcrop.errors import FormatError, NetworkError, NotFound
from outcrop.software.sources.download import Downloads
from tests.faulty_server import Site, serving
from tests.software.sources.pretended import PretendedNetwork

INTEREST = Interest(frozenset({"Debian:12"}), frozenset({"openssl"}), frozenset({"some-thing"}))


def record(name: str, package: str = "openssl", ecosystem: str = "Debian:12", **fields: Any) -> bytes:
    package_of = {"package": {"ecosystem": ecosystem, "name": package}, "versions": ["1"]}
    return json.dumps({"id": name, "affected": [package_of], **fields}).encode()


RECORDS = {
    "DSA-1.json": record("DSA-1"),
    "DSA-2.json": record("DSA-2", "other"),
    "DSA-3.json": record("DSA-3", ecosystem="Debian:13"),
    "DSA-4.json": record("DSA-4", withdrawn="2026-01-01T00:00:00Z"),
    "PYSEC-1.json": record("PYSEC-1", "Some_Thing", "PyPI"),
    "README.md": b"nothing",
}


def archived(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def read(path: Path, data: bytes | None = None, limits: Limits | None = None) -> Advisories:
    if data is not None:
        path = path / "feed"
        path.write_bytes(data)
    return read_advisories([str(path)], INTEREST, PretendedNetwork(), *([limits] if limits else []))


def names(found: Advisories) -> list[str]:
    return sorted(one.id for one in found.records)


PACKS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_a_document_is_read_however_it_is_compressed(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    assert read(tmp_path, pack(b'{"openssl": {}}')).tracker == {"openssl": {}}
    assert names(read(tmp_path, pack(record("DSA-1")))) == ["DSA-1"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_an_archive_gives_the_records_that_concern_a_lock(tmp_path: Path, compression: int) -> None:
    found = read(tmp_path, archived(RECORDS, compression))
    assert names(found) == ["DSA-1", "PYSEC-1"]
    assert found.ecosystems == {"Debian:12", "Debian:13", "PyPI"}
    assert found.tracker is None


def test_a_directory_gives_the_same_and_waits_for_nothing(tmp_path: Path) -> None:
    for name, data in RECORDS.items():
        (tmp_path / "below").mkdir(exist_ok=True)
        (tmp_path / "below" / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.json")
    assert names(read(tmp_path)) == ["DSA-1", "PYSEC-1"]


def test_several_places_are_read_together(tmp_path: Path) -> None:
    (tmp_path / "tracker.json").write_bytes(b'{"openssl": {}}')
    (tmp_path / "all.zip").write_bytes(archived(RECORDS))
    network = PretendedNetwork({"https://osv.example.org/one": record("DSA-9")})
    places = [str(tmp_path / "tracker.json"), "https://osv.example.org/one", str(tmp_path / "all.zip")]
    found = read_advisories(places, INTEREST, network)
    assert (found.tracker, names(found)) == ({"openssl": {}}, ["DSA-1", "DSA-9", "PYSEC-1"])


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"openssl": 1}', b'{"openssl": {"CVE": {"releases": 1}}}'])
def test_what_are_no_advisories_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FormatError, match="not those of Debian's security tracker") as raised:
        read(tmp_path, data)
    assert "all.zip" in raised.value.hint


def test_a_record_that_is_none_names_itself(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"x\.json in .*feed is malformed: the record is none of OSV"):
        read(tmp_path, archived({"x.json": b"<html>"}))
    with pytest.raises(FormatError, match="the record is none of OSV"):
        read(tmp_path, b'{"id": "DSA-1", "affected": 1}')


@pytest.mark.parametrize("files", [{}, {"README": b"x"}], ids=["empty", "others"])
def test_an_archive_without_records_is_told(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(FormatError, match="have no record of OSV among them"):
        read(tmp_path, archived(files))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="have no record of OSV among them"):
        read(tmp_path / "empty")


def test_what_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="are no file"):
        read(tmp_path / "pipe")
    with pytest.raises(NetworkError):
        read_advisories(["http://127.0.0.1:1/json"], INTEREST, Downloads(tmp_path))


# ---- Damaged and hostile ----


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_compressed_data_that_are_cut_off_are_told(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(FormatError, match="cannot be unpacked") as raised:
        read(tmp_path, pack(b"{}")[:-4])
    assert "fetch it once more" in raised.value.hint


def damaged() -> dict[str, bytes]:
    whole = archived(RECORDS)
    content = whole.replace(whole[40:60], b"?" * 20, 1)
    encrypted = bytearray(whole)
    listed = whole.index(b"PK\x01\x02")
    for flags in (6, listed + 8):
        encrypted[flags] |= 1
    unknown = bytearray(whole)
    unknown[listed + 10 : listed + 12] = struct.pack("<H", 77)
    return {
        "cut": whole[:-30],
        "half": whole[: len(whole) // 2],
        "content": content,
        "encrypted": bytes(encrypted),
        "unknown compression": bytes(unknown),
        "start only": whole[:4],
    }


@pytest.mark.parametrize("name", damaged())
def test_a_damaged_archive_is_one_sentence_and_a_hint(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="the archive cannot be unpacked") as raised:
        read(tmp_path, damaged()[name])
    assert "fetch it once more" in raised.value.hint


BOMB = archived({f"{number}.json": b" " * 300_000 for number in range(5)})


def test_a_record_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="its contents cannot have more than 100,000 bytes"):
        read(tmp_path, BOMB, Limits(record=100_000))
    lying = bytearray(archived({"a.json": record("A", "x" * 300_000)}))
    listed = lying.index(b"PK\x01\x02")
    lying[listed + 24 : listed + 28] = struct.pack("<I", 10)
    with pytest.raises(FormatError):
        read(tmp_path, bytes(lying), Limits(record=100_000))


def test_records_that_together_unpack_without_end_are_refused(tmp_path: Path) -> None:
    many = archived({f"{number}.json": record(f"A-{number}", "x" * 1000) for number in range(9)})
    with pytest.raises(FormatError, match="its records cannot have more than 5,000 bytes"):
        read(tmp_path, many, Limits(all_records=5000))


def test_too_many_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot have more than 4 records"):
        read(tmp_path, archived(RECORDS), Limits(records=4))
    for number in range(5):
        (tmp_path / f"{number}.json").write_bytes(record("A"))
    with pytest.raises(FormatError, match="cannot have more than 4 records"):
        read(tmp_path, limits=Limits(records=4))


def test_a_list_of_records_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="its list of records cannot have more than 100 bytes"):
        read(tmp_path, archived(RECORDS), Limits(list=100))
    size = struct.pack("<Q", 1 << 40)
    long_form = b"PK\x06\x06" + bytes(36) + size + bytes(8) + b"PK\x06\x07" + bytes(16)
    end = b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2)
    with pytest.raises(FormatError, match="its list of records cannot have more than"):
        read(tmp_path, b"PK\x03\x04" + long_form + end)


@pytest.mark.parametrize("pack", [pack for name, pack in PACKS.items() if name != "plain"])
def test_a_document_that_unpacks_without_end_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(FormatError, match="the compressed data cannot have more than 1,000 bytes"):
        read(tmp_path, pack(b" " * 1001), Limits(document=1000))


def test_a_file_or_an_answer_that_is_too_big_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="the advisories cannot have more than 10 bytes"):
        read(tmp_path, b" " * 11, Limits(file=10))
    with serving(Site({"json": b" " * 100_000})) as url, pytest.raises(NetworkError, match="sends more than 10 bytes"):
        read_advisories([f"{url}/json"], INTEREST, Downloads(tmp_path), Limits(file=10))


WHOLE = archived(RECORDS)


@pytest.mark.property
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(4, len(WHOLE) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_an_archive_with_any_bytes_changed_is_read_or_told(tmp_path: Path, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(WHOLE)
    for place, new in changes:
        data[place : place + len(new)] = new
    with suppress(FormatError):
        read(tmp_path, bytes(data))
