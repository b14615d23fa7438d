"""A revision that was proved a moment ago stands for itself, until anything that had a say changes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.client.recent_proof import LONGEST_SECONDS, RecentProof, holds_until
from outcrop.client.stamps import TOO_MANY, stamp_of
from outcrop.client.trust import SeenFreshness
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from tests.client.published import NOW, library
from tests.client.reading import Reader

ROOT = "ab" * 20


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def proof(tmp_path: Path) -> RecentProof:
    return replace(RecentProof.of(tmp_path / "state", "tools.example.org", ("words",)), clock=Clock())


def at(proof: RecentProof, seconds: float) -> RecentProof:
    return replace(proof, clock=lambda: seconds)


def kept_root(proof: RecentProof) -> str | None:
    kept = proof.kept()
    return None if kept is None else kept.root_catalog


def test_it_holds_until_it_ends_and_not_before_it_began(proof: RecentProof) -> None:
    assert kept_root(proof) is None
    proof.keep(ROOT, 1060.0, ())
    assert [kept_root(at(proof, now)) for now in (999, 1000, 1059, 1060)] == [None, ROOT, ROOT, None]


def test_another_question_has_another_answer(proof: RecentProof, tmp_path: Path) -> None:
    proof.keep(ROOT, 1060.0, ())
    other = at(RecentProof.of(tmp_path / "state", "tools.example.org", ("words", "more")), 1000)
    assert kept_root(other) is None


@pytest.mark.parametrize("change", ["write", "replace", "remove", "appear", "deep", "link"])
def test_a_change_of_any_file_makes_it_void(proof: RecentProof, tmp_path: Path, change: str) -> None:
    files = {name: tmp_path / "etc" / name for name in ("key.pub", "new", "default.d/50-x.conf", "default.d/60-y.conf")}
    files["default.d/50-x.conf"].parent.mkdir(parents=True)
    files["key.pub"].write_text("one")
    files["default.d/50-x.conf"].write_text("A=1")
    files["default.d/60-y.conf"].symlink_to(files["key.pub"])
    proof.keep(ROOT, 1060.0, (files["key.pub"], files["new"], tmp_path / "etc" / "default.d"))
    assert kept_root(proof) == ROOT
    match change:
        case "write":
            files["key.pub"].write_text("three")
        case "replace":
            (tmp_path / "other").write_text("one")
            os.replace(tmp_path / "other", files["key.pub"])
        case "remove":
            files["key.pub"].unlink()
        case "appear":
            files["new"].touch()
        case "deep":
            files["default.d/50-x.conf"].write_text("A=22")
        case "link":
            files["default.d/60-y.conf"].unlink()
            files["default.d/60-y.conf"].symlink_to("nowhere")
    assert kept_root(proof) is None


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"format": 3}', '{"format": 2, "at": "x"}'])
def test_a_damaged_file_is_no_proof(proof: RecentProof, text: str) -> None:
    proof.path.parent.mkdir(parents=True)
    proof.path.write_text(text)
    assert kept_root(proof) is None


def test_what_another_version_wrote_is_no_proof(proof: RecentProof) -> None:
    proof.keep(ROOT, 1060.0, ())
    proof.path.write_text(json.dumps({**json.loads(proof.path.read_text()), "format": 3}))
    assert kept_root(proof) is None


def test_nothing_can_be_kept_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    proof = RecentProof.of(tmp_path / "file", "tools.example.org", ())
    proof.keep(ROOT, 1e12, ())
    assert kept_root(proof) is None


def test_linked_directories_count(proof: RecentProof, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "config.d").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "a.conf").write_text("one")
    proof.keep(ROOT, 1060.0, (tmp_path / "etc",))
    assert kept_root(proof) == ROOT
    (tmp_path / "real" / "a.conf").write_text("another")
    assert kept_root(proof) is None


def test_links_that_go_round_in_circles_end(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(tmp_path)
    assert stamp_of(tmp_path) == TOO_MANY


def test_a_directory_with_very_many_files_is_not_looked_through(proof: RecentProof, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(2001):
        (tmp_path / "many" / str(number)).touch()
    proof.keep(ROOT, 1060.0, (tmp_path / "many",))
    assert kept_root(proof) is None
    assert stamp_of(tmp_path / "many") == stamp_of(tmp_path / "many")


def test_it_ends_with_the_time_to_live_the_whitelist_or_the_promised_age(reader: Reader, tmp_path: Path) -> None:
    now = NOW.timestamp()
    with reader.open(library().write(tmp_path / "server")) as repository:
        trusted = repository.trusted
    assert holds_until(trusted, now) == now + min(trusted.manifest.ttl, LONGEST_SECONDS)
    patient = replace(trusted, manifest=replace(trusted.manifest, ttl=10**9))
    assert holds_until(patient, now) == now + LONGEST_SECONDS
    ending = replace(patient, whitelist=replace(patient.whitelist, expires=NOW + timedelta(seconds=7)))
    assert holds_until(ending, now) == now + 7
    freshness = SeenFreshness(None, FreshnessAnnouncement(3600), int(now) - 3590)
    promised = replace(patient, seen=replace(patient.seen, freshness=freshness))
    assert holds_until(promised, now) == now + 10
