"""The promise of a freshness record: in the meta-information, beside what others wrote there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.freshness_announcement import (
    DEFAULT_REPLICATION_SECONDS,
    MAXIMUM_FRESHNESS_SECONDS,
    MAXIMUM_FRESHNESS_SERVERS,
    MINIMUM_FRESHNESS_SECONDS,
    FreshnessAnnouncement,
)
from outcrop.cvmfs.metainfo import Metainfo, announced_freshness, with_freshness
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError
from tests.cvmfs.refusal import refused
from tests.cvmfs.strategies import metainfos

SERVER = "https://s0.example.org:8000/cvmfs/@fqrn@"

announcements = st.builds(
    FreshnessAnnouncement,
    st.integers(MINIMUM_FRESHNESS_SECONDS, MAXIMUM_FRESHNESS_SECONDS),
    st.lists(st.sampled_from(["http://a.example.org/cvmfs/@fqrn@", SERVER]), max_size=3).map(tuple),
    st.integers(0, MAXIMUM_FRESHNESS_SECONDS),
)


@pytest.mark.property
@given(metainfos, announcements)
def test_announced_and_taken_back(metainfo: Metainfo, announcement: FreshnessAnnouncement) -> None:
    announced = with_freshness(metainfo.encode(), announcement)
    assert Metainfo.parse(announced).freshness == announced_freshness(announced) == announcement
    assert Metainfo.parse(Metainfo.parse(announced).encode()).freshness == announcement
    assert Metainfo.parse(with_freshness(announced, None)) == metainfo


def test_what_others_wrote_stays() -> None:
    foreign = {"administrator": "a", "logo": "…", "outcrop": {"later": 1}}
    announced = json.loads(with_freshness(json.dumps(foreign).encode(), FreshnessAnnouncement(3600)))
    assert announced == {**foreign, "outcrop": {"later": 1, "freshness": {"maximum_age": 3600}}}
    assert json.loads(with_freshness(json.dumps(announced).encode(), None)) == foreign


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'{"outcrop": 1}', b'{"outcrop": {}}', b'{"email": 1, "custom": []}']
)
def test_what_is_no_meta_information_announces_nothing(data: bytes) -> None:
    assert announced_freshness(data) is None


def test_an_announcement_counts_whatever_stands_beside_it() -> None:
    data = b'{"email": 1, "outcrop": {"freshness": {"maximum_age": 86400, "unknown": true}}}'
    assert announced_freshness(data) == FreshnessAnnouncement(86400, (), DEFAULT_REPLICATION_SECONDS)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "the announcement of freshness"),
        ({}, "maximum_age"),
        ({"maximum_age": "1"}, "maximum_age"),
        ({"maximum_age": True}, "maximum_age"),
        ({"maximum_age": 86400.0}, "maximum_age"),
        ({"maximum_age": MINIMUM_FRESHNESS_SECONDS - 1}, "maximum_age"),
        ({"maximum_age": MAXIMUM_FRESHNESS_SECONDS + 1}, "maximum_age"),
        ({"maximum_age": 86400, "replication": -1}, "replication"),
        ({"maximum_age": 86400, "replication": None}, "replication"),
        ({"maximum_age": 86400, "servers": SERVER}, "servers"),
        ({"maximum_age": 86400, "servers": [1]}, "servers"),
        ({"maximum_age": 86400, "servers": ["file:///etc"]}, "servers"),
        ({"maximum_age": 86400, "servers": ["http:///path"]}, "servers"),
        ({"maximum_age": 86400, "servers": ["http://[a/"]}, "servers"),
        ({"maximum_age": 86400, "servers": ["http://a/?q"]}, "servers"),
        ({"maximum_age": 86400, "servers": [SERVER] * (MAXIMUM_FRESHNESS_SERVERS + 1)}, "servers"),
    ],
)
def test_a_malformed_announcement_is_refused_by_its_field(document: object, field: str) -> None:
    with refused(field):
        announced_freshness(json.dumps({"outcrop": {"freshness": document}}).encode())


def test_names_are_filled_into_servers() -> None:
    announcement = FreshnessAnnouncement(3600, ("http://@org@.example.org/cvmfs/@fqrn@",))
    assert announcement.server_urls(RepositoryName("tools.example.org")) == (
        "http://tools.example.org/cvmfs/tools.example.org",
    )


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(SERVER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["maximum_age", "servers"]), inner),
    max_leaves=6,
)


@pytest.mark.property
@given(_json)
def test_whatever_strangers_announce_ends_in_a_typed_error_or_is_written_again(document: object) -> None:
    data = json.dumps({"outcrop": {"freshness": document}}).encode()
    try:
        announcement = announced_freshness(data)
    except FormatError:
        return
    assert announced_freshness(with_freshness(data, announcement)) == announcement
