"""`outcrop repo tag`: listing, giving and taking away names of revisions."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.revisions import NAME, new_publisher, owned, test_keys

__all__ = ["new_publisher", "owned", "test_keys"]

pytestmark = pytest.mark.usefixtures("owned")


def listed(outcrop: CommandLine) -> dict[str, int]:
    return {tag["name"]: tag["revision"] for tag in json.loads(outcrop("repo", "tag", NAME, "--json").out)}


@pytest.mark.parametrize(
    ("revision", "number"),
    [("2", 2), ("2026.06", 2), ("~1", 3), ("trunk", 4), ("@2026-11-21T12:02:30", 3), ("2026.06~1", 1)],
)
def test_a_revision_is_called_by_any_of_its_names(outcrop: CommandLine, revision: str, number: int) -> None:
    done = outcrop("repo", "tag", NAME, "kept", "--revision", revision, "-m", "why")
    assert done.out == f"revision {number} is now called kept\n"
    assert listed(outcrop)["kept"] == number


def test_the_current_revision_is_meant_by_default(outcrop: CommandLine) -> None:
    assert outcrop("repo", "tag", NAME, "kept", "--dry-run").out == "revision 4 would be called kept\n"
    assert "kept" not in listed(outcrop)


def test_the_list_says_which_and_since_when(outcrop: CommandLine) -> None:
    lines = [" ".join(line.split()) for line in outcrop("repo", "tag", NAME).out.splitlines()]
    assert "2026.06 2 2026-11-21 12:01:00 GCC 13" in lines


def test_a_tag_is_taken_away_once(outcrop: CommandLine) -> None:
    assert outcrop("repo", "tag", NAME, "--delete", "2026.06").code == 0
    assert "2026.06" not in listed(outcrop)
    assert outcrop("repo", "tag", NAME, "--delete", "2026.06").code == 1


@pytest.mark.parametrize("name", ["41", "@x", "trunk", "a b", "2026.06"])
def test_a_name_that_cannot_be_given_is_refused(outcrop: CommandLine, name: str) -> None:
    done = outcrop("repo", "tag", NAME, name)
    assert done.code == 1
    assert "hint: " in done.err


def test_an_unknown_revision_is_refused(outcrop: CommandLine) -> None:
    done = outcrop("repo", "tag", NAME, "kept", "--revision", "9")
    assert done.code == 1
    assert "the revisions 1 to 4" in done.err
