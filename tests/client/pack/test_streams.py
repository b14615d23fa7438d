"""Streams come out as they went in, and a program that fails is told of."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.pack.streams import (
    GZIP_BLOCK_BYTES,
    DigestingSink,
    file_sink,
    gzip_sink,
    program_sink,
    run_program,
    zstd_sink,
)
from outcrop.errors import CommandFailed, MissingCapability, StorageError


@pytest.mark.property
@given(st.lists(st.binary(max_size=100), max_size=20))
def test_gzip_holds_what_went_in_however_it_came(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    results = []
    for parts in (pieces, [whole]):
        out = io.BytesIO()
        with gzip_sink(out.write) as sink:
            for piece in parts:
                sink(piece)
        results.append(out.getvalue())
    assert results[0] == results[1]
    assert not whole or gzip.decompress(results[0]) == whole


def test_large_streams_are_encoded_in_order() -> None:
    data = b"".join(bytes((number,)) * GZIP_BLOCK_BYTES for number in range(9)) + b"end"
    out = io.BytesIO()
    with gzip_sink(out.write) as sink:
        sink(data)
    assert gzip.decompress(out.getvalue()) == data


def test_digest_and_size_of_a_stream() -> None:
    out = io.BytesIO()
    sink = DigestingSink(out.write)
    sink(b"a")
    sink(b"bc")
    assert (out.getvalue(), sink.size, sink.digest) == (b"abc", 3, hashlib.sha256(b"abc").hexdigest())


def test_file_must_be_new(tmp_path: Path) -> None:
    with file_sink(tmp_path / "x") as sink:
        sink(b"1")
    with pytest.raises(StorageError), file_sink(tmp_path / "x"):
        pass
    assert (tmp_path / "x").read_bytes() == b"1"


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="there is no /dev/full")
def test_full_disk_is_said(tmp_path: Path) -> None:
    copy = "import sys; open('/dev/full', 'wb', 0).write(sys.stdin.buffer.read())"
    with (
        pytest.raises(StorageError, match="the disk is full"),
        program_sink([sys.executable, "-c", copy], tmp_path) as sink,
    ):
        sink(b"x")


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_zstd_makes_a_file(tmp_path: Path) -> None:
    with zstd_sink("zstd", tmp_path / "x.zst") as sink:
        sink(b"x" * 100_000)
    assert (tmp_path / "x.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"


def test_last_words_of_a_program_are_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="sh failed: no such thing"):
        run_program(["sh", "-c", "echo ignored >&2; echo no such thing >&2; exit 3"], tmp_path)
    with (
        pytest.raises(CommandFailed, match="sh failed: it ended with 3"),
        program_sink(["sh", "-c", "exit 3"], tmp_path) as sink,
    ):
        sink(bytes(10_000_000))


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability):
        run_program([str(tmp_path / "nothing")], tmp_path)


def test_program_is_gone_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), program_sink(["sleep", "600"], tmp_path):
        raise KeyError("something else")


def test_program_has_an_environment_without_settings_of_its_user(tmp_path: Path) -> None:
    os.environ["SQFS_SETTING"] = "1"
    try:
        run_program(["sh", "-c", 'test -z "$SQFS_SETTING" && test "$TZ" = UTC && test "$X" = y'], tmp_path, {"X": "y"})
    finally:
        del os.environ["SQFS_SETTING"]
