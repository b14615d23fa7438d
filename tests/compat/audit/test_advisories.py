"""Which faults a lock has, by the data of Debian's security tracker, by records of OSV, and by both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from outcrop.compat.audit.advisories import Advisories, Audit, audit, interest_in
from outcrop.compat.audit.faults import PYPI, TRACKER, Affected, Severity, State
from outcrop.compat.audit.osv import OsvRecord, parse_record
from outcrop.compat.audit.tracker import parse_tracker
from outcrop.compat.lock import FORMAT, Lock, LockedPackage, LockedSuite, LockedWheel
from outcrop.errors import InvalidValue


def package(name: str, source: str, version: str, *, ships: bool = True) -> LockedPackage:
    return LockedPackage(name, version, "amd64", source, version, "0" * 64, 1, 1, "pool/x.deb", "", ships)


LOCK = Lock(
    FORMAT,
    "bookworm",
    "x86_64",
    (),
    (),
    (),
    (
        package("libssl3", "openssl", "3.0.11-1~deb12u2"),
        package("openssl", "openssl", "3.0.11-1~deb12u2"),
        package("cmake", "cmake", "3.25.1-1", ships=False),
    ),
)


def found(status: str, *, source: str = "openssl", **fields: Any) -> tuple[Affected, ...]:
    release = {"status": status, "urgency": "not yet assigned", **fields}
    data = {source: {"CVE-2026-1": {"description": "bad", "releases": {"bookworm": release}}}}
    return audit(LOCK, tracked(data), "feed").found


def tracked(data: object) -> Advisories:
    return Advisories(parse_tracker(json.dumps(data).encode(), "feed"))


def test_a_fault_that_is_mended_in_a_newer_version_can_be_mended() -> None:
    (one,) = found(
        "resolved",
        fixed_version="3.0.13-1~deb12u1",
        repositories={"bookworm": "3.0.14-1~deb12u2", "bookworm-security": "3.0.13-1~deb12u1"},
        urgency="high",
    )
    assert one == Affected(
        "CVE-2026-1",
        "openssl",
        "3.0.11-1~deb12u2",
        ("libssl3", "openssl"),
        Severity.HIGH,
        State.FIXABLE,
        "3.0.13-1~deb12u1",
        "bad",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"fixed_version": "0"},
        {"fixed_version": "3.0.11-1~deb12u2"},
        {"fixed_version": "3.0.9-1"},
        # The number is that of a newer release; this one's suites have no newer version than the lock.
        {"fixed_version": "3.2.0-1", "repositories": {"bookworm": "3.0.11-1~deb12u2"}},
    ],
)
def test_a_version_that_is_mended_is_not_affected(fields: dict[str, Any]) -> None:
    assert found("resolved", **fields) == ()


def test_the_version_that_mends_is_one_that_the_release_has() -> None:
    offered = {"bookworm": "3.0.11-1~deb12u2", "bookworm-security": "3.0.12-1+deb12u1"}
    (one,) = found("resolved", fixed_version="3.0.12-1", repositories=offered)
    assert one.fixed == "3.0.12-1+deb12u1"


@pytest.mark.parametrize(
    ("status", "fields", "state"),
    [
        ("open", {}, State.OPEN),
        ("open", {"nodsa": "minor", "nodsa_reason": ""}, State.DEFERRED),
        ("open", {"nodsa_reason": "postponed"}, State.DEFERRED),
        ("open", {"nodsa_reason": "ignored"}, State.IGNORED),
        ("undetermined", {}, State.UNDETERMINED),
    ],
)
def test_faults_without_a_fix_say_why(status: str, fields: dict[str, Any], state: State) -> None:
    (one,) = found(status, **fields)
    assert (one.state, one.fixed) == (state, "")


@pytest.mark.parametrize(
    ("urgency", "severity"),
    [
        ("high", Severity.HIGH),
        ("high**", Severity.HIGH),
        ("medium**", Severity.MEDIUM),
        ("low", Severity.LOW),
        ("unimportant", Severity.UNIMPORTANT),
        ("not yet assigned", Severity.UNKNOWN),
        ("end-of-life", Severity.UNKNOWN),
        ("new word", Severity.UNKNOWN),
    ],
)
def test_severities_are_the_tracker_s_words(urgency: str, severity: Severity) -> None:
    assert found("open", urgency=urgency)[0].severity is severity


def test_what_does_not_ship_does_not_count() -> None:
    assert found("open", source="cmake") == ()


def test_what_can_be_mended_comes_first_and_then_the_worst() -> None:
    releases = {
        "CVE-1": {"status": "open", "urgency": "high"},
        "CVE-2": {"status": "resolved", "fixed_version": "4", "urgency": "low"},
        "CVE-3": {"status": "resolved", "fixed_version": "4", "urgency": "medium"},
    }
    data = {"openssl": {number: {"releases": {"bookworm": one}} for number, one in releases.items()}}
    affected = audit(LOCK, tracked(data), "feed").found
    assert [one.fault for one in affected] == ["CVE-3", "CVE-2", "CVE-1"]


def test_advisories_that_do_not_know_the_release_are_refused() -> None:
    data = {"openssl": {"CVE-1": {"releases": {"trixie": {"status": "open"}}}}}
    with pytest.raises(InvalidValue, match="says nothing of the release bookworm"):
        audit(LOCK, tracked(data), "feed")


# ---- Records of OSV ----

WHEEL = LockedWheel("some-thing", "1.4", "some_thing-1.4-py3-none-any.whl", "0" * 64, 1)
WITH_WHEEL = Lock(FORMAT, "bookworm", "x86_64", (), (), (), LOCK.packages, (WHEEL,))
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


def record(name: str, *events: dict[str, str], **fields: Any) -> OsvRecord:
    """A record of openssl in bookworm; `package`, `urgency` and whatever a record has may be given."""
    package = fields.pop("package", {"ecosystem": "Debian:12", "name": "openssl"})
    affected = {
        "package": package,
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, *events]}],
        "ecosystem_specific": {"urgency": fields.pop("urgency", "not yet assigned")},
    }
    return parse_record(json.dumps({"id": name, "affected": [affected], **fields}).encode(), name)


def by_osv(*records: OsvRecord, tracker: object = None, lock: Lock = LOCK) -> Audit:
    known = Advisories() if tracker is None else tracked(tracker)
    ecosystems = frozenset(one.ecosystem for each in records for one in each.affected or ())
    return audit(lock, known.joined(Advisories(None, records, ecosystems)), "feed")


def tracker_says(fault: str, **release: Any) -> dict[str, Any]:
    return {"openssl": {fault: {"description": "bad", "releases": {"bookworm": {"status": "open", **release}}}}}


def test_a_record_of_osv_says_what_is_affected_and_that_it_does() -> None:
    rated = {"severity": [{"type": "CVSS_V3", "score": VECTOR}]}
    (one,) = by_osv(
        record("DEBIAN-CVE-2026-1", {"fixed": "3.0.13"}, upstream=["CVE-2026-1"], summary="bad", **rated)
    ).found
    assert one == Affected(
        "CVE-2026-1",
        "openssl",
        "3.0.11-1~deb12u2",
        ("libssl3", "openssl"),
        Severity.CRITICAL,
        State.FIXABLE,
        "3.0.13",
        "bad",
        said_by="OSV DEBIAN-CVE-2026-1",
        score=9.8,
        vector=VECTOR,
    )


def test_a_record_of_what_is_mended_or_does_not_ship_finds_nothing() -> None:
    cmake = record("DEBIAN-CVE-2026-2", package={"ecosystem": "Debian:12", "name": "cmake"})
    assert by_osv(record("DEBIAN-CVE-2026-1", {"fixed": "3.0.11-1~deb12u2"}), cmake).found == ()


def test_an_advisory_of_several_faults_is_each_of_them() -> None:
    found = by_osv(record("DSA-5000-1", {"fixed": "3.0.13"}, upstream=["CVE-2026-2", "CVE-2026-1"])).found
    assert [(one.fault, one.said_by) for one in found] == [
        ("CVE-2026-1", "OSV DSA-5000-1"),
        ("CVE-2026-2", "OSV DSA-5000-1"),
    ]


def test_an_advisory_without_a_number_has_its_own_name() -> None:
    assert [one.fault for one in by_osv(record("DSA-5000-1")).found] == ["DSA-5000-1"]


def test_the_tracker_s_record_says_more_than_an_advisory_of_the_same_fault() -> None:
    advisory = record("DSA-5000-1", {"fixed": "3.0.13"}, aliases=["CVE-2026-1"])
    mended = record("DEBIAN-CVE-2026-1", {"fixed": "3.0.9"}, upstream=["CVE-2026-1"])
    assert by_osv(advisory, mended).found == ()
    (one,) = by_osv(advisory, record("DEBIAN-CVE-2026-1", upstream=["CVE-2026-1"], urgency="low")).found
    assert (one.state, one.severity, one.said_by) == (State.OPEN, Severity.LOW, "OSV DEBIAN-CVE-2026-1")


def test_of_several_advisories_the_last_one_mends() -> None:
    first, second = (record(name, {"fixed": fixed}, upstream=["CVE-2026-1"]) for name, fixed in
                     (("DSA-1-1", "3.0.12"), ("DSA-1-2", "3.0.13")))  # fmt: skip
    (one,) = by_osv(second, first).found
    assert (one.fixed, one.said_by) == ("3.0.13", "OSV DSA-1-2, DSA-1-1")


def test_debian_s_urgency_comes_before_a_score() -> None:
    rated = {"severity": [{"type": "CVSS_V3", "score": VECTOR}]}
    audited = by_osv(record("DEBIAN-CVE-2026-1", urgency="unimportant", **rated))
    (one,) = audited.found
    assert (one.severity, one.score, audited.serious) == (Severity.UNIMPORTANT, 9.8, ())


# ---- Both ----


def test_what_both_know_is_the_tracker_s_word_with_osv_s_score() -> None:
    rated = {"severity": [{"type": "CVSS_V3", "score": VECTOR}]}
    osv = record("DEBIAN-CVE-2026-1", {"fixed": "3.0.13"}, **rated)
    (one,) = by_osv(osv, tracker=tracker_says("CVE-2026-1", nodsa_reason="postponed", urgency="not yet assigned")).found
    assert (one.state, one.fixed, one.said_by) == (State.DEFERRED, "", TRACKER)
    assert (one.severity, one.score) == (Severity.CRITICAL, 9.8)
    (one,) = by_osv(osv, tracker=tracker_says("CVE-2026-1", urgency="low")).found
    assert (one.severity, one.score) == (Severity.LOW, 9.8)


def test_what_the_tracker_denies_is_told_and_does_not_count() -> None:
    osv = record("DEBIAN-CVE-2026-1", {"fixed": "3.2"})
    for says in (
        {"status": "resolved", "fixed_version": "0"},
        # The release's suites have no newer version than the lock: only the tracker knows that.
        {"status": "resolved", "fixed_version": "3.2", "repositories": {"bookworm": "3.0.11-1~deb12u2"}},
    ):
        audited = by_osv(osv, tracker=tracker_says("CVE-2026-1", **says))
        assert (audited.found, [one.fault for one in audited.denied]) == ((), ["CVE-2026-1"])


def test_a_fault_that_only_osv_knows_is_told_beside_the_tracker_s() -> None:
    found = by_osv(record("DEBIAN-CVE-2026-2"), tracker=tracker_says("CVE-2026-1")).found
    assert [(one.fault, one.said_by) for one in found] == [
        ("CVE-2026-1", TRACKER),
        ("CVE-2026-2", "OSV DEBIAN-CVE-2026-2"),
    ]


# ---- Wheels ----


def of_wheel(name: str, *events: dict[str, str], **fields: Any) -> OsvRecord:
    return record(name, *events, package={"ecosystem": PYPI, "name": "Some.Thing"}, **fields)


def test_wheels_are_looked_at_by_python_s_order_and_names() -> None:
    audited = by_osv(of_wheel("PYSEC-2026-1", {"fixed": "1.10"}), record("DSA-1"), lock=WITH_WHEEL)
    (one,) = (one for one in audited.found if one.ecosystem == PYPI)
    assert (one.source, one.version, one.fixed, one.packages) == ("some-thing", "1.4", "1.10", ("some-thing",))
    assert audited.not_looked_at == ()
    assert by_osv(of_wheel("PYSEC-2026-1", {"fixed": "1.4.0"}), lock=WITH_WHEEL).found == ()


def test_records_that_are_each_other_s_aliases_are_one_fault() -> None:
    word = {"database_specific": {"severity": "MODERATE"}}
    records = (
        of_wheel("PYSEC-2026-1", {"fixed": "1.9"}, aliases=["CVE-2026-9", "GHSA-x"]),
        of_wheel("GHSA-x", {"fixed": "1.10"}, aliases=["CVE-2026-9", "PYSEC-2026-1"], **word),
    )
    (one,) = by_osv(*records, lock=WITH_WHEEL).found
    assert (one.fault, one.fixed, one.severity) == ("CVE-2026-9", "1.10", Severity.MEDIUM)
    assert one.said_by == "OSV PYSEC-2026-1, GHSA-x"


def test_records_of_wheels_alone_leave_packages_unlooked_at() -> None:
    audited = by_osv(of_wheel("PYSEC-2026-1"), lock=WITH_WHEEL)
    assert not audited.packages_looked_at
    with pytest.raises(InvalidValue, match="says nothing of the release bookworm"):
        by_osv(of_wheel("PYSEC-2026-1"), lock=LOCK)


def test_records_of_another_release_are_refused_even_if_they_know_the_wheels() -> None:
    other = record("DSA-1", package={"ecosystem": "Debian:13", "name": "openssl"})
    with pytest.raises(InvalidValue, match="says nothing of the release bookworm"):
        by_osv(other, of_wheel("PYSEC-2026-1"), lock=WITH_WHEEL)


def test_of_a_release_that_the_tracker_has_dropped_osv_s_records_say_what_is_known() -> None:
    dropped = tracked({"openssl": {"CVE-1": {"releases": {"trixie": {"status": "open"}}}}})
    records = (record("DEBIAN-CVE-2026-1", {"fixed": "3.0.13"}, upstream=["CVE-2026-1"]),)
    (one,) = audit(LOCK, dropped.joined(Advisories(None, records, frozenset({"Debian:12"}))), "feeds").found
    assert (one.fault, one.said_by) == ("CVE-2026-1", "OSV DEBIAN-CVE-2026-1")


def test_a_release_is_known_by_the_number_that_its_suites_have() -> None:
    suite = LockedSuite("duke", "15.2", "2030-01-01T00:00:00Z", "0" * 64, "0" * 64)
    lock = Lock(FORMAT, "duke", "x86_64", (), (suite,), (), LOCK.packages)
    assert interest_in(lock).release == {"Debian:15", "Debian"}
    assert interest_in(LOCK).release == {"Debian:12", "Debian"}
