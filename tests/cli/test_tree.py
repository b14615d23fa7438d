"""The tree of commands: imported late, the same manners everywhere."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from outcrop import __version__
from outcrop.cli.tree import dressed
from outcrop.cli.variables import SHARED, variables
from tests.cli.conftest import CommandLine

HEAVY = ("cryptography", "easybuild", "msgspec", "numpy", "outcrop.cvmfs", "outcrop.client", "pycurl", "rich", "yaml")


def modules_after(*arguments: str, environment: dict[str, str] | None = None) -> set[str]:
    """The modules that are imported when a command line has ended."""
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\n"
        f"sys.argv = ['outcrop', *{list(arguments)!r}]\n"
        "from outcrop.cli.entry import main\n"
        "main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **(environment or {})}, capture_output=True, check=True
    )
    return set(ended.stderr.decode().split())


@pytest.mark.parametrize("arguments", [["--help"], ["repo", "--help"], ["help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert modules_after(*arguments) & set(HEAVY) == set()


def test_completion_of_commands_imports_nothing_heavy() -> None:
    asked = {"_OUTCROP_COMPLETE": "bash_complete", "COMP_WORDS": "outcrop repo ", "COMP_CWORD": "2"}
    assert modules_after(environment=asked) & set(HEAVY) == set()


def test_version_imports_no_command_line() -> None:
    assert modules_after("--version") & {"click", "outcrop.cli.app", *HEAVY} == set()


def test_version_is_the_same_both_ways(outcrop: CommandLine) -> None:
    assert outcrop("-q", "--version").out == f"outcrop {__version__}\n"
    ended = subprocess.run([sys.executable, "-m", "outcrop", "--version"], capture_output=True, check=True)
    assert ended.stdout.decode() == f"outcrop {__version__}\n"


@pytest.mark.parametrize("words", [("-q", "repo", "create"), ("repo", "-q", "create"), ("repo", "create", "-q")])
def test_quiet_works_before_and_after_the_command(words: tuple[str, ...], outcrop: CommandLine) -> None:
    outcome = outcrop(*words, "software.example.org")
    assert (outcome.code, outcome.err) == (0, "")
    assert "public key" in outcome.out


def test_quiet_works_as_a_variable(outcrop: CommandLine) -> None:
    os.environ["OUTCROP_QUIET"] = "1"
    assert outcrop("repo", "create", "software.example.org").err == ""


def test_notes_are_told_otherwise(outcrop: CommandLine) -> None:
    assert "next: " in outcrop("repo", "create", "software.example.org").err


def test_variable_stands_for_an_option_and_the_command_line_wins(outcrop: CommandLine) -> None:
    os.environ["OUTCROP_REPO_CREATE_TTL"] = "17"
    os.environ["OUTCROP_REPO_CREATE_DRY_RUN"] = "1"
    os.environ["OUTCROP_REPO_CREATE_JSON"] = "1"
    assert outcrop("repo", "create", "software.example.org").out.startswith("{")
    os.environ["OUTCROP_REPO_CREATE_TTL"] = "not a number"
    assert outcrop("repo", "create", "software.example.org").code == 2
    assert outcrop("repo", "create", "software.example.org", "--ttl", "3").code == 0


def test_shared_option_has_a_short_variable_that_the_long_one_beats() -> None:
    option = click.Option(["--key", "keys"])
    assert "key" in SHARED
    assert variables(("checkout",), option) == ("OUTCROP_CHECKOUT_KEY", "OUTCROP_KEY")


def test_directories_are_no_options_by_accident() -> None:
    names = {f"OUTCROP_{kind}_DIR" for kind in ("DATA", "CONFIG", "CACHE", "STATE")}
    assert names.isdisjoint(f"OUTCROP_{name.upper()}" for name in SHARED)


def test_dressing_leaves_the_plain_command_as_it_is() -> None:
    @click.command("plain")
    @click.option("-n", "count", type=int, help="How many.")
    @click.argument("fqrn")
    def plain(count: int, fqrn: str) -> None:
        """Do nothing."""

    polite = dressed(plain, ("repo", "plain"))
    assert [param.envvar for param in plain.params] == [None, None]
    assert [param.name for param in plain.params] == ["count", "fqrn"]
    assert polite.params[0].envvar == ("OUTCROP_REPO_PLAIN_COUNT",)
    assert polite.params[0].metavar == "COUNT"
