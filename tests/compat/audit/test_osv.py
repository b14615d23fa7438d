"""Which versions a record of OSV is about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.audit.faults import DEBIAN, PYPI, Severity, State
from outcrop.compat.audit.osv import AffectedPackage, is_record, osv_standing, parse_record, rating
from outcrop.compat.audit.tracker import Standing
from outcrop.compat.debian.version import compare_versions
from outcrop.errors import FormatError


def affected(ecosystem: str = DEBIAN, kind: str = "ECOSYSTEM", **fields: Any) -> AffectedPackage:
    """The package of a record with these `events`, `versions` and whatever else is given."""
    events = fields.pop("events", None)
    document = {"package": {"ecosystem": ecosystem, "name": "x"}, **fields}
    if events is not None:
        document["ranges"] = [{"type": kind, "events": events}]
    (one,) = parse_record(json.dumps({"id": "X-1", "affected": [document]}).encode(), "x").affected or ()
    return one


def state(version: str, ecosystem: str = DEBIAN, **fields: Any) -> tuple[State, str] | None:
    found = osv_standing(affected(ecosystem, **fields), version, ecosystem)
    return None if found is None else (found.state, found.fixed)


TWICE = [{"introduced": "1.0"}, {"fixed": "1.5"}, {"introduced": "2.0"}, {"fixed": "2.5"}]


@pytest.mark.parametrize(
    ("events", "version", "wanted"),
    [
        ([{"introduced": "0"}], "1", (State.OPEN, "")),
        ([{"introduced": "0"}, {"fixed": "2"}], "1", (State.FIXABLE, "2")),
        ([{"fixed": "2"}, {"introduced": "0"}], "1", (State.FIXABLE, "2")),
        ([{"introduced": "0"}, {"fixed": "2"}], "2", None),
        ([{"introduced": "0"}, {"fixed": "0"}], "1", None),
        ([{"introduced": "0"}, {"last_affected": "2"}], "2", (State.FIXABLE, "above 2")),
        ([{"introduced": "0"}, {"last_affected": "2"}], "2.1", None),
        ([{"introduced": "2"}, {"last_affected": "2"}], "2", (State.FIXABLE, "above 2")),
        (TWICE, "0.9", None),
        (TWICE, "1.0", (State.FIXABLE, "1.5")),
        (TWICE, "1.5", None),
        (TWICE, "2.4", (State.FIXABLE, "2.5")),
        (TWICE, "2.5", None),
        ([{"introduced": "1"}, {"fixed": "2"}, {"introduced": "2"}], "2", (State.OPEN, "")),
        ([{"fixed": "2"}], "1", None),
        ([{"introduced": "0"}, {"limit": "1"}], "3", (State.OPEN, "")),
    ],
)
def test_a_version_is_in_the_ranges_or_not(
    events: list[dict[str, str]], version: str, wanted: tuple[State, str] | None
) -> None:
    assert state(version, events=events) == wanted
    assert state(version, PYPI, events=events) == wanted


def test_each_ecosystem_has_its_own_order() -> None:
    events = [{"introduced": "0"}, {"fixed": "1.0-1+deb12u1"}]
    assert state("1.0-1~bpo12+1", events=events) == (State.FIXABLE, "1.0-1+deb12u1")
    assert state("1.0-1+deb12u1", events=events) is None
    assert state("0~beta", events=events) == (State.FIXABLE, "1.0-1+deb12u1")
    assert state("1.0rc1", PYPI, events=[{"introduced": "0"}, {"fixed": "1.0"}]) == (State.FIXABLE, "1.0")
    assert state("1.0.0", PYPI, events=[{"introduced": "0"}, {"fixed": "1.0"}]) is None


def test_versions_that_are_listed_are_affected() -> None:
    assert state("1.2", versions=["1.1", "1.2"]) == (State.OPEN, "")
    assert state("1.3", versions=["1.1", "1.2"]) is None
    assert state("1.2.0", PYPI, versions=["rubbish", "1.2"]) == (State.OPEN, "")
    assert state("1.2", versions=["1.2"], events=[{"introduced": "1.4"}, {"fixed": "1.5"}]) == (State.FIXABLE, "1.5")


def test_ranges_of_commits_say_nothing() -> None:
    assert state("1", kind="GIT", events=[{"introduced": "0"}], versions=["2"]) is None


def test_a_record_that_says_nothing_of_versions_leaves_it_open() -> None:
    assert state("1") == (State.UNDETERMINED, "")
    assert state("1", kind="GIT", events=[{"introduced": "0"}]) == (State.UNDETERMINED, "")
    assert state("1", PYPI, events=[{"introduced": "rubbish"}]) == (State.UNDETERMINED, "")
    assert state("rubbish", PYPI, events=[{"introduced": "0"}], versions=["rubbish"]) == (State.OPEN, "")


VERSIONS = st.sampled_from(["0~a", "0", "0.1", "1~rc1", "1", "1-1", "1-1+deb12u1", "1.0.1", "2", "1:0.5", "9" * 5000])


@pytest.mark.property
@given(VERSIONS, VERSIONS, VERSIONS)
def test_a_range_holds_what_is_between_its_ends(start: str, end: str, version: str) -> None:
    found = state(version, events=[{"introduced": start}, {"fixed": end}])
    began = start == "0" or compare_versions(version, start) >= 0
    ends_before_it_begins = start != "0" and compare_versions(end, start) <= 0
    assert (found is not None) == (began and (ends_before_it_begins or compare_versions(version, end) < 0))


@pytest.mark.property
@given(st.lists(st.fixed_dictionaries({}, optional={name: st.text(max_size=5) for name in ("introduced", "fixed")})))
def test_no_versions_are_an_error(events: list[dict[str, str]]) -> None:
    for ecosystem in (DEBIAN, PYPI):
        found = osv_standing(affected(ecosystem, events=events), "1.0", ecosystem)
        assert found is None or isinstance(found, Standing)


def rated(*vectors: tuple[str, str], **fields: Any) -> tuple[Severity, float | None]:
    document = {"id": "X-1", "severity": [{"type": kind, "score": text} for kind, text in vectors], **fields}
    record = parse_record(json.dumps(document).encode(), "x")
    severity, score, _ = rating(record, affected(PYPI, events=[]))
    return severity, score


def test_the_newest_cvss_decides_and_a_word_only_where_there_is_none() -> None:
    third = ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
    fourth = ("CVSS_V4", "CVSS:4.0/AV:L/AC:H/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N")
    assert rated(third) == (Severity.CRITICAL, 9.8)
    assert rated(third, fourth)[0] in (Severity.LOW, Severity.MEDIUM)
    assert rated(third, database_specific={"severity": "LOW"}) == (Severity.CRITICAL, 9.8)
    assert rated(("CVSS_V3", "rubbish"), database_specific={"severity": "HIGH"}) == (Severity.HIGH, None)
    assert rated(("Ubuntu", "high")) == (Severity.UNKNOWN, None)


@pytest.mark.parametrize(
    "text", ['{"id": 1}', "[]", '{"id": "X", "affected": [1]}', '{"id": "X", "affected": [{"versions": [1]}]}']
)
def test_what_is_no_record_is_told(text: str) -> None:
    with pytest.raises(FormatError, match="is none of OSV"):
        parse_record(text.encode(), "x")


def test_a_record_may_leave_all_but_its_name_empty() -> None:
    empty = dict.fromkeys(("aliases", "upstream", "severity", "affected", "withdrawn", "summary", "database_specific"))
    assert parse_record(json.dumps({"id": "X", **empty}).encode(), "x").faults() == ("X",)
    assert is_record(b'{"id": "X"}')
    assert not is_record(b'{"id": {}}')
