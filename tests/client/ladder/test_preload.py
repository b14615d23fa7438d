"""The rung of libraries in front of a command, on machines that allow nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from outcrop.client.ladder.findings import State
from outcrop.client.ladder.preload import libraries_obstacle, preload_finding, starting, trial_obstacle, workshop_in
from outcrop.client.preload.library import why_no_library_can_be_used
from outcrop.client.preload.views import Libraries
from tests.client.ladder.confined import NOBODY, Report
from tests.client.ladder.site import GREETING, PREFIX, Site

NOWHERE = PurePosixPath("/cvmfs/nowhere.example.org")
SHOW = f"{PREFIX}/bin/show"
WITHOUT_COMPILER = {"PATH": "/nowhere"}

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
needs_glibc = pytest.mark.skipif(bool(why_no_library_can_be_used()), reason=why_no_library_can_be_used() or "none")


def test_a_word_with_an_equals_sign_is_not_left_to_env() -> None:
    assert starting(["ls", "a=b"])[1:] == ["ls", "a=b"]
    assert starting(["/a=b/ls", "x"])[1:] == ["sh", "-c", 'exec "$@"', "sh", "/a=b/ls", "x"]


@needs_glibc
def test_without_a_compiler_it_is_said_what_to_type(tmp_path: Path) -> None:
    obstacle = libraries_obstacle(NOWHERE, tmp_path / "cache", WITHOUT_COMPILER)
    assert obstacle is not None
    assert obstacle.reason == "preload: its library is not built yet, and there is no C compiler"
    assert "outcrop run --way preload REPO -- true" in obstacle.hint
    finding = preload_finding(NOWHERE.parent, tmp_path / "cache", WITHOUT_COMPILER)
    assert finding.state is State.NO
    assert finding.sentence == "its library is not built yet, and there is no C compiler"
    assert not (tmp_path / "cache").exists()


@needs_glibc
@needs_compiler
def test_a_compiler_is_enough_and_leaves_nothing_when_it_is_tried(tmp_path: Path) -> None:
    environment: Mapping[str, str] = dict(os.environ)
    assert libraries_obstacle(NOWHERE, tmp_path / "cache", environment) is None
    assert "can compile the libraries" in preload_finding(NOWHERE.parent, tmp_path / "cache", environment).sentence
    assert not (tmp_path / "cache").exists()


def test_libraries_lie_where_the_loader_can_be_told_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert workshop_in(tmp_path / "cache", {}).directory == tmp_path / "cache" / "preload"
    for split in ("sp ace", "co:lon"):
        assert workshop_in(tmp_path / split, {}).directory == tmp_path / f"outcrop-{os.getuid()}-preload"
    assert list(tmp_path.iterdir()) == []


@needs_glibc
def test_a_path_that_the_loader_would_split_is_told_once(tmp_path: Path) -> None:
    obstacle = trial_obstacle(NOWHERE, Libraries.in_directory(tmp_path / "sp ace"), {})
    assert obstacle is not None
    assert obstacle.reason.startswith("preload: the loader takes no library whose path has ' ' in it (")
    assert "OUTCROP_CACHE_DIR" in obstacle.hint


@needs_glibc
def test_libraries_that_the_loader_does_not_take_are_an_obstacle(tmp_path: Path) -> None:
    libraries = Libraries.in_directory(tmp_path)
    libraries.calls.write_text("no library")
    libraries.loader.write_text("no library")
    obstacle = trial_obstacle(NOWHERE, libraries, dict(os.environ))
    assert obstacle is not None
    assert obstacle.reason.startswith("preload: the trial with `ls` failed: ERROR: ld.so: object ")


@pytest.mark.integration
@pytest.mark.xdist_group("ladder")
@needs_glibc
@needs_compiler
class TestOnAMachineThatAllowsNothing:
    def run(self, site: Site, *command: str, way: str = "preload") -> Report:
        report = site.on_a_machine(
            site.run(*command, options=["--way", way] if way else ["--explain"]), fuse=False, namespaces=False
        )
        assert report.left_running == []
        assert report.left_mounted == []
        return report

    def test_a_program_of_the_repository_runs(self, site: Site) -> None:
        report = self.run(site, SHOW)
        assert report.code == 0, report.complaint
        assert report.output.splitlines() == [GREETING, "way preload", f"user {NOBODY}"]

    def test_the_command_and_what_it_starts_see_the_repository_at_its_place(self, site: Site) -> None:
        line = f"cd {PREFIX}/bin && pwd && /bin/pwd && realpath cat && ls {PREFIX} && {SHOW} | head -n 1; exit 7"
        report = self.run(site, "sh", "-c", line)
        assert report.code == 7, report.complaint
        assert report.output.splitlines() == [
            f"{PREFIX}/bin", f"{PREFIX}/bin", f"{PREFIX}/bin/cat", "bin", "greeting", "second", GREETING,
        ]  # fmt: skip

    def test_the_copy_stays_as_it_is_whatever_the_command_does(self, site: Site) -> None:
        report = self.run(
            site, "sh", "-c", f"cd {PREFIX}; echo x > greeting; rm -rf bin; cat greeting bin/show | wc -l"
        )
        assert "Read-only file system" in report.complaint
        assert report.output.split() == ["6"]

    def test_the_libraries_are_compiled_once(self, site: Site) -> None:
        self.run(site, "true")
        assert "being compiled" not in self.run(site, "true").complaint

    def test_the_cache_may_have_a_space_in_its_path(self, site: Site) -> None:
        place = {"OUTCROP_CACHE_DIR": "/mnt/home/sp ace"}
        report = site.on_a_machine(
            site.run(SHOW, options=["--way", "preload"]), fuse=False, namespaces=False, environment=place
        )
        assert report.code == 0, report.complaint
        assert report.output.splitlines() == [GREETING, "way preload", f"user {NOBODY}"]

    def test_a_command_that_does_not_exist_has_the_exit_code_that_shells_give(self, site: Site) -> None:
        assert self.run(site, "no-such-command").code == 127

    def test_a_static_program_is_left_to_the_next_rung(self, site: Site) -> None:
        compiler = shutil.which("cc")
        assert compiler is not None
        source = f'#include <unistd.h>\nint main(void) {{ return access("{PREFIX}/greeting", F_OK) == 0 ? 9 : 1; }}\n'
        made = subprocess.run(
            [compiler, "-static", "-x", "c", "-", "-o", str(site.directory / "static")], input=source, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.skip("there is no static C library")
        report = self.run(site, "/mnt/static")
        assert report.code == 9
        assert "/mnt/static is linked statically" in report.complaint
        assert "hint: `--way proot`" in report.complaint

    def test_doctor_says_that_it_works(self, site: Site) -> None:
        report = site.on_a_machine(site.outcrop("doctor"), fuse=False, namespaces=False)
        rows = [line.split(None, 2) for line in report.output.splitlines()]
        assert [row[1] for row in rows if row and row[0] == "preload"] == ["ok", "works"]
