"""`outcrop compat verify` and `rebuild` for a layer that Gentoo Prefix built, as stand-ins do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.family import this_family
from outcrop.compat.gentoo.lock import read_lock
from outcrop.compat.record import recorded_layout
from outcrop.compat.verify.contents import links
from outcrop.compat.verify.packages import wanted_atoms
from tests.compat.gentoo.stand_ins import MadeGentoo
from tests.compat.gentoo.test_build import build, environment

pytestmark = pytest.mark.integration

ATOMS = ("app-shells/bash", "sys-auth/munge")


def compat(made: MadeGentoo, *words: str, code: int = 0) -> str:
    """What `outcrop compat …` says."""
    command = [sys.executable, "-m", "outcrop", "compat", *words]
    ended = subprocess.run(command, cwd=made.stack, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    return ended.stdout or ended.stderr


def built(made: MadeGentoo, tmp_path: Path) -> Path:
    """A layer that was built from the lock of an earlier one, so that it has heard of no network either; that lock."""
    first = json.loads(build(made, "--json"))
    lock = shutil.copy(Path(first["record"], "lock.json"), tmp_path / "lock.json")
    build(made, "--lock", str(lock), "--replace")
    return Path(lock)


def found(made: MadeGentoo, lock: Path) -> list[tuple[str, str]]:
    """What is found against the packages of the layer."""
    prefix = recorded_layout(made.layer).prefix
    return [(one.subject, one.problem) for one in wanted_atoms(made.layer, prefix, read_lock(lock), ATOMS).findings]


def test_a_layer_is_built_again_from_its_lock_without_a_network(gentoo: MadeGentoo, tmp_path: Path) -> None:
    lock = built(gentoo, tmp_path)
    again = ["--mirror", str(gentoo.packages), "--tree", str(tmp_path / "again")]
    told = json.loads(compat(gentoo, "rebuild", str(gentoo.layer), *again, "--json"))
    assert told["differences"] == []
    assert told["compared"] > 20
    # Portage writes down when it built what.
    assert any(one["path"].endswith("/BUILD_TIME") for one in told["expected"])
    assert all(one["path"].startswith("var/db/pkg/") for one in told["expected"])
    planned = json.loads(
        compat(gentoo, "rebuild", str(gentoo.layer), *again, "--lock", str(lock), "--dry-run", "--json")
    )
    assert planned["packages"] == 3
    (gentoo.layer / "usr/bin/bash").write_text("another")
    shutil.rmtree(tmp_path / "again")
    said = compat(gentoo, "rebuild", str(gentoo.layer), *again, code=1)
    assert "1 difference" in said


def test_a_layer_is_not_built_again_from_what_cannot_be_the_same(gentoo: MadeGentoo, tmp_path: Path) -> None:
    build(gentoo)
    compat(gentoo, "plan", "--lock", str(tmp_path / "planned.json"), "--family", this_family().name)
    again = ["--mirror", str(gentoo.packages), "--tree", str(tmp_path / "again")]
    said = compat(gentoo, "rebuild", str(gentoo.layer), *again, "--lock", str(tmp_path / "planned.json"), code=1)
    assert "the lock names no source archives, so it cannot be built without a network" in " ".join(said.split())
    gentoo.change("-gcrypt", "gcrypt")
    said = compat(gentoo, "rebuild", str(gentoo.layer), *again, "--stack", str(gentoo.stack), code=1)
    assert "the lock has other settings than the sets and settings of this stack" in " ".join(said.split())
    (tmp_path / "debian.json").write_text("{}")
    said = compat(gentoo, "rebuild", str(gentoo.layer), *again, "--lock", str(tmp_path / "debian.json"), code=3)
    assert "debian.json is malformed" in " ".join(said.split())
    assert not (tmp_path / "again").exists()


def test_sets_lock_database_and_files_say_the_same(gentoo: MadeGentoo, tmp_path: Path) -> None:
    lock = built(gentoo, tmp_path)
    assert found(gentoo, lock) == []
    # Of a directory for building, which a package brought, nothing is left, and that is right.
    assert not (gentoo.layer / "var/tmp/.keep").exists()


def test_what_is_not_as_the_lock_says_is_found(gentoo: MadeGentoo, tmp_path: Path) -> None:
    lock = built(gentoo, tmp_path)
    (gentoo.layer / "usr/bin/munge").unlink()
    next(gentoo.layer.glob("var/db/pkg/sys-libs/glibc-*")).rename(gentoo.layer / "var/db/pkg/sys-libs/other-1")
    shutil.rmtree(next(gentoo.layer.glob("var/db/pkg/app-shells/bash-*")))
    assert found(gentoo, lock) == [
        ("app-shells/bash", "is in the lock, and no version of it is installed"),
        ("app-shells/bash-5.2_p37", "is in the lock, and not installed"),
        ("sys-libs/glibc-2.40-r5", "is in the lock, and not installed"),
        ("sys-libs/other-1", "is installed, and not in the lock"),
        ("usr/bin/munge", "is not there; the package sys-auth/munge-0.5.18 has it"),
    ]


def test_an_atom_that_a_set_has_got_since_is_found(gentoo: MadeGentoo, tmp_path: Path) -> None:
    lock = read_lock(built(gentoo, tmp_path))
    checked = wanted_atoms(gentoo.layer, recorded_layout(gentoo.layer).prefix, lock, [*ATOMS, "sys-apps/coreutils"])
    assert [one.subject for one in checked.findings] == ["sys-apps/coreutils"]


def test_links_may_name_the_prefix(tmp_path: Path) -> None:
    prefix = PurePosixPath("/cvmfs/software.example.org/layer")
    (tmp_path / "there").write_text("x")
    for name, target in (("a", f"{prefix}/there"), ("b", f"{prefix}/gone"), ("c", "/etc/passwd")):
        (tmp_path / name).symlink_to(target)
    problems = {one.subject: one.problem for one in links(tmp_path, prefix).findings}
    assert problems == {
        "b": f"leads to {prefix}/gone, which does not exist",
        "c": "leads to /etc/passwd, which is not relative to the layer",
    }
    assert {one.subject for one in links(tmp_path).findings} == {"a", "b", "c"}


def test_verify_tells_all_that_it_finds_in_such_a_layer(gentoo: MadeGentoo, tmp_path: Path) -> None:
    # The stand-ins' programs are scripts without a shell, so none of them can start.
    built(gentoo, tmp_path)
    report = json.loads(compat(gentoo, "verify", str(gentoo.layer), "--json", code=1))
    passed = {check["name"]: check["passed"] for check in report["checks"]}
    for name in ("the files of the record", "permissions", "links", "packages", "programs that sets name"):
        assert passed[name], next(check for check in report["checks"] if check["name"] == name)
    assert not passed["programs start in an empty root"]
