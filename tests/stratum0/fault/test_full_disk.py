"""A disk that is full, and not only says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stratum0.fault.commands import ROOT
from tests.stratum0.fault.sweep import SECONDS

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(SECONDS)]

_SWEEP = os.environ.get("OUTCROP_TEST_SWEEP", "")


def namespace() -> list[str]:
    """The beginning of a command line whose program may mount."""
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *rootless, "--mount", "--propagation", "private"]


def reason_against_mounting() -> str:
    """Why no file system in memory can be mounted here; empty if one can."""
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    command = [*namespace(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    tried = subprocess.run(command, capture_output=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.decode(errors="replace").strip()


def test_publish_on_a_full_disk_says_so_and_works_once_there_is_room(tmp_path: Path) -> None:
    reason = reason_against_mounting()
    if reason:
        pytest.skip(reason)
    ended = subprocess.run(
        [*namespace(), sys.executable, "-m", "tests.stratum0.fault.full_disk", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OUTCROP_TEST_SWEEP": _SWEEP},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout.decode(errors="replace")
