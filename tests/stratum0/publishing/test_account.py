"""Accounts of revisions: whole directories are one line, and there are never too many lines."""

from __future__ import annotations

import random

import pytest

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.cvmfs.revision_account import MAXIMUM_LINES, ChangeLine, Extent, RevisionAccount
from outcrop.errors import InvalidValue
from outcrop.stratum0.publishing.account import account_of, collapsed_changes
from outcrop.stratum0.publishing.change import ChangeSummary, PathChange


def change(text: str, *, entries: int = 1, size: int = 0, content: bool = True) -> PathChange:
    """`+ /a/b` as a change."""
    return PathChange(RepositoryPath(text[2:].encode()), Effect(text[0]), content, entries, size)


def told(changes: list[PathChange], limit: int = MAXIMUM_LINES) -> list[str]:
    """The lines of the account, in short."""
    return [_short(line) for line in collapsed_changes(changes, limit).lines]


def _short(line: ChangeLine) -> str:
    extent = "" if line.extent is Extent.CONTENT else f" {line.extent.value}"
    return f"{line.effect.value} {line.path.decode() or '/'}{extent} {line.entries}"


def test_a_directory_that_came_or_went_whole_is_one_line() -> None:
    changes = [change("+ /a"), change("+ /a/b"), change("+ /a/b/c"), change("+ /ab"), change("- /z", entries=7)]
    assert told(changes) == ["+ /a 3", "+ /ab 1", "- /z 7"]


def test_bytes_of_a_whole_directory_are_those_of_its_files() -> None:
    (line,) = collapsed_changes([change("+ /a"), change("+ /a/x", size=5), change("+ /a/y", size=6)]).lines
    assert line.bytes == 11


def test_what_came_into_a_directory_that_was_there_is_told_singly() -> None:
    changes = [change("~ /a", content=False), change("+ /a/x"), change("~ /a/y"), change("- /a/z")]
    assert told(changes) == ["~ /a attributes 1", "+ /a/x 1", "~ /a/y 1", "- /a/z 1"]


def test_a_directory_that_was_replaced_went_and_came() -> None:
    changes = [change("+ /a"), change("- /a", entries=5), change("+ /a/new"), change("+ /a/z"), change("- /a/old")]
    assert told(changes) == ["- /a 6", "+ /a 3"]


def test_lines_are_sorted_by_path_with_a_directory_before_what_it_holds() -> None:
    changes = [change(f"~ {path}") for path in ("/b", "/a-b", "/a/z", "/a", "/a/b/c")]
    assert told(changes) == ["~ /a 1", "~ /a/b/c 1", "~ /a/z 1", "~ /a-b 1", "~ /b 1"]


def test_of_too_many_lines_the_fullest_directories_stand_for_theirs() -> None:
    changes = [change(f"~ /full/{number}") for number in range(10)] + [change("~ /few/1"), change("+ /few/2")]
    assert told(changes, 3) == ["~ /few/1 1", "+ /few/2 1", "~ /full below 10"]
    assert collapsed_changes(changes, 3).truncated
    assert not collapsed_changes(changes).truncated


def test_single_changes_in_many_directories_come_together_in_what_they_share() -> None:
    changes = [change(f"~ /a/{number}/file") for number in range(10)] + [change("+ /b/c/d/e")]
    assert told(changes, 2) == ["~ /a below 10", "+ /b/c/d/e 1"]


def test_a_directory_that_stands_for_others_stands_for_its_own_change_too() -> None:
    changes = [change("~ /a", content=False), change("~ /a/b"), change("+ /a/c"), change("- /d")]
    assert told(changes, 2) == ["~ /a below 3", "- /d 1"]


@pytest.mark.parametrize("seed", range(20))
def test_no_change_is_lost_when_lines_are_shortened(seed: int) -> None:
    chance = random.Random(seed)
    parts = ["".join(chance.choices("abc", k=chance.randint(1, 2))) for _ in range(6)]
    paths = {"".join(f"/{chance.choice(parts)}" for _ in range(chance.randint(1, 6))) for _ in range(300)}
    changes = [change(f"~ {path}", size=3) for path in sorted(paths)]
    for limit in (1, 2, 7, 50, 299):
        collapsed = collapsed_changes(changes, limit)
        assert len(collapsed.lines) <= limit
        assert sum(line.entries for line in collapsed.lines) == len(changes)
        assert sum(line.bytes for line in collapsed.lines) == 3 * len(changes)
        for one in changes:
            assert any(line.touches(one.path) for line in collapsed.lines)


def test_everything_may_end_in_the_root() -> None:
    changes = [change(f"~ /{number}") for number in range(10)]
    assert told(changes, 1) == ["~ / below 10"]


def test_an_account_says_what_the_summary_says() -> None:
    summary = ChangeSummary(changes=[change("+ /a", size=9)], added=1, changed=2, removed=3, bytes_in=9)
    root = CatalogReference(ROOT, Digest.of(b""), 100)
    account = account_of(summary, revision=Revision(8), root=root, now=5, author="ada", message="why", reason="must")
    line = ChangeLine(RepositoryPath(b"/a"), Effect.ADDED, bytes=9)
    assert account == RevisionAccount(Revision(8), root.digest, 5, "ada", "why", "must", 1, 2, 3, 9, (line,), False)


def test_a_message_that_no_account_can_hold_is_refused() -> None:
    root = CatalogReference(ROOT, Digest.of(b""), 100)
    with pytest.raises(InvalidValue, match="the message of revision 8"):
        account_of(ChangeSummary(), revision=Revision(8), root=root, now=5, author="ada", message="\udcff")
