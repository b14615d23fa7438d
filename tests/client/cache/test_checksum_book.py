"""Checksums that are kept beside a cache are found again, whatever others write there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.cache import checksum_book
from outcrop.client.cache.checksum_book import ChecksumBook
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest

CHECKSUM, OTHER = b"c" * 32, b"o" * 32
DIGEST = Digest(Algorithm.SHA1, bytes(20))


@pytest.fixture
def book(tmp_path: Path) -> ChecksumBook:
    (tmp_path / ".outcrop").mkdir()
    return ChecksumBook(os.fsencode(tmp_path))


def file_of(tmp_path: Path) -> Path:
    return tmp_path / ".outcrop" / "checksums" / "00"


def test_what_is_added_is_found(book: ChecksumBook) -> None:
    assert book.find(DIGEST, Compression.ZLIB) is None
    book.add(DIGEST, Compression.ZLIB, CHECKSUM)
    assert book.find(DIGEST, Compression.ZLIB) == CHECKSUM


def test_other_algorithms_and_readings_are_others(book: ChecksumBook) -> None:
    book.add(DIGEST, Compression.ZLIB, CHECKSUM)
    assert book.find(DIGEST, Compression.NONE) is None
    assert book.find(Digest(Algorithm.SHAKE128, bytes(20)), Compression.ZLIB) is None


def test_last_one_holds(book: ChecksumBook) -> None:
    book.add(DIGEST, Compression.ZLIB, OTHER)
    book.add(DIGEST, Compression.ZLIB, CHECKSUM)
    assert book.find(DIGEST, Compression.ZLIB) == CHECKSUM


@given(rubbish=st.binary(max_size=200))
def test_rubbish_is_passed_over(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    root = tmp_path_factory.mktemp("cache")
    book = ChecksumBook(os.fsencode(root))
    book.add(DIGEST, Compression.ZLIB, CHECKSUM)
    with open(file_of(root), "ab") as file:
        file.write(rubbish)
    assert book.find(DIGEST, Compression.ZLIB) == CHECKSUM
    another = Digest(Algorithm.SHA1, bytes(19) + b"1")
    book.add(another, Compression.NONE, OTHER)
    assert book.find(another, Compression.NONE) == OTHER
    assert book.find(DIGEST, Compression.ZLIB) == CHECKSUM


def test_damaged_record_is_not_believed(tmp_path: Path, book: ChecksumBook) -> None:
    book.add(DIGEST, Compression.ZLIB, CHECKSUM)
    file = file_of(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"cc", b"cd", 1))
    assert book.find(DIGEST, Compression.ZLIB) is None


def test_checksum_that_looks_like_a_key_is_none(book: ChecksumBook) -> None:
    book.add(Digest(Algorithm.SHA1, bytes(19) + b"1"), Compression.ZLIB, bytes(32))
    assert book.find(DIGEST, Compression.ZLIB) is None


def test_it_does_not_grow_for_ever(tmp_path: Path, book: ChecksumBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum_book, "_MOST_BYTES", 600)
    for number in range(100):
        book.add(Digest(Algorithm.SHA1, bytes(19) + bytes([number])), Compression.ZLIB, CHECKSUM)
        assert book.find(Digest(Algorithm.SHA1, bytes(19) + bytes([number])), Compression.ZLIB) == CHECKSUM
    assert file_of(tmp_path).stat().st_size <= 720
    assert os.listdir(file_of(tmp_path).parent) == ["00"]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".outcrop").write_bytes(b"")
    book = ChecksumBook(os.fsencode(tmp_path))
    book.add(DIGEST, Compression.ZLIB, CHECKSUM)
    assert book.find(DIGEST, Compression.ZLIB) is None
