"""Runs a scenario of `scenarios.py` where nothing of it can stay behind: in mount and process namespaces of its own.

Everything that is mounted or started there ends with it, whatever happens to the test.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
_SECONDS = 100


def _namespaces() -> list[str]:
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *rootless, "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
            "--mount-proc"]  # fmt: skip


@functools.cache
def reason_against_mounting() -> str:
    """Why no file system can be mounted here; empty if one can."""
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    tried = subprocess.run([*_namespaces(), "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces: {tried.stderr.decode(errors='replace').strip()}"


needs_fuse = pytest.mark.skipif("reason_against_mounting()", reason="FUSE cannot be used here")


def play(
    scenario: str,
    directory: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    module: str = "scenarios",
) -> None:
    """Runs the scenario called `scenario` of `module` in `directory`; fails with what it said if it fails, skips where
    nothing can be mounted."""
    reason = reason_against_mounting()
    if reason:
        pytest.skip(reason)
    ended = subprocess.run(
        [
            *_namespaces(),
            sys.executable,
            "-m",
            module if "." in module else f"tests.client.mount.{module}",
            scenario,
            str(directory),
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout.decode(errors="replace")
