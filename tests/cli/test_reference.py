"""The reference and the manual pages come from the commands, and are up to date."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from outcrop import errors
from outcrop.cli.reference import command_entries, exit_codes, write_man_pages, write_markdown
from outcrop.cli.reference_man import man_page
from outcrop.cli.variables import SHARED
from tests.cli.test_manners import places

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
RENEW = "run `python -m outcrop.cli.reference`"

TOLERATED = ("missing date", "STYLE: ")
"""A page belongs to a version and has no date; mandoc's remarks on style are about its own macros."""


def same_files(there: Path, wanted: Path) -> bool:
    names = {path.name for path in wanted.iterdir()}
    return all(
        (there / name).is_file() and (there / name).read_bytes() == (wanted / name).read_bytes() for name in names
    )


def test_reference_is_up_to_date(tmp_path: Path) -> None:
    write_markdown(tmp_path)
    assert same_files(REFERENCE, tmp_path), RENEW


def test_manual_pages_are_up_to_date(tmp_path: Path) -> None:
    write_man_pages(tmp_path)
    assert same_files(REFERENCE / "man", tmp_path), RENEW
    assert {path.name for path in (REFERENCE / "man").iterdir()} == {path.name for path in tmp_path.iterdir()}, RENEW


def test_every_command_is_in_the_reference() -> None:
    assert {entry.path[1:] for entry in command_entries()} == {(), *places()}


def test_page_of_a_command_that_is_gone_is_removed(tmp_path: Path) -> None:
    (tmp_path / "outcrop-gone.1").write_text("", "utf-8")
    (tmp_path / "other.1").write_text("", "utf-8")
    write_man_pages(tmp_path)
    assert not (tmp_path / "outcrop-gone.1").exists()
    assert (tmp_path / "other.1").exists()


def test_every_error_class_has_an_exit_code_with_a_meaning() -> None:
    documented = {name: code.code for code in exit_codes() for name in code.classes}
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert documented == {kind.__name__: kind.exit_code for kind in classes if issubclass(kind, errors.OutcropError)}
    assert all(code.meaning for code in exit_codes())


def test_manual_page_has_what_a_reader_looks_for() -> None:
    entries = command_entries()
    pages = {entry.page: man_page(entry, entries, exit_codes()) for entry in entries}
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"):
        assert f"\n.SH {heading}\n" in pages["outcrop-repo-ingest"]
    assert ".SH COMMANDS\n.TP\n\\fBoutcrop\\-demo\\fR(1)\n" in pages["outcrop"]
    assert "\n\\fB130\\fR\n" in pages["outcrop"]


def complaints(*command: str | Path) -> list[str]:
    """What a program that checks manual pages has to say."""
    ended = subprocess.run(command, capture_output=True, check=False)
    lines = (ended.stdout + ended.stderr).decode().splitlines()
    return [line for line in lines if not any(tolerated in line for tolerated in TOLERATED)]


@pytest.mark.integration
def test_mandoc_finds_nothing_wrong(tmp_path: Path) -> None:
    write_man_pages(tmp_path)
    if shutil.which("mandoc"):
        assert complaints("mandoc", "-Tlint", *sorted(tmp_path.iterdir())) == []
    elif shutil.which("groff"):
        assert complaints("groff", "-ww", "-man", "-Tutf8", "-z", *sorted(tmp_path.iterdir())) == []
    else:
        pytest.skip("neither mandoc nor groff is installed: they check manual pages")


@pytest.mark.integration
def test_man_shows_options_as_they_are_typed(tmp_path: Path) -> None:
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    write_man_pages(tmp_path)
    ended = subprocess.run(
        ["man", "--local-file", tmp_path / "outcrop-repo-tag.1"],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": "", "PAGER": "cat"},
        capture_output=True,
        check=True,
    )
    shown = ended.stdout.decode()
    assert "outcrop repo tag software.example.org 2026.06 -m 'first stable release'" in shown
    assert "OUTCROP_REPO_TAG_REVISION" in shown


def test_short_variables_are_documented() -> None:
    text = (REFERENCE / "directories.md").read_text("utf-8")
    for name in SHARED:
        assert f"| `OUTCROP_{name.upper()}` | " in text
