"""Which faults a lock has, by the data of Debian's security tracker."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from outcrop.compat.audit.advisories import Affected, Severity, State, audit, parse_advisories
from outcrop.compat.audit.feed import read_advisories
from outcrop.compat.lock import FORMAT, Lock, LockedPackage
from outcrop.errors import FormatError, InvalidValue, NetworkError, NotFound
from outcrop.software.sources.download import Downloads


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
    return audit(LOCK, parse_advisories(json.dumps(data).encode(), "feed"), "feed")


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
    affected = audit(LOCK, parse_advisories(json.dumps(data).encode(), "feed"), "feed")
    assert [one.fault for one in affected] == ["CVE-3", "CVE-2", "CVE-1"]


def test_advisories_that_do_not_know_the_release_are_refused() -> None:
    data = json.dumps({"openssl": {"CVE-1": {"releases": {"trixie": {"status": "open"}}}}}).encode()
    with pytest.raises(InvalidValue, match="says nothing of the release bookworm"):
        audit(LOCK, parse_advisories(data, "feed"), "feed")


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"openssl": 1}', b'{"openssl": {"CVE": {"releases": 1}}}'])
def test_what_are_no_advisories_is_told(data: bytes) -> None:
    with pytest.raises(FormatError, match="not those of Debian's security tracker"):
        parse_advisories(data, "feed")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gz", "bz2", "xz"])
def test_a_file_is_read_however_it_is_compressed(tmp_path: Path, pack: Any) -> None:
    (tmp_path / "feed").write_bytes(pack(b'{"openssl": {}}'))
    assert read_advisories(str(tmp_path / "feed"), Downloads(tmp_path)) == {"openssl": {}}


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "feed").write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(FormatError, match="cannot be unpacked"):
        read_advisories(str(tmp_path / "feed"), Downloads(tmp_path))
    with pytest.raises(NotFound):
        read_advisories(str(tmp_path / "none"), Downloads(tmp_path))
    with pytest.raises(NetworkError):
        read_advisories("http://127.0.0.1:1/json", Downloads(tmp_path))
