"""A command that finds its copy imports nothing that only reading a repository needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "numpy",
    "cryptography",
    "pycurl",
    "msgspec",
    "rich",
    "sqlite3",
    "ssl",
    "tempfile",
    "outcrop.client.repository",
)


@pytest.mark.parametrize(
    "module",
    ["outcrop.cli.run", "outcrop.client.ladder.relocated_rung", "outcrop.client.ladder.existing"],
)
def test_heavy_modules_wait_until_they_are_needed(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []
