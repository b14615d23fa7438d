"""`outcrop compat audit`, and what `compat update` refuses before it asks anybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.compat.lock import FORMAT, Lock, LockedPackage, LockedWheel, write_lock
from tests.cli.conftest import CommandLine

FEED = {
    "bash": {
        "CVE-2026-1": {
            "description": "a shell does what it should not",
            "releases": {"bookworm": {"status": "resolved", "fixed_version": "6.0", "urgency": "high"}},
        },
        "CVE-2026-2": {"releases": {"bookworm": {"status": "open", "urgency": "low"}}},
        "CVE-2026-3": {"releases": {"bookworm": {"status": "open", "urgency": "unimportant"}}},
    }
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    bash = LockedPackage("bash", "5.2-1+b1", "amd64", "bash", "5.2-1", "0" * 64, 1, 1, "pool/bash.deb", "")
    write_lock(Lock(FORMAT, "bookworm", "x86_64", (), (), (), (bash,)), tmp_path / "lock.json")
    (tmp_path / "feed.json").write_text(json.dumps(FEED))
    return tmp_path


def test_faults_are_told_and_make_it_fail(outcrop: CommandLine, place: Path) -> None:
    ended = outcrop("compat", "audit", "--advisories", str(place / "feed.json"), str(place / "lock.json"))
    assert ended.code == 1
    assert "CVE-2026-1" in ended.out
    assert "6.0" in ended.out
    assert "CVE-2026-3" not in ended.out
    assert "has 2 known faults, of which 1 can be mended" in ended.err
    assert "compat update --security" in ended.err


def test_wheels_are_told_as_not_looked_at(outcrop: CommandLine, place: Path) -> None:
    wheel = LockedWheel("thing", "1.0", "thing-1.0-py3-none-any.whl", "0" * 64, 1)
    write_lock(Lock(FORMAT, "bookworm", "x86_64", (), (), (), (), (wheel,)), place / "lock.json")
    words = ["compat", "audit", "--advisories", str(place / "feed.json"), str(place / "lock.json")]
    ended = outcrop(*words)
    assert ended.code == 0
    assert "not looked at: Python's wheels (thing 1.0)" in " ".join(ended.err.split())
    assert json.loads(outcrop(*words, "--json").out)["not_looked_at"] == [wheel.file]


def test_records_of_osv_are_told_with_whose_word_counts(outcrop: CommandLine, place: Path) -> None:
    wheel = LockedWheel("thing", "1.0", "thing-1.0-py3-none-any.whl", "0" * 64, 1)
    bash = LockedPackage("bash", "5.2-1+b1", "amd64", "bash", "5.2-1", "0" * 64, 1, 1, "pool/bash.deb", "")
    write_lock(Lock(FORMAT, "bookworm", "x86_64", (), (), (), (bash,), (wheel,)), place / "lock.json")
    denied = {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0"}}}
    (place / "feed.json").write_text(json.dumps({"bash": FEED["bash"] | {"CVE-2026-4": denied}}))
    (place / "osv").mkdir()
    for fault, ecosystem, name in (
        ("DEBIAN-CVE-2026-4", "Debian:12", "bash"),
        ("DEBIAN-CVE-2026-5", "Debian:12", "bash"),
        ("PYSEC-2026-1", "PyPI", "Thing"),
    ):
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}]
        affected = [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges}]
        (place / f"osv/{fault}.json").write_text(json.dumps({"id": fault, "affected": affected}))
    words = ["--advisories", str(place / "feed.json"), "--advisories", str(place / "osv"), str(place / "lock.json")]
    ended = outcrop("compat", "audit", *words)
    assert ended.code == 1
    told = " ".join(ended.err.split())
    assert "Debian's tracker denies what OSV says: CVE-2026-4 in bash" in told
    assert "has 4 known faults, of which 3 can be mended" in told
    assert "not looked at" not in told
    answer = json.loads(outcrop("compat", "audit", "--json", *words).out)
    assert {one["fault"]: one["said_by"] for one in answer["faults"]} == {
        "CVE-2026-1": "Debian's tracker",
        "CVE-2026-2": "Debian's tracker",
        "CVE-2026-3": "Debian's tracker",
        "CVE-2026-5": "OSV DEBIAN-CVE-2026-5",
        "PYSEC-2026-1": "OSV PYSEC-2026-1",
    }
    only = outcrop("compat", "audit", "--advisories", str(place / "osv/PYSEC-2026-1.json"), str(place / "lock.json"))
    assert "not looked at: Debian's packages" in " ".join(only.err.split())


@pytest.mark.parametrize(("fail_on", "code"), [("any", 1), ("fixable", 1), ("never", 0)])
def test_what_makes_it_fail_can_be_chosen(outcrop: CommandLine, place: Path, fail_on: str, code: int) -> None:
    words = ["--advisories", str(place / "feed.json"), "--fail-on", fail_on, str(place / "lock.json")]
    assert outcrop("compat", "audit", *words).code == code


def test_only_what_can_be_mended_counts_if_that_is_asked(outcrop: CommandLine, place: Path) -> None:
    without = {"bash": {"CVE-2026-2": FEED["bash"]["CVE-2026-2"]}}
    (place / "feed.json").write_text(json.dumps(without))
    words = ["--advisories", str(place / "feed.json"), str(place / "lock.json")]
    assert outcrop("compat", "audit", "--fail-on", "fixable", *words).code == 0
    ended = outcrop("compat", "audit", *words)
    assert ended.code == 1
    assert "compat update" not in ended.err


def test_the_answer_has_all_in_json(outcrop: CommandLine, place: Path) -> None:
    ended = outcrop("compat", "audit", "--json", "--advisories", str(place / "feed.json"), str(place / "lock.json"))
    answer = json.loads(ended.out)
    assert (answer["affected"], answer["fixable"]) == (2, 1)
    assert [one["fault"] for one in answer["faults"]] == ["CVE-2026-1", "CVE-2026-2", "CVE-2026-3"]
    assert answer["faults"][0]["state"] == "fixable"


def test_advisories_that_are_none_are_told(outcrop: CommandLine, place: Path) -> None:
    (place / "feed.json").write_text("<html>")
    ended = outcrop("compat", "audit", "--advisories", str(place / "feed.json"), str(place / "lock.json"))
    assert ended.code == 3
    assert "not those of Debian's security tracker" in ended.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--lock", "new.json"], "say what to update"),
        (["--security"], "say where the new lock goes"),
        (["--source", "nothing", "--dry-run"], "the source package nothing is not in the lock"),
    ],
)
def test_an_update_needs_to_know_what_and_where(
    outcrop: CommandLine, place: Path, words: list[str], problem: str
) -> None:
    ended = outcrop("compat", "update", *words, str(place / "lock.json"))
    assert ended.code in (1, 2)
    assert problem in ended.err


def test_an_update_leaves_the_c_library_out_and_says_so(outcrop: CommandLine, place: Path) -> None:
    libc = LockedPackage("libc6", "2.36-9", "amd64", "glibc", "2.36-9", "0" * 64, 1, 1, "pool/libc6.deb", "")
    write_lock(Lock(FORMAT, "bookworm", "x86_64", (), (), (), (libc,)), place / "lock.json")
    fault = {"releases": {"bookworm": {"status": "resolved", "fixed_version": "2.36-10", "urgency": "high"}}}
    (place / "feed.json").write_text(json.dumps({"glibc": {"CVE-2026-4": fault}}))
    words = ["compat", "update", "--security", "--advisories", str(place / "feed.json"), "--dry-run"]
    told = outcrop(*words, "--debian-mirror", "http://127.0.0.1:9/", str(place / "lock.json")).err
    assert "it stays as it is without `--allow-libc`" in " ".join(told.split())
