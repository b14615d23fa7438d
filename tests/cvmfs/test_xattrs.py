"""Extended attributes: the blob in both directions, and every way it can be cut or padded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.xattrs import NO_XATTRS, Xattrs
from outcrop.errors import FormatError, InvalidValue
from tests.cvmfs import strategies
from tests.cvmfs.refusal import refused


@pytest.mark.property
@given(strategies.xattrs)
def test_encoded_and_back(xattrs: Xattrs) -> None:
    assert Xattrs.parse(xattrs.encode()) == xattrs


@pytest.mark.property
@given(st.dictionaries(st.binary(min_size=1, max_size=9), st.binary(max_size=9), max_size=5))
def test_attributes_are_found_by_key_and_sorted(attributes: dict[bytes, bytes]) -> None:
    xattrs = Xattrs.of(attributes)
    assert list(xattrs) == sorted(attributes.items())
    assert {key: xattrs.get(key) for key in attributes} == attributes
    assert xattrs.get(b"not there") is None
    assert bool(xattrs) == bool(attributes)


def test_no_attributes_are_no_blob() -> None:
    assert NO_XATTRS.encode() is None
    assert Xattrs.parse(None) == NO_XATTRS


def test_the_blob_is_as_described() -> None:
    assert Xattrs.of({b"user.b": b"2", b"user.a": b""}).encode() == b"\1\2\6\0user.a\6\1user.b2"


def test_the_largest_attributes_fit() -> None:
    largest = Xattrs.of({bytes([number]) * 255: b"v" * 255 for number in range(255)})
    assert Xattrs.parse(largest.encode()) == largest


@pytest.mark.parametrize(
    "attributes",
    [
        {b"": b""},
        {b"k" * 256: b""},
        {b"user.k": b"v" * 256},
        {str(number).encode(): b"" for number in range(256)},
    ],
)
def test_what_does_not_fit_is_refused(attributes: dict[bytes, bytes]) -> None:
    with pytest.raises(InvalidValue):
        Xattrs.of(attributes)


@pytest.mark.parametrize(
    ("blob", "field"),
    [
        (b"", "version"),
        (b"\1", "version"),
        (b"\2\1\1\0k", "version"),
        (b"\0\0", "version"),
        (b"\1\0", "number of attributes"),
        (b"\1\1", "lengths"),
        (b"\1\1\1", "lengths"),
        (b"\1\2\1\0k", "lengths"),
        (b"\1\1\2\0k", "an attribute"),
        (b"\1\1\1\2kv", "an attribute"),
        (b"\1\1\0\1v", "key"),
        (b"\1\1\1\0k\0", "end"),
        (b"\1\2\1\0k\1\1kv", "key"),
    ],
)
def test_a_malformed_blob(blob: bytes, field: str) -> None:
    with refused(field):
        Xattrs.parse(blob)
    with refused("the catalog"):
        Xattrs.parse(blob, "the catalog")


@pytest.mark.property
@given(st.binary(max_size=30))
def test_a_blob_that_parses_says_what_is_written(blob: bytes) -> None:
    try:
        xattrs = Xattrs.parse(blob)
    except FormatError:
        return
    assert Xattrs.parse(xattrs.encode()) == xattrs
    assert len(xattrs.encode() or b"") == len(blob)
