"""The ladder's demonstration: on each machine a real program runs, by the best way that the machine allows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from outcrop.cli.console import Console
from outcrop.cli.demo_ladder import command
from outcrop.client.ladder.call_filter import is_possible
from outcrop.client.ladder.ways import Way
from outcrop.demo.confinement import Lack, check_possible, confined
from outcrop.demo.ladder import MACHINES, plan
from outcrop.demo.ladder_software import ANSWER, PLACE, write_software
from outcrop.errors import MissingCapability

NEEDS_FUSE = {Way.EROFS, Way.OVERLAY, Way.FUSE, Way.FUSERMOUNT}
NEEDS_NAMESPACES = {*NEEDS_FUSE, Way.CHECKOUT, Way.CONTAINER}


def _why_not() -> str:
    if not is_possible():
        return "no numbers of system calls are known for this machine"
    try:
        check_possible((Lack.FUSE, Lack.NAMESPACES))
    except MissingCapability as error:
        return error.message
    return ""


needs_confinement = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "everything is here")


def on_a_machine(lacks: tuple[Lack, ...], *line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(confined(lacks, line), capture_output=True, text=True, check=False)


def test_a_machine_that_lacks_nothing_is_this_one() -> None:
    assert confined((), ["true"]) == ["true"]


@pytest.mark.integration
@needs_confinement
def test_fuse_is_hidden_and_other_devices_are_not() -> None:
    line = "test ! -e /dev/fuse && echo >/dev/null && head -c1 /dev/zero | wc -c"
    done = on_a_machine((Lack.FUSE,), "sh", "-c", line)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr


@pytest.mark.integration
@needs_confinement
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare (util-linux) is not installed")
def test_namespaces_and_mounts_are_refused_and_programs_still_start_others() -> None:
    for line in ("unshare --mount true", "unshare --user true", "mount -t tmpfs none /mnt"):
        assert on_a_machine((Lack.NAMESPACES,), "sh", "-c", line).returncode != 0, line
    assert on_a_machine((Lack.NAMESPACES,), "sh", "-c", "true | true; sh -c true").returncode == 0


@pytest.mark.integration
def test_the_program_answers_from_a_copy_of_its_tree(tmp_path: Path) -> None:
    write_software(tmp_path / "tree")
    tell = tmp_path / "tree" / "share" / "tell.py"
    done = subprocess.run(
        [sys.executable, "-I", str(tell)], env={"OUTCROP_RUN_PREFIX": sys.prefix}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ANSWER in done.stdout, done.stderr


def test_dry_run_names_the_machines(capfd: pytest.CaptureFixture[str]) -> None:
    call("--dry-run")
    assert [line.split(". ", 1)[1] for line in capfd.readouterr().out.splitlines()] == list(plan())


def call(*arguments: str) -> None:
    with command.make_context("ladder", list(arguments), obj=Console()) as context:
        command.invoke(context)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """The answer in JSON, and what was told meanwhile."""
    driver = tmp_path_factory.mktemp("driver") / "driver.py"
    driver.write_text(
        "from outcrop.cli.console import Console\n"
        "from outcrop.cli.demo_ladder import command\n"
        "with command.make_context('ladder', ['--json'], obj=Console()) as context:\n"
        "    command.invoke(context)\n"
    )
    done = subprocess.run([sys.executable, str(driver)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("ladder")
@needs_confinement
def test_a_program_runs_on_each_machine_by_the_best_way_that_works(shown: tuple[list[dict[str, Any]], str]) -> None:
    answer, told = shown
    assert [one["machine"] for one in answer] == [machine.title for machine in MACHINES]
    for one in answer:
        assert ANSWER in one["output"]
        assert [each["way"] for each in one["ways"]] == [way.value for way in Way]
        working = [each["way"] for each in one["ways"] if each["works"]]
        assert one["taken"] == working[0]
        assert all(each["reason"] for each in one["ways"] if not each["works"])
    assert told.count("$ outcrop doctor") == len(MACHINES)
    assert told.count("the way is ") == len(MACHINES)
    assert f"runs from {PLACE}" in told


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("ladder")
@needs_confinement
def test_what_is_forbidden_is_not_taken_and_what_needs_nothing_is_left(
    shown: tuple[list[dict[str, Any]], str],
) -> None:
    answer, _ = shown
    for one, forbidden in zip(answer[1:], (NEEDS_FUSE, NEEDS_NAMESPACES), strict=True):
        working = {Way(each["way"]) for each in one["ways"] if each["works"]}
        assert not working & forbidden
        assert Way.RELOCATED in working
