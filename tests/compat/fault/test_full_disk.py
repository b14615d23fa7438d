"""A disk that is full, and not only says so, while a layer is built, promoted or updated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.fault.layer_scenario import PROGRAMS
from tests.stratum0.fault.commands import ROOT
from tests.stratum0.fault.sweep import SECONDS, SEED
from tests.stratum0.fault.test_full_disk import namespace, reason_against_mounting

pytestmark = [
    pytest.mark.fault,
    pytest.mark.integration,
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("layer-faults"),
]

_SWEEP = os.environ.get("OUTCROP_TEST_SWEEP", "")


@pytest.mark.usefixtures("archive_key")
def test_a_build_on_a_full_disk_says_so_and_works_once_there_is_room(tmp_path: Path) -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    reason = f"{missing[0]} is not installed" if missing else reason_against_mounting()
    if reason:
        pytest.skip(reason)
    variables = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OUTCROP_TEST_SWEEP": _SWEEP, "OUTCROP_TEST_SEED": str(SEED)}
    ended = subprocess.run(
        [*namespace(), sys.executable, "-m", "tests.compat.fault.full_disk", tmp_path],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout.decode(errors="replace")
