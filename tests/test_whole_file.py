"""Files are there whole or not at all, and what a killed writer has left goes with the next one."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from outcrop.errors import StorageError
from outcrop.whole_file import write_whole_file

REMNANT = ".record.0123456789abcdef"


def test_the_file_is_put_in_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "record"
    for data in (b"first", b"second, longer", b""):
        write_whole_file(path, data, durable=True)
        assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["record"]


def test_nobody_else_ever_sees_a_secret(tmp_path: Path) -> None:
    write_whole_file(tmp_path / "key", b"secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_what_a_killed_writer_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / REMNANT).write_bytes(b"half")
    write_whole_file(tmp_path / "record", b"whole")
    assert os.listdir(tmp_path) == ["record"]


def test_what_a_living_writer_has_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    others = (".record.swp", ".record.0123456789ABCDEF", ".other.0123456789abcdef")
    for name in (REMNANT, *others):
        (tmp_path / name).write_bytes(b"")
    with (tmp_path / REMNANT).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_whole_file(tmp_path / "record", b"whole")
    assert sorted(os.listdir(tmp_path)) == sorted(["record", REMNANT, *others])


def test_writers_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "record"
    written = [bytes([number]) * 5000 for number in range(8)]

    def write(data: bytes) -> None:
        for _ in range(20):
            write_whole_file(path, data)

    threads = [threading.Thread(target=write, args=(data,)) for data in written]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in written
    assert os.listdir(tmp_path) == ["record"]


def test_a_failure_names_the_file_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "record").mkdir()
    with pytest.raises(StorageError, match="record"):
        write_whole_file(tmp_path / "record", b"data")
    assert os.listdir(tmp_path) == ["record"]
    with pytest.raises(StorageError, match="missing"):
        write_whole_file(tmp_path / "missing" / "record", b"data")
