"""Where a command runs: at the path of its transaction, and nothing is left of a directory that it did not fill."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from outcrop.errors import StorageError
from outcrop.stratum0.transactions.working_directory import working_directory


def test_new_directories_that_stay_empty_are_taken_away(tmp_path: Path) -> None:
    with working_directory(tmp_path / "a" / "b", tmp_path) as directory:
        assert directory == tmp_path / "a" / "b"
        assert directory.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_new_directories_that_were_filled_stay(tmp_path: Path) -> None:
    with working_directory(tmp_path / "a" / "b", tmp_path):
        (tmp_path / "a" / "beside").touch()
    assert list((tmp_path / "a").iterdir()) == [tmp_path / "a" / "beside"]


def test_directory_that_was_empty_before_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with working_directory(tmp_path / "a" / "b", tmp_path) as directory:
        directory.rmdir()
    with working_directory(tmp_path / "a", tmp_path):
        pass
    assert list((tmp_path / "a").iterdir()) == []


def test_directory_that_the_command_replaces_or_removes_is_no_trouble(tmp_path: Path) -> None:
    with working_directory(tmp_path / "a" / "b", tmp_path):
        shutil.rmtree(tmp_path / "a")
        (tmp_path / "a").write_text("a file")
    assert (tmp_path / "a").read_text() == "a file"


def test_for_a_file_it_is_the_directory_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with working_directory(tmp_path / "file", tmp_path) as directory:
        assert directory == tmp_path


def test_below_a_file_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = working_directory(tmp_path / "file" / "below", tmp_path)
    with pytest.raises(StorageError, match="below something that is not a directory"), below:
        pass
