"""What holds for every command, also for those that come later."""

from __future__ import annotations

import shlex

import click
import pytest

from outcrop.cli.app import PROGRAM
from outcrop.cli.help_page import shown_default
from outcrop.cli.options import example_lines
from outcrop.cli.registry import SECTIONS, CommandPlace, NounPlace
from outcrop.cli.tree import LazyGroup, build_root
from outcrop.cli.variables import option_name

Path = tuple[str, ...]

LONGEST_SUMMARY = 64
"""With the name beside it, the line of `outcrop --help` fits 80 columns."""

LONGEST_EXAMPLE = 98
"""Fits the widest help page; on 80 columns it is broken once."""

WITHOUT_JSON: dict[Path, str] = {
    ("cat",): "its answer is the bytes of files",
    ("completion",): "its answer is a script",
    ("help",): "its answer is a page for people",
    ("mount", "units"): "its answer is files",
    ("repo", "serve"): "it answers over HTTP, until it is stopped",
    ("umount",): "it changes something, and has nothing to tell afterwards",
}

READS_ONLY: dict[Path, str] = {
    ("cache", "status"): "reads a cache",
    ("cache", "verify"): "shows what is damaged before `--repair` removes it",
    ("cat",): "reads a repository",
    ("completion",): "prints a script",
    ("compat", "abi"): "looks at two layers",
    ("compat", "audit"): "looks at a layer",
    ("compat", "plan"): "is the plan itself",
    ("compat", "verify"): "looks at a layer",
    ("config", "list"): "reads settings",
    ("config", "show"): "reads settings",
    ("detect",): "reads about this machine",
    ("diff",): "reads a repository",
    ("doctor",): "reads about this machine",
    ("find",): "reads a repository",
    ("help",): "prints a page",
    ("ls",): "reads a repository",
    ("mount", "status"): "reads about mounts",
    ("repo", "catalogs"): "reads a repository",
    ("repo", "check"): "reads a repository",
    ("repo", "diff"): "reads a repository",
    ("repo", "log"): "reads a repository",
    ("repo", "policy"): "reads a file",
    ("repo", "serve"): "serves what is there",
    ("stat",): "reads a repository",
}
"""Commands that change nothing, so that there is no plan to print."""


def places() -> dict[Path, CommandPlace | NounPlace]:
    """Every noun and command of the registry."""
    found: dict[Path, CommandPlace | NounPlace] = {}
    for section in SECTIONS.values():
        for name, place in section.items():
            found[tuple(name.split())] = place
            if isinstance(place, NounPlace):
                found |= {(name, verb): below for verb, below in place.verbs.items()}
    return found


COMMANDS = [path for path, place in places().items() if isinstance(place, CommandPlace)]
every_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def context_of(path: Path) -> click.Context:
    """The context in which the command at `path` runs."""
    root = build_root()
    context = root.make_context(PROGRAM, [], resilient_parsing=True)
    assert isinstance(context.command, LazyGroup)
    names = [" ".join(path)] if " ".join(path) in context.command.places else path
    for name in names:
        assert isinstance(context.command, LazyGroup)
        command = context.command.get_command(context, name)
        assert command is not None, name
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    return context


def options_of(path: Path) -> list[click.Option]:
    context = context_of(path)
    return [param for param in context.command.get_params(context) if isinstance(param, click.Option)]


def names_of_options(path: Path) -> set[str]:
    return {spelling for option in options_of(path) for spelling in option.opts}


@every_command
def test_command_that_is_registered_exists(path: Path) -> None:
    assert context_of(path).command.name == path[-1]


def test_help_begins_with_the_line_that_the_overview_shows_or_says_more() -> None:
    for path, place in places().items():
        assert len(place.summary) <= LONGEST_SUMMARY, path
        assert place.summary.endswith("."), path
        assert place.summary[0].isupper(), path


@every_command
def test_command_answers_in_json_or_says_why_not(path: Path) -> None:
    assert ("--json" in names_of_options(path)) != (path in WITHOUT_JSON)


@every_command
def test_command_that_changes_something_shows_its_plan(path: Path) -> None:
    assert ("--dry-run" in names_of_options(path)) != (path in READS_ONLY)


@every_command
def test_command_can_be_silenced(path: Path) -> None:
    assert {"--quiet", "--help"} <= names_of_options(path)


@every_command
def test_every_option_says_what_it_does(path: Path) -> None:
    for option in options_of(path):
        assert option.help, option.name
        assert option.help[0].isupper() or option.help[0] == "`", option.help
        assert option.help.endswith("."), option.help


@every_command
def test_every_option_has_a_variable_of_its_own(path: Path) -> None:
    for option in options_of(path):
        if option_name(option) in ("help", "quiet"):
            continue
        expected = "_".join(["OUTCROP", *path, option_name(option)]).upper().replace("-", "_")
        assert expected in (option.envvar or ()), option.name


@every_command
def test_help_text_is_a_sentence_for_people(path: Path) -> None:
    text = context_of(path).command.help
    assert text
    assert text.split("\n\n", maxsplit=1)[0].strip().endswith(".")


@every_command
def test_examples_are_command_lines_that_the_command_takes(path: Path) -> None:
    examples = example_lines(context_of(path).command)
    assert examples
    for line, _ in examples:
        assert len(line) <= LONGEST_EXAMPLE, line
        ours = next(part for part in line.split("<(")[-1].split("|") if PROGRAM in part.split())
        words = shlex.split(ours.split(">")[0].rstrip(") "))
        words = words[words.index(PROGRAM) :]
        assert tuple(words[1 : len(path) + 1]) == path, line
        context = context_of(path)
        parser = context.command.make_parser(context)
        _, left_over, _ = parser.parse_args(args=words[len(path) + 1 :])
        assert left_over == [], line


@every_command
def test_default_is_not_told_twice(path: Path) -> None:
    context = context_of(path)
    for option in options_of(path):
        if shown_default(option, context):
            assert "by default" not in (option.help or ""), option.name


def test_exceptions_from_the_rules_name_commands_that_exist() -> None:
    assert {*WITHOUT_JSON, *READS_ONLY} <= set(COMMANDS)
