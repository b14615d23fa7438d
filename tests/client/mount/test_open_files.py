"""The bounded number of open files."""

from __future__ import annotations

import os

from outcrop.client.mount.open_files import FEWEST_FILES, MOST_FILES, OpenFile, OpenFiles, files_per_reader
from tests.client.mount.fake_kernel import is_open


def opened() -> OpenFile:
    return OpenFile(os.open(os.devnull, os.O_RDONLY), 0)


def test_the_file_that_was_not_used_for_longest_is_closed() -> None:
    files = OpenFiles(2)
    first, second, third = opened(), opened(), opened()
    files.add("first", first)
    files.add("second", second)
    assert files.get("first") == first
    files.add("third", third)
    assert files.get("second") is None
    assert not is_open(second.descriptor)
    assert is_open(first.descriptor)
    files.close()
    assert len(files) == 0
    assert not is_open(first.descriptor)
    assert not is_open(third.descriptor)


def test_dropping_what_is_not_there_changes_nothing() -> None:
    files = OpenFiles(2)
    files.drop("nothing")
    assert len(files) == 0


def test_few_descriptors_are_shared_out() -> None:
    assert files_per_reader(64, 2) == FEWEST_FILES
    assert files_per_reader(256, 2) == 48
    assert files_per_reader(1_000_000, 2) == MOST_FILES
