"""The help pages as people see them. `pytest tests/cli --snapshot-update` takes a wanted change over."""

from __future__ import annotations

import os

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.cli.conftest import CommandLine
from tests.cli.test_manners import places

PAGES = [(), *places()]
EIGHTY_COLUMNS = 80


@pytest.mark.parametrize("path", PAGES, ids=lambda path: "-".join(("outcrop", *path)))
def test_help_page(path: tuple[str, ...], outcrop: CommandLine, snapshot: SnapshotAssertion) -> None:
    outcome = outcrop(*path, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == snapshot


@pytest.mark.parametrize("path", PAGES, ids=lambda path: "-".join(("outcrop", *path)))
def test_help_page_fits_the_terminal(path: tuple[str, ...], outcrop: CommandLine) -> None:
    assert max(map(len, outcrop(*path, "--help").out.splitlines())) < EIGHTY_COLUMNS


def test_short_spelling_and_help_command_show_the_same_page(outcrop: CommandLine) -> None:
    page = outcrop("repo", "log", "--help")
    assert outcrop("repo", "log", "-h") == page
    assert outcrop("help", "repo", "log") == page
    assert outcrop("help") == outcrop("--help")


def test_help_of_an_unknown_command_is_an_error(outcrop: CommandLine) -> None:
    assert outcrop("help", "rep").code == 2


def test_noun_without_a_verb_shows_its_page_as_an_error(outcrop: CommandLine) -> None:
    outcome = outcrop("repo")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == outcrop("repo", "--help").out


def test_wide_terminal_does_not_make_long_lines(outcrop: CommandLine) -> None:
    os.environ["COLUMNS"] = "200"
    assert max(map(len, outcrop("repo", "ingest", "--help").out.splitlines())) <= 100


def test_narrow_terminal_loses_no_words(outcrop: CommandLine) -> None:
    wide = outcrop("repo", "create", "--help").out.replace("\\\n", "").split()
    os.environ["COLUMNS"] = "30"
    assert sorted(outcrop("repo", "create", "--help").out.replace("\\\n", "").split()) == sorted(wide)


def test_colours_only_where_they_are_wanted(outcrop: CommandLine) -> None:
    plain = outcrop("repo", "--help").out
    assert "\x1b" not in plain
    os.environ["FORCE_COLOR"] = "1"
    coloured = outcrop("repo", "--help").out
    assert "\x1b[" in coloured
    os.environ["NO_COLOR"] = "1"
    assert outcrop("repo", "--help").out == plain
