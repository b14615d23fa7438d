"""The bounded number of open files."""

from __future__ import annotations

import os

from outcrop.client.catalog_shelf import MAXIMUM_OPEN_CATALOGS
from outcrop.client.mount.open_files import OpenFile, OpenFiles, descriptor_budget
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
    least, scanty, ample = (descriptor_budget(limit) for limit in (64, 256, 1_000_000))
    assert least.files < scanty.files < ample.files
    assert least.fetches < scanty.fetches < ample.fetches
    connections = (scanty.fetches + scanty.ahead_threads) * (scanty.ahead_batch + 3)
    assert connections + MAXIMUM_OPEN_CATALOGS + 2 * scanty.files < 200
