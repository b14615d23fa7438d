"""Names with newlines are one line each where somebody watches, and untouched where a program reads."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from outcrop.cli.name_text import listed, shell_escaped
from tests.cli.reading import arguments
from tests.client.published import Published

NAMES = [
    b"a\nb",
    b"\n",
    b"\n\nx",
    b"a'b\nc",
    b"a\n'",
    b"'\n",
    b'a"b\n',
    b"a\\b\nc",
    b"-a\n",
    b"a\x1b[31mb",
    b"t\tb",
    b"\x7f",
    b"a\xe9\nb",
    b"a\xc2\x85b",
    "ü\nß".encode(),
]


def gnu_ls(directory: Path) -> list[str]:
    """What GNU `ls` makes of the names in `directory`."""
    command = ["ls", "--quoting-style=shell-escape", "-1", str(directory)]
    ended = subprocess.run(command, env={"LC_ALL": "C.UTF-8", "PATH": os.defpath}, capture_output=True, check=False)
    if ended.returncode != 0:
        pytest.skip("`ls` is not that of GNU")
    return ended.stdout.decode().splitlines()


def test_names_are_escaped_as_gnu_ls_does(tmp_path: Path) -> None:
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    assert sorted(shell_escaped(os.fsdecode(name)) for name in NAMES) == sorted(gnu_ls(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_a_program_gets_a_name_as_it_is(name: bytes) -> None:
    assert listed(os.fsdecode(name)) == os.fsdecode(name)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["ls"], ["'new'$'\\n''line'", "with space"]),
        (["find"], ["/", "'/new'$'\\n''line'", "/with space"]),
    ],
)
def test_a_terminal_shows_each_name_on_one_line(tmp_path: Path, command: list[str], shown: list[str]) -> None:
    published = Published()
    names = [b"new\nline", b"with space"]
    root = published.catalog({b"/" + name: published.file(name, b"") for name in names})
    assert on_terminal(tmp_path, [*command, *arguments(tmp_path, published.sign(root))]) == shown


def on_terminal(home: Path, command: Sequence[str]) -> list[str]:
    """The lines that an outcrop command writes to a terminal."""
    reading, writing = pty.openpty()
    environment = {"PATH": os.defpath, "HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    with open(reading, "rb", buffering=0) as terminal:
        subprocess.run([sys.executable, "-m", "outcrop", *command], stdout=writing, env=environment, check=True)
        os.close(writing)
        shown = b""
        try:
            while chunk := terminal.read(4096):
                shown += chunk
        except OSError:  # Linux's way of saying that the other side of a terminal is closed
            pass
    return shown.decode().replace("\r\n", "\n").splitlines()
