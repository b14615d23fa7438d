"""Publishes on a file system that really is full, at many sizes: `python -m tests.stratum0.fault.full_disk DIRECTORY`.

Runs in a mount namespace of its own, where it mounts a file system in memory over DIRECTORY (`test_full_disk`). It gets
as large as what lies on it, and a little larger at each attempt, until a publish ends well.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from outcrop.errors import StorageError
from tests.stratum0.fault.aftermath import Aftermath
from tests.stratum0.fault.commands import CommandServer
from tests.stratum0.fault.scenario import Scenario
from tests.stratum0.fault.sweep import IS_WHOLE

_AMPLE_BYTES = 64 * 1024 * 1024
_STEP_BYTES = (16 if IS_WHOLE else 256) * 1024
_FEWEST_ATTEMPTS = 3


def main(directory: str) -> None:
    place = Path(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_AMPLE_BYTES}", "tmpfs", place], check=True)
    scenario = Scenario(place)
    with CommandServer(scenario.temporary) as server:
        aftermath = Aftermath(scenario, server, scenario.publish)
        failures = 0
        while not _succeeds_with(failures * _STEP_BYTES, aftermath, server, place):
            failures += 1
    assert failures >= _FEWEST_ATTEMPTS, f"only {failures} attempts failed"
    sys.stdout.write(f"{failures} attempts failed\n")


def _succeeds_with(spare_bytes: int, aftermath: Aftermath, server: CommandServer, place: Path) -> bool:
    """Whether a publish ends well that has this room; if it does not, nothing is wrong once there is more."""
    directory = aftermath.begin()
    status = os.statvfs(place)
    _resize(place, (status.f_blocks - status.f_bfree) * status.f_frsize + spare_bytes)
    ended = server.run(directory, aftermath.action.arguments)
    _resize(place, _AMPLE_BYTES)
    aftermath.require(directory, thoroughly=True, is_done=ended.code == 0)
    if ended.code != 0:
        assert ended.code == StorageError.exit_code, ended
        assert "the disk is full" in ended.output, ended
        assert "hint: free some space" in ended.output, ended
    return ended.code == 0


def _resize(place: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
