"""`outcrop run`: what it understands, and what it says before it runs anything."""

from __future__ import annotations

import json

import pytest

from outcrop.cli.app import run
from tests.cvmfs.samples import DIRECTORY

KEY = str(DIRECTORY / "keys" / "test.example.org.pub")
URL = "file:///nowhere/test.example.org"


@pytest.mark.parametrize(
    "words",
    [
        [URL],
        [URL, "ls"],
        [URL, "--"],
        [URL, "--way", "fuse", "--", "ls"],
        [f"{URL}@v1", "--tag", "v2", "--", "ls"],
    ],
)
def test_a_command_line_that_is_not_understood_says_how_it_is_written(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "--key", KEY, *words]) == 2
    assert "hint" in capfd.readouterr().err


def test_a_tag_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--key", KEY, "--tag", "v2", f"{URL}@v1", "--", "ls"]) == 2
    assert "--tag" in capfd.readouterr().err


@pytest.mark.integration
def test_the_plan_names_the_way_the_place_and_why_no_better_one(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--dry-run", "--json", "--key", KEY, f"{URL}@v1.0", "--", "ls", "-l"]
    if run(arguments) != 0:
        pytest.skip("no way works here")
    plan = json.loads(capfd.readouterr().out)
    assert plan["repository"] == "test.example.org"
    assert plan["place"] == "/cvmfs/test.example.org"
    assert plan["command"] == ["ls", "-l"]
    assert plan["way"] not in [each["way"] for each in plan["refused"]]
    assert all(each["reason"] for each in plan["refused"])


@pytest.mark.integration
def test_a_user_who_sets_the_way_is_obeyed_and_an_outer_run_is_not(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run", "--dry-run", "--json", "--key", KEY, URL, "--", "ls"]
    monkeypatch.setenv("OUTCROP_RUN_WAY", "relocated")
    assert run(arguments) == 0
    assert json.loads(capfd.readouterr().out)["way"] == "relocated"
    monkeypatch.setenv("OUTCROP_RUN_PREFIX", "/cvmfs/test.example.org")
    assert run(arguments) == 0
    assert json.loads(capfd.readouterr().out)["refused"]
