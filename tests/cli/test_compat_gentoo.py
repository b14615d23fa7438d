"""`outcrop compat plan` and `build` where a stack's layer is built by Gentoo Prefix."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from outcrop.compat.gentoo.lock import read_lock
from tests.cli.conftest import CommandLine
from tests.compat.gentoo.test_snapshot_facts import snapshot

LAYER = f"""\
back_end = "gentoo-prefix"
[gentoo.snapshot]
date = "20260615"
sha256 = "{"0" * 64}"
[gentoo.bootstrap]
url = "https://example.org/bootstrap-prefix.sh"
sha256 = "{"0" * 64}"
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    (tmp_path / "compat").mkdir()
    (tmp_path / "compat/layer.toml").write_text(LAYER)
    (tmp_path / "stack.toml").write_text('repository = "software.example.org"\nversion = "2026.06"\n')
    return tmp_path


def test_a_plan_lists_atoms_with_their_reasons(outcrop: CommandLine, stack: Path) -> None:
    ended = outcrop("compat", "plan", "--family", "x86_64", "--stack", str(stack))
    assert ended.code == 0
    assert "sys-fabric/opa-psm2" in ended.out
    assert "overlay eessi at " in ended.err
    assert "without an atom, so not in this layer: libnss-myhostname" in " ".join(ended.err.split())


def test_a_plan_of_several_families_says_what_differs(outcrop: CommandLine, stack: Path) -> None:
    ended = outcrop("compat", "plan", "--family", "x86_64", "--family", "aarch64", "--stack", str(stack))
    assert ended.out.splitlines()[-1].split() == ["sys-fabric/opa-psm2", "yes", "-"]


def test_families_with_the_same_atoms_are_told_so(outcrop: CommandLine, stack: Path) -> None:
    ended = outcrop("compat", "plan", "--family", "riscv64", "--family", "aarch64", "--stack", str(stack))
    assert "the families have the same atoms" in ended.err


def test_a_plan_is_one_document(outcrop: CommandLine, stack: Path) -> None:
    ended = outcrop("compat", "plan", "--family", "aarch64", "--with", "compilers", "--stack", str(stack), "--json")
    document = json.loads(ended.out)
    assert document["release"] == "gentoo-20260615"
    layer = document["layers"][0]
    assert layer["profile"].startswith("default/linux/arm64/")
    gcc = next(one for one in layer["packages"] if one["name"] == "sys-devel/gcc")
    assert gcc["asked_for_by"] == ["gcc", "g++", "gfortran"]
    assert gcc["ships"] is True


def test_a_lock_is_kept(outcrop: CommandLine, stack: Path) -> None:
    lock = stack / "lock.json"
    ended = outcrop("compat", "plan", "--family", "x86_64", "--stack", str(stack), "--lock", str(lock))
    assert ended.code == 0
    assert read_lock(lock).snapshot.date == "20260615"
    again = outcrop(
        "compat", "build", "--family", "x86_64", "--stack", str(stack), "--lock", str(lock), "--dry-run", "--tree", "/t"
    )
    assert again.out.startswith("/t/versions/2026.06/compat/linux/x86_64: ")
    assert "of gentoo-20260615 for /cvmfs/software.example.org/" in again.out


def test_licences_and_sizes_are_those_of_the_snapshot(outcrop: CommandLine, stack: Path) -> None:
    archive = snapshot(stack)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    place = stack / "mirror/sha256" / digest[:2] / digest
    place.parent.mkdir(parents=True)
    archive.rename(place)
    layer = stack / "compat/layer.toml"
    layer.write_text(
        layer.read_text().replace(
            f'date = "20260615"\nsha256 = "{"0" * 64}"', f'date = "20260615"\nsha256 = "{digest}"'
        )
    )
    words = ("compat", "plan", "--stack", str(stack), "--mirror", str(stack / "mirror"), "--licences")
    told = outcrop(*words, "--family", "x86_64")
    assert told.code == 0
    bash = next(line.split() for line in told.out.splitlines() if line.startswith("app-shells/bash "))
    assert (bash[1], bash[-1]) == ("5.2_p37", "MIT")
    said = " ".join(told.err.split())
    assert "at most 0 MB of sources" in said
    assert "that the snapshot has not for x86_64 (?)" in said
    document = json.loads(outcrop(*words, "--family", "x86_64", "--family", "aarch64", "--json").out)
    versions = [
        next(one["version"] for one in layer["packages"] if one["name"] == "app-shells/bash")
        for layer in document["layers"]
    ]
    assert versions == ["5.2_p37", "5.1"]
    assert document["differences"] == [{"name": "sys-fabric/opa-psm2", "families": ["x86_64"]}]


def test_without_the_snapshot_it_is_said_how_to_know_licences(outcrop: CommandLine, stack: Path) -> None:
    ended = outcrop("compat", "plan", "--family", "x86_64", "--stack", str(stack))
    assert "`--licences` fetches the snapshot" in ended.err


def test_a_release_of_debian_is_refused(outcrop: CommandLine, stack: Path) -> None:
    ended = outcrop("compat", "plan", "--stack", str(stack), "--release", "trixie")
    assert ended.code == 1
    assert "--release trixie names a release of Debian" in ended.err


def test_a_stack_without_a_snapshot_is_told_what_to_write(outcrop: CommandLine, stack: Path) -> None:
    (stack / "compat/layer.toml").write_text('back_end = "gentoo-prefix"\n')
    ended = outcrop("compat", "plan", "--stack", str(stack))
    assert ended.code == 1
    assert "the back end gentoo-prefix is given no snapshot" in ended.err
    assert "[gentoo.snapshot]" in ended.err


@pytest.mark.parametrize("name", ["plan", "build"])
def test_a_back_end_that_there_is_not_is_refused(outcrop: CommandLine, stack: Path, name: str) -> None:
    (stack / "compat/layer.toml").write_text('back_end = "slackware"\n')
    ended = outcrop("compat", name, "--stack", str(stack))
    assert ended.code == 1
    assert "the back end 'slackware' is not there" in ended.err
    assert 'write `back_end = "debian"` or `back_end = "gentoo-prefix"`' in " ".join(ended.err.split())
