"""What is said of a command that cannot be started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.client.ladder.launch import NOT_EXECUTABLE_EXIT_CODE, NOT_FOUND_EXIT_CODE, PREFIX_VARIABLE

PREFIX = "/cvmfs/books.example.org"


def ended(command: str) -> subprocess.CompletedProcess[str]:
    """How a process ends that is to become `command`."""
    code = "import os, sys; from outcrop.client.ladder.launch import become; become(sys.argv[1:], dict(os.environ))"
    environment = {**os.environ, PREFIX_VARIABLE: PREFIX}
    return subprocess.run(
        [sys.executable, "-c", code, command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("no-such-command", f"hint: name it with its path below {PREFIX}, or add its directory there to PATH"),
        (f"{PREFIX}/none", f"hint: check the path: `outcrop run REPO -- ls {PREFIX}` shows what is there"),
    ],
)
def test_a_command_that_does_not_exist_comes_with_a_hint(command: str, hint: str) -> None:
    process = ended(command)
    assert process.returncode == NOT_FOUND_EXIT_CODE
    assert process.stderr.splitlines() == [f"error: {command}: there is no such command", "", hint]


def test_a_script_without_its_interpreter_is_not_said_to_be_missing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/nowhere/sh\n")
    script.chmod(0o755)
    process = ended(str(script))
    assert process.returncode == NOT_FOUND_EXIT_CODE
    assert "the program that it is to be run by does not exist" in process.stderr


def test_a_file_that_is_no_program_has_the_exit_code_that_shells_give(tmp_path: Path) -> None:
    (tmp_path / "text").touch()
    assert ended(str(tmp_path / "text")).returncode == NOT_EXECUTABLE_EXIT_CODE
