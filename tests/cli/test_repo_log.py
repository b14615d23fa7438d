"""`outcrop repo log`: the changelog as a table, with its changes, as JSON and as Markdown."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.revisions import NAME, new_publisher, owned, test_keys
from tests.stratum0.conftest import Publisher
from tests.stratum0.revising import revise

__all__ = ["new_publisher", "owned", "test_keys"]

MARKDOWN = """\
# Changes of test.example.org

## Revision 4

2026-11-21 12:03:00 UTC, by ada@build1

GCC \\*14\\*

- with \\`fortran\\`
\\<script\\>

Reason: 13 computes wrongly

3 added, 0 changed, 4 removed; 2 bytes.

- removed `/gcc` (4 entries)
- added `/llvm` (3 entries)

## Revision 3

2026-11-21 12:02:00 UTC

by another tool

## 2026.06 (revision 2)

2026-11-21 12:01:00 UTC, by ada@build1

GCC 13

4 added, 0 changed, 0 removed; 3 bytes.

- added `/gcc` (4 entries)

## Revision 1

2026-11-21 12:00:00 UTC

Created

0 added, 0 changed, 0 removed; 0 bytes.

"""


@pytest.mark.usefixtures("owned")
def test_the_table_has_a_line_for_each_revision(outcrop: CommandLine) -> None:
    done = outcrop("repo", "log", NAME)
    assert (done.code, done.err) == (0, "")
    assert [" ".join(line.split()) for line in done.out.splitlines()] == [
        "4 2026-11-21 12:03:00 ada@build1 4 2 +3 ~0 -4 generic-2026-11-21T12:03:00Z GCC *14*",
        "3 2026-11-21 12:02:00 - 5 9 - generic-2026-11-21T12:02:00Z by another tool",
        "2 2026-11-21 12:01:00 ada@build1 5 3 +4 ~0 -0 2026.06, generic-2026-11-21T12:01:00Z GCC 13",
        "1 2026-11-21 12:00:00 - 1 0 +0 ~0 -0 - Created",
    ]


@pytest.mark.usefixtures("owned")
def test_changes_are_told_below_each_revision(outcrop: CommandLine) -> None:
    done = outcrop("repo", "log", NAME, "--changes", "-n", "2")
    assert done.out.splitlines() == [
        "4  2026-11-21 12:03:00  ada@build1  +3 ~0 -4  generic-2026-11-21T12:03:00Z  GCC *14*",
        "",
        "    - with `fortran`",
        "    <script>",
        "    reason: 13 computes wrongly",
        "    - /gcc (4 entries)",
        "    + /llvm (3 entries)",
        "3  2026-11-21 12:02:00  -  +0 ~1 -0  generic-2026-11-21T12:02:00Z  by another tool",
        "    ~ /gcc/README",
    ]


@pytest.mark.usefixtures("owned")
def test_markdown_is_a_page_to_publish(outcrop: CommandLine) -> None:
    assert outcrop("repo", "log", NAME, "--format", "markdown").out == MARKDOWN


def test_names_cannot_forge_markdown(outcrop: CommandLine, owned: Publisher) -> None:
    revise(owned, {"/a`b`` <i>\n# x": "1", "/\udcff": "2"}, message="a & b")
    out = outcrop("repo", "log", NAME, "--format", "markdown", "-n", "1").out
    assert "- added ``` /a`b`` <i>\\n# x ```\n" in out
    assert "- added `/\\xff`\n" in out
    assert "a \\& b" in out


@pytest.mark.usefixtures("owned")
def test_json_says_everything(outcrop: CommandLine) -> None:
    for arguments in (["--json"], ["--format", "json"]):
        newest, other, *_ = json.loads(outcrop("repo", "log", NAME, *arguments).out)
        assert newest.pop("root_catalog")
        assert newest == {
            "revision": 4,
            "published": "2026-11-21T12:03:00Z",
            "author": "ada@build1",
            "message": "GCC *14*\n\n- with `fortran`\n<script>",
            "reason": "13 computes wrongly",
            "tags": ["generic-2026-11-21T12:03:00Z"],
            "entries": 4,
            "bytes": 2,
            "added": 3,
            "changed": 0,
            "removed": 4,
            "bytes_in": 2,
            "truncated": False,
            "changes": [
                {"path": "/gcc", "effect": "removed", "extent": "content", "entries": 4, "bytes": 0},
                {"path": "/llvm", "effect": "added", "extent": "content", "entries": 3, "bytes": 2},
            ],
        }
        assert (other["author"], other["changes"]) == (None, None)
    assert json.loads(outcrop("repo", "log", NAME, "--json", "--changes").out)[1]["changed"] == 1


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize(
    ("arguments", "revisions"),
    [
        (["--path", "/gcc/README"], [4, 3, 2]),
        (["--path", "llvm"], [4]),
        (["--since", "2026.06"], [4, 3]),
        (["--since", "2026-11-21T12:02", "--until", "3"], [3]),
        (["--path", "/gcc", "-n", "1"], [4]),
    ],
)
def test_what_is_told_can_be_chosen(outcrop: CommandLine, arguments: list[str], revisions: list[int]) -> None:
    told = json.loads(outcrop("repo", "log", NAME, "--json", *arguments).out)
    assert [one["revision"] for one in told] == revisions


@pytest.mark.usefixtures("owned")
def test_an_unknown_revision_is_an_error_with_those_there_are(outcrop: CommandLine) -> None:
    done = outcrop("repo", "log", NAME, "--since", "nothing")
    assert done.code == 1
    assert "the revision 'nothing' of test.example.org does not exist" in done.err
    assert "the revisions 1 to 4" in done.err


@pytest.mark.usefixtures("owned")
def test_two_formats_contradict_each_other(outcrop: CommandLine) -> None:
    assert outcrop("repo", "log", NAME, "--json", "--format", "markdown").code == 2
