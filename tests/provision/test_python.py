"""The one part of the set-up that is a shell script: finding a Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "provision" / "python"


def fake_python(path: Path, *, new_enough: bool) -> None:
    path.write_text(f"#!/bin/sh\nexit {0 if new_enough else 1}\n")
    path.chmod(0o755)


def found(path: str, python: str = "python3") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", SCRIPT], env={"PATH": path, "PYTHON": python}, capture_output=True, text=True, check=False
    )


def test_named_python_comes_first(tmp_path: Path) -> None:
    assert found(str(tmp_path), sys.executable).stdout.strip() == sys.executable


def test_newer_python_is_found_beside_one_that_is_too_old(tmp_path: Path) -> None:
    fake_python(tmp_path / "python3", new_enough=False)
    fake_python(tmp_path / "python3.12", new_enough=True)
    assert found(str(tmp_path)).stdout.strip() == str(tmp_path / "python3.12")


def test_without_any_python_the_message_says_how_to_get_one(tmp_path: Path) -> None:
    fake_python(tmp_path / "python3", new_enough=False)
    (tmp_path / "cat").symlink_to("/bin/cat")
    fake_python(tmp_path / "id", new_enough=True)  # answers nothing, so nobody is root
    answer = found(str(tmp_path))
    assert answer.returncode == 1
    assert "needs Python 3.11 or newer" in answer.stderr
    assert "apt-get install python3 " in answer.stderr
