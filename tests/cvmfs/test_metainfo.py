"""Meta-information: JSON in both directions, and the fields that can be wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.objects import ObjectKind
from tests.cvmfs.refusal import refused
from tests.cvmfs.samples import sample
from tests.cvmfs.strategies import metainfos


@pytest.mark.property
@given(metainfos)
def test_encoded_and_back(metainfo: Metainfo) -> None:
    assert Metainfo.parse(metainfo.encode()) == metainfo


def test_what_is_not_there_is_empty_and_what_is_unknown_is_passed_over() -> None:
    assert Metainfo.parse(b'{"unknown": [1, null]}') == Metainfo()


def test_the_sample_is_read() -> None:
    repository = sample("test.example.org")
    digest = repository.manifest.metainfo
    assert digest is not None
    stored = repository.plain(digest, ObjectKind.METAINFO)
    assert Metainfo.parse(stored).organisation == json.loads(stored)["organisation"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        *[
            ({key: value}, key)
            for key in ("administrator", "email", "organisation", "description", "url", "recommended-stratum0")
            for value in (1, None, ["a"], True)
        ],
        ({"recommended-stratum1s": "http://a.example.org"}, "recommended-stratum1s"),
        ({"recommended-stratum1s": [1]}, "recommended-stratum1s"),
        ({"custom": []}, "custom"),
        ([], "document"),
        ("text", "document"),
        (None, "document"),
    ],
)
def test_a_malformed_field_is_named(document: object, field: str) -> None:
    with refused(field):
        Metainfo.parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"{} {}",
        b"[" * 100_000,
        b'{"custom":' * 5_000 + b"{}" + b"}" * 5_000,
        b'{"custom": {"a": NaN}}',
        b'{"custom": {"a": 1e999}}',
        b'{"custom": {"a": ' + b"9" * 10_000 + b"}}",
        b'{"email": "\\ud800"}',
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_other_readers_could_not_take_is_refused(data: bytes) -> None:
    with refused("JSON text"):
        Metainfo.parse(data)
