"""Completion as it is typed: in bash, zsh and fish themselves."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outcrop.cli.completion import SHELLS, completion_script
from tests.cli.conftest import CommandLine

SECONDS = 20.0
"""How long a shell may take to answer on a busy machine."""

MARK = "typed:"

SOURCE = str(Path(__file__).resolve().parents[2] / "src")


def offered(words: str, position: int | None = None) -> list[str]:
    """What is offered for a line that ends in `words`, by the door that all shells use."""
    asked = {
        "_OUTCROP_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1 if position is None else position),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "outcrop"], env=os.environ | asked, capture_output=True, check=True, timeout=SECONDS
    )
    assert ended.stderr == b""
    return ended.stdout.decode().split()


@pytest.fixture
def repositories(home: Path) -> Path:
    """An owned repository, a configured one, and a record that is no repository."""
    data = home / ".local" / "share" / "outcrop"
    data.mkdir(parents=True)
    (data / "own.example.org.toml").write_text("", "utf-8")
    (data / "settings.toml").write_text("", "utf-8")
    configuration = home / ".config" / "outcrop"
    configuration.mkdir(parents=True)
    (configuration / "config.toml").write_text('[repositories."read.example.org"]\n', "utf-8")
    return home


def test_nouns_and_verbs_are_offered() -> None:
    assert "plain,repo" in offered("outcrop ")
    assert offered("outcrop repo lo") == ["plain,log"]


def test_options_are_offered() -> None:
    assert {"plain,--dry-run", "plain,--at", "plain,--help"} <= set(offered("outcrop repo ingest --"))


def test_choices_are_offered() -> None:
    assert offered("outcrop repo create --hash sh") == ["plain,sha1", "plain,shake128"]


def test_files_are_left_to_the_shell() -> None:
    assert offered("outcrop repo ingest own.example.org ./tr") == ["file,./tr"]


def test_repositories_to_write_are_the_owned_ones(repositories: Path) -> None:
    assert offered("outcrop repo log ") == ["plain,own.example.org"]
    assert offered("outcrop repo serve own.example.org o") == ["plain,own.example.org"]


def test_repositories_to_read_are_all_that_have_a_name(repositories: Path) -> None:
    assert offered("outcrop ls ") == ["plain,own.example.org", "plain,read.example.org"]
    assert offered("outcrop ls r") == ["plain,read.example.org"]


def test_broken_configuration_does_not_disturb_the_prompt(repositories: Path) -> None:
    (repositories / ".config" / "outcrop" / "config.toml").write_text("nonsense = = 1", "utf-8")
    assert offered("outcrop ls ") == ["plain,own.example.org"]


@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_printed(shell: str, outcrop: CommandLine) -> None:
    outcome = outcrop("completion", shell)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.rstrip() == completion_script(shell).rstrip()
    assert "_OUTCROP_COMPLETE" in outcome.out


def test_other_shells_are_a_usage_error(outcrop: CommandLine) -> None:
    assert outcrop("completion", "tcsh").code == 2


class Terminal:
    """A shell that somebody types at."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            os.execvpe(command[0], command, environment)
        self._shown = ""

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """Everything shown so far, once `pattern` is there; what was shown before counts no more afterwards."""
        ends = time.monotonic() + SECONDS
        while not re.search(pattern, self._shown):
            assert time.monotonic() < ends, f"no {pattern!r} in {self._shown!r}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._shown += os.read(self._terminal, 4096).decode("utf-8", "replace")
        shown, self._shown = self._shown, ""
        return shown

    def close(self) -> None:
        os.close(self._terminal)
        os.waitpid(self._child, 0)


@pytest.fixture
def terminal(repositories: Path, tmp_path: Path) -> Iterator[Callable[[str], Terminal]]:
    """Starts a shell with our completion in it and an `outcrop` on its path, in an empty directory with one file."""
    programs = tmp_path / "bin"
    programs.mkdir()
    outcrop = programs / "outcrop"
    outcrop.write_text(f'#!/bin/sh\nexec {sys.executable} -m outcrop "$@"\n', "utf-8")
    outcrop.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    (work / "ein Baum.tar").write_text("", "utf-8")
    environment = os.environ | {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": SOURCE,
        "TERM": "dumb",
        "HISTFILE": "",
        "ZDOTDIR": str(repositories),
    }
    opened: list[Terminal] = []

    def start(shell: str) -> Terminal:
        if not shutil.which(shell):
            pytest.skip(f"{shell} is not installed")
        (repositories / "script").write_text(completion_script(shell), "utf-8")
        command = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
        prepare = {
            "bash": "bind 'set bell-style none' 'set enable-bracketed-paste off'; PS1='ready> '",
            "zsh": "autoload -Uz compinit; compinit -u -D; bindkey -e; unsetopt beep; PS1='ready> '",
        }[shell]
        opened.append(Terminal(command, environment))
        opened[0].type(f"{prepare}; cd '{work}'; source '{repositories / 'script'}'\n")
        opened[0].wait_for("\nready> |\rready> ")
        return opened[0]

    yield start
    for each in opened:
        each.close()


def completed(terminal: Terminal, line: str, ending: str) -> str:
    """What the last word of `line` becomes when Tab is pressed behind it, as the shell itself reads it afterwards.

    `ending` is not in `line`: once the terminal shows it, more can be typed."""
    terminal.type(f"{line}\t")
    terminal.wait_for(re.escape(ending))
    terminal.type(f"\x01printf '{MARK}%s|' \x05\n")
    shown = terminal.wait_for(rf"\n(\r)?{MARK}[^\n]*\|")
    *_, last = re.finditer(rf"{MARK}([^|\n]*)\|", shown)
    return last[1]


CASES = {
    "noun": ("outcrop sou", "sources"),
    "verb": ("outcrop repo in", "ingest"),
    "option": ("outcrop repo ingest --dr", "--dry-run"),
    "choice": ("outcrop completion fi", "fish"),
    "repository": ("outcrop repo log ow", "own.example.org"),
    "file with a space": ("outcrop repo ingest own.example.org ein", "ein Baum.tar"),
}


@pytest.mark.integration
@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(("line", "word"), CASES.values(), ids=CASES)
def test_tab_completes(shell: str, line: str, word: str, terminal: Callable[[str], Terminal]) -> None:
    assert completed(terminal(shell), line, word[-4:]) == word


@pytest.fixture
def fish(terminal: object, repositories: Path, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Asks fish what it would offer for a line: each word with its description. That takes no terminal."""
    program = shutil.which("fish")
    if not program:
        pytest.skip("fish is not installed")
    script = repositories / "script.fish"
    script.write_text(completion_script("fish"), "utf-8")

    def ask(line: str) -> dict[str, str]:
        ended = subprocess.run(
            [program, "--no-config", "-c", f"source '{script}'; complete -C '{line}'"],
            cwd=tmp_path / "work",
            env=os.environ | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PYTHONPATH": SOURCE},
            capture_output=True,
            check=True,
            timeout=SECONDS,
        )
        lines = [shown.partition("\t") for shown in ended.stdout.decode().splitlines()]
        return {word.replace("\\ ", " "): description for word, _, description in lines}

    return ask


@pytest.mark.integration
@pytest.mark.parametrize(("line", "word"), CASES.values(), ids=CASES)
def test_tab_completes_in_fish(line: str, word: str, fish: Callable[[str], dict[str, str]]) -> None:
    assert word in fish(line)


@pytest.mark.integration
def test_fish_shows_whole_descriptions(fish: Callable[[str], dict[str, str]]) -> None:
    assert fish("outcrop rep") == {"repo": "Own a repository: create it, publish into it, serve it."}
