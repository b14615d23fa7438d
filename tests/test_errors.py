"""What the operating system refuses is told with the path that it is about; errors travel between processes."""

from __future__ import annotations

import errno
import pickle

import pytest

from outcrop.errors import FormatError, OutcropError, StorageError, TrustError, storage_error


@pytest.mark.parametrize(
    ("filename", "named"),
    [("/a/b", "/a/b"), (b"/a/\xc3\xbc", "/a/ü"), (b"/a/\xe9", "/a/\udce9"), (7, "the disk"), (None, "the disk")],
)
def test_a_storage_error_names_the_path(filename: object, named: str) -> None:
    error = storage_error(OSError(errno.ENOENT, "No such file or directory", filename))
    assert str(error) == f"{named} does not exist"


def test_what_the_caller_calls_it_comes_first() -> None:
    assert str(storage_error(OSError(errno.ENOSPC, "", b"/a/b"), "the cache")).startswith("the cache cannot be written")


@pytest.mark.parametrize(
    "error",
    [
        StorageError(what="the disk", problem="is full", hint="tidy up"),
        FormatError(what="it", field="a", problem="b"),
        TrustError(what="{it}", problem="{b}", hint="{c}"),
    ],
)
def test_an_error_is_the_same_in_another_process(error: OutcropError) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert (other.message, other.hint, other.fields) == (error.message, error.hint, error.fields)
