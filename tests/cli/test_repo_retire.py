"""`outcrop repo retire`: announcing, listing, withdrawing, carrying out."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from outcrop.cvmfs.notices import Notice
from outcrop.cvmfs.paths import repository_path
from outcrop.stratum0.promises.retire import Publication, announce
from outcrop.stratum0.repository import OwnedRepository
from tests.cli.conftest import CommandLine
from tests.stratum0.conftest import NAME, test_keys

__all__ = ["test_keys"]

DAY = "2199-06-01"
"""The command line lives by the machine's own clock."""


@pytest.fixture
def data(outcrop: CommandLine, test_keys: Path, tmp_path: Path) -> Path:
    """The data directory of the owner of a repository with two compilers."""
    directory = tmp_path / "data"
    directory.mkdir()
    for key in test_keys.iterdir():
        shutil.copy2(key, directory)  # with its mode: private keys are private
    os.environ["OUTCROP_DATA_DIR"] = str(directory)
    assert outcrop("repo", "create", NAME, "--storage", str(tmp_path / "storage" / NAME)).code == 0
    for version in ("13", "14"):
        (tmp_path / "tree" / version).mkdir(parents=True)
        (tmp_path / "tree" / version / "gcc").write_text(version)
    assert outcrop("repo", "ingest", NAME, str(tmp_path / "tree"), "--at", "/gcc").code == 0
    return directory


def announced_long_ago(data: Path, path: str) -> None:
    """A notice for `path` whose day has come meanwhile."""
    repository = OwnedRepository.open(data, NAME)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    notice = Notice(repository_path(path), date(2020, 6, 1), since=long_ago, message="Too old.", by="ada")
    announce(repository, notice, Publication(long_ago))


def listed(outcrop: CommandLine) -> list[dict[str, object]]:
    answer = outcrop("repo", "retire", NAME, "--json")
    assert answer.code == 0, answer.err
    found: list[dict[str, object]] = json.loads(answer.out)
    return found


def test_announced_and_listed(outcrop: CommandLine, data: Path) -> None:
    words = ["--on", DAY, "--successor", "gcc/14", "-m", "No more fixes.", "--author", "ada"]
    answer = outcrop("repo", "retire", NAME, "/gcc/13", *words)
    announced = f"/gcc/13 is announced to go on {DAY}, from 00:00 UTC on"
    assert (answer.code, answer.out, answer.err) == (0, f"{announced}\n{NAME} is now revision 3\n", "")
    (notice,) = listed(outcrop)
    since = notice.pop("since")
    assert isinstance(since, str)
    assert notice == {
        "path": "/gcc/13",
        "on": DAY,
        "state": "pending",
        "successor": "/gcc/14",
        "message": "No more fixes.",
        "by": "ada",
        "done": None,
    }
    row = outcrop("repo", "retire", NAME).out.split()
    assert row == ["/gcc/13", DAY, "pending", "/gcc/14", "No", "more", "fixes."]


def test_nothing_announced_is_an_empty_list(outcrop: CommandLine, data: Path) -> None:
    assert listed(outcrop) == []


def test_dry_run_shows_the_plan(outcrop: CommandLine, data: Path) -> None:
    answer = outcrop("repo", "retire", NAME, "/gcc/13", "--on", DAY, "--dry-run")
    assert answer.out.splitlines() == [
        f"/gcc/13 would be announced to go on {DAY}, from 00:00 UTC on",
        "+ /.outcrop",
        "+ /.outcrop/notices.json",
        f"{NAME} would become revision 3",
    ]
    document = json.loads(outcrop("repo", "retire", NAME, "/gcc/13", "--on", DAY, "--dry-run", "--json").out)
    assert (document["published"], document["revision"]) == (False, 2)
    assert listed(outcrop) == []


def test_successor_that_is_not_there_is_warned_of(outcrop: CommandLine, data: Path) -> None:
    answer = outcrop("repo", "retire", NAME, "/gcc/13", "--on", DAY, "--successor", "/gcc/15")
    assert answer.code == 0
    assert "the successor /gcc/15 is not there yet" in answer.err


def test_until_the_day_no_publish_deletes_it(outcrop: CommandLine, data: Path) -> None:
    assert outcrop("repo", "retire", NAME, "/gcc/13", "--on", DAY).code == 0
    answer = outcrop("repo", "ingest", NAME, "--delete", "/gcc")
    assert answer.code == 1
    assert f"users were told that /gcc/13 is there until {DAY}" in answer.err
    assert f"hint: withdraw that first: `outcrop repo retire {NAME} /gcc/13 --withdraw" in answer.err


def test_withdrawn_with_a_reason(outcrop: CommandLine, data: Path) -> None:
    assert outcrop("repo", "retire", NAME, "/gcc/13", "--on", DAY).code == 0
    answer = outcrop("repo", "retire", NAME, "/gcc/13", "--withdraw")
    assert answer.code == 1
    assert "cannot be withdrawn without a reason" in answer.err
    assert outcrop("repo", "retire", NAME, "/gcc/13", "--withdraw", "--reason", "still needed").code == 0
    assert listed(outcrop) == []


def test_what_is_due_is_carried_out_once(outcrop: CommandLine, data: Path) -> None:
    announced_long_ago(data, "/gcc/13")
    answer = outcrop("repo", "retire", NAME)
    assert "due" in answer.out
    assert "1 due: the option --due carries them out" in answer.err
    plan = outcrop("repo", "retire", NAME, "--due", "--dry-run").out.splitlines()
    assert plan == [
        "- /gcc/13",
        "+ /gcc/13",
        "+ /gcc/13/RETIRED",
        "~ /.outcrop/notices.json",
        f"{NAME} would become revision 4",
    ]
    assert outcrop("repo", "retire", NAME, "--due").out == f"{NAME} is now revision 4\n"
    assert [notice["state"] for notice in listed(outcrop)] == ["done"]
    again = outcrop("repo", "retire", NAME, "--due")
    assert (again.code, again.out) == (0, f"{NAME} has nothing to change: still revision 4\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", DAY], "no PATH"),
        (["--withdraw"], "no PATH"),
        (["/gcc/13"], "either --on DATE or --withdraw"),
        (["/gcc/13", "--on", DAY, "--withdraw"], "either --on DATE or --withdraw"),
        (["/gcc/13", "--due"], "--due is about every notice"),
        (["/gcc/13", "--on", "soon"], "'soon' is no day"),
        (["/gcc/13", "--on", "21990601"], "is no day"),
    ],
)
def test_command_line_that_means_nothing_is_refused(
    outcrop: CommandLine, data: Path, arguments: list[str], words: str
) -> None:
    answer = outcrop("repo", "retire", NAME, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert "hint: " in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/gcc/12", "--on", DAY], "/gcc/12 does not exist"),
        (["/gcc/13", "--on", "2020-06-01"], "is not in the future"),
        (["/", "--on", DAY], "cannot be retired"),
        (["/gcc/13", "--withdraw", "--reason", "x"], "a notice for /gcc/13 does not exist"),
    ],
)
def test_notice_that_cannot_be_is_refused(outcrop: CommandLine, data: Path, arguments: list[str], words: str) -> None:
    answer = outcrop("repo", "retire", NAME, *arguments)
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.err
