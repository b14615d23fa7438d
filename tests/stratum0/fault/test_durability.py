"""What a publish makes durable, and when: once, everything, before the switch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stratum0.fault.aftermath import Aftermath
from tests.stratum0.fault.calls import read_trace, recording
from tests.stratum0.fault.commands import CommandServer

pytestmark = pytest.mark.fault

_SYNCS_OF_A_REPLACED_FILE = 2
"""The file, and the directory that names it."""


def test_publish_syncs_once_after_all_objects_and_before_the_manifest(
    aftermath_of: Callable[[str], Aftermath], watched_server: CommandServer, tmp_path: Path
) -> None:
    aftermath = aftermath_of("publish")
    trace = tmp_path / "trace"
    assert watched_server.run(aftermath.begin(), aftermath.action.arguments, watch=recording(trace)).code == 0
    calls = read_trace(trace).calls
    in_storage = [call for call in calls if "/data/storage/" in call.shown]
    renamed = [position for position, call in enumerate(in_storage) if call.name == "rename"]
    (whole,) = (position for position, call in enumerate(in_storage) if call.name == "syncfs")
    (switch,) = (position for position in renamed if '/.cvmfspublished")' in in_storage[position].shown)
    others = [position for position in renamed if position != switch]
    assert len(others) > 200
    assert max(others) < whole < switch
    single = [call for call in in_storage if call.name in ("fsync", "fdatasync")]
    assert len(single) == 2 * _SYNCS_OF_A_REPLACED_FILE, "the reflog and the manifest, and no object"
