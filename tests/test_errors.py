"""What the operating system refuses is told with the path that it is about."""

from __future__ import annotations

import errno

import pytest

from outcrop.errors import storage_error


@pytest.mark.parametrize(
    ("filename", "named"),
    [("/a/b", "/a/b"), (b"/a/\xc3\xbc", "/a/ü"), (b"/a/\xe9", "/a/\udce9"), (7, "the disk"), (None, "the disk")],
)
def test_a_storage_error_names_the_path(filename: object, named: str) -> None:
    error = storage_error(OSError(errno.ENOENT, "No such file or directory", filename))
    assert str(error) == f"{named} does not exist"


def test_what_the_caller_calls_it_comes_first() -> None:
    assert str(storage_error(OSError(errno.ENOSPC, "", b"/a/b"), "the cache")).startswith("the cache cannot be written")
