"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.cli.console import Console
from outcrop.errors import NotFound, StorageError
from outcrop.progress import SILENT

Captured = pytest.CaptureFixture[bytes]


def on_terminal(say: Callable[[Console], None]) -> str:
    """What `say` makes a terminal show."""
    child, terminal = pty.fork()
    if child == 0:
        try:
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            say(Console())
            sys.stdout.flush()
        finally:
            os._exit(0)
    shown = b""
    while chunk := _read(terminal):
        shown += chunk
    os.waitpid(child, 0)
    os.close(terminal)
    return shown.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux's way of saying that the other side of a terminal is closed
        return b""


def table(console: Console) -> None:
    console.table(("NAME", "SIZE"), [("a", "1,200"), ("b\x1b[2J\n", "7")])


def test_table_without_a_terminal_has_no_headings(capsysbinary: Captured) -> None:
    Console().table(("NAME", "SIZE"), [("a", "1,200"), ("longer", "7")])
    assert capsysbinary.readouterr().out == b"a       1,200\nlonger      7\n"


def test_table_on_a_terminal_has_headings_and_obeys_no_name() -> None:
    os.environ["NO_COLOR"] = "1"
    os.environ["TERM"] = "xterm"
    assert on_terminal(table) == "NAME         SIZE\na           1,200\nb\\x1b[2J\\n      7\n"


def test_empty_table_says_nothing(capsysbinary: Captured) -> None:
    Console().table(("NAME", "SIZE"), [])
    assert capsysbinary.readouterr().out == b""


def test_result_keeps_bytes_that_are_no_text(capsysbinary: Captured) -> None:
    Console().result("caf\udce9")
    assert capsysbinary.readouterr().out == b"caf\xe9\n"


def test_result_is_exact_for_programs_and_safe_for_terminals(capsysbinary: Captured) -> None:
    Console().result("a\x1b[2J")
    assert capsysbinary.readouterr().out == b"a\x1b[2J\n"
    assert on_terminal(lambda console: console.result("a\x1b[2J")) == "a\\x1b[2J\n"


def test_json_is_one_document_of_ascii(capsysbinary: Captured) -> None:
    Console().json({"name": "Grüße \udce9"})
    out = capsysbinary.readouterr().out
    assert json.loads(out) == {"name": "Grüße \udce9"}
    assert out.isascii()


def test_quiet_keeps_notes_back_but_no_errors(capsysbinary: Captured) -> None:
    console = Console()
    console.quiet = True
    console.note("a note")
    console.warning("a warning")
    assert console.progress() is SILENT
    assert console.error(NotFound(what="it", hint="look\x1b")) == 1
    assert capsysbinary.readouterr() == (b"", b"error: it does not exist\n\nhint: look\\x1b\n")


def test_full_output_is_told_as_such() -> None:
    before = sys.stdout
    try:
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            sys.stdout = full
            console = Console()
            console.result("an answer")
            with pytest.raises(StorageError, match="standard output cannot be written: the disk is full"):
                console.flush()
            sys.stdout = before
            os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    finally:
        sys.stdout = before


def test_output_that_was_closed_from_the_start_is_told_as_such() -> None:
    before = sys.stdout
    try:
        sys.stdout = None  # what Python does when descriptor 1 is closed
        with pytest.raises(StorageError, match="standard output is closed"):
            Console().result("an answer")
    finally:
        sys.stdout = before
