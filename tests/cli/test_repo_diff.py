"""`outcrop repo diff`: what differs between two revisions."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.revisions import NAME, new_publisher, owned, test_keys
from tests.stratum0.conftest import Publisher
from tests.stratum0.revising import revise

__all__ = ["new_publisher", "owned", "test_keys"]

LAST = [
    "- /gcc",
    "- /gcc/README",
    "- /gcc/bin",
    "- /gcc/bin/gcc",
    "+ /llvm",
    "+ /llvm/bin",
    "+ /llvm/bin/clang",
    "from revision 3 to 4: 3 added, 0 changed, 4 removed; 2 bytes",
]


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ([], LAST),
        (["3"], LAST),
        (["~1", "trunk"], LAST),
        (
            ["--path", "/gcc/bin/gcc"],
            ["- /gcc/bin/gcc", "from revision 3 to 4: 0 added, 0 changed, 1 removed; 0 bytes"],
        ),
        (
            ["--summary"],
            ["- /gcc (4 entries)", "+ /llvm (3 entries)", LAST[-1]],
        ),
        (["4", "4"], ["from revision 4 to 4: 0 added, 0 changed, 0 removed; 0 bytes"]),
    ],
)
def test_the_lines(outcrop: CommandLine, arguments: list[str], lines: list[str]) -> None:
    done = outcrop("repo", "diff", NAME, *arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == lines


def test_attributes_that_differ_alone_are_told_apart(outcrop: CommandLine, owned: Publisher) -> None:
    revise(owned, {"/llvm/bin/clang": "19"})  # the same bytes, a minute later
    done = outcrop("repo", "diff", NAME)
    assert done.out.splitlines() == [
        "~ /llvm/bin/clang (attributes)",
        "from revision 4 to 5: 0 added, 1 changed, 0 removed (1 in attributes only); 0 bytes",
    ]
    (change,) = json.loads(outcrop("repo", "diff", NAME, "--json").out)["changes"]
    assert change["differs"] == ["attributes"]
    assert change["new"]["mtime"] - change["old"]["mtime"] == 60


@pytest.mark.parametrize("mtime", [-(2**63), 2**63 - 1])
def test_times_that_no_calendar_has_are_told_as_numbers(outcrop: CommandLine, owned: Publisher, mtime: int) -> None:
    revise(owned, {"/odd": "x"}, mtime=mtime)
    done = outcrop("repo", "diff", NAME, "--json")
    assert json.loads(done.out)["changes"][0]["new"]["mtime"] == mtime
    assert outcrop("repo", "diff", NAME).code == 0


@pytest.mark.usefixtures("owned")
def test_json(outcrop: CommandLine) -> None:
    document = json.loads(outcrop("repo", "diff", NAME, "2", "3", "--json").out)
    assert (document["from"]["revision"], document["to"]["revision"]) == (2, 3)
    assert document["to"]["published"] == "2026-11-21T12:02:00Z"
    assert (document["added"], document["changed"], document["removed"], document["bytes"]) == (0, 1, 0, 7)
    (change,) = document["changes"]
    assert (change["path"], change["effect"]) == ("/gcc/README", "changed")
    assert change["differs"] == ["content", "attributes"]
    assert (change["old"]["size"], change["new"]["size"]) == (1, 7)
    summary = json.loads(outcrop("repo", "diff", NAME, "--json", "--summary").out)
    assert [one["path"] for one in summary["changes"]] == ["/gcc", "/llvm"]


@pytest.mark.usefixtures("owned")
def test_what_came_before_everything_is_no_revision(outcrop: CommandLine) -> None:
    done = outcrop("repo", "diff", NAME, "1~1")
    assert done.code == 1
    assert "'1~1'" in done.err


@pytest.mark.usefixtures("owned")
def test_the_path_may_be_written_in_any_way(outcrop: CommandLine) -> None:
    assert outcrop("repo", "diff", NAME, "--path", "gcc/bin/").out.splitlines()[0] == "- /gcc/bin"
