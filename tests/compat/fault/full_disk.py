"""Builds and promotes a layer on a file system that really is full, at many sizes: `python -m
tests.compat.fault.full_disk DIRECTORY`.

Runs in a mount namespace of its own, where it mounts a file system in memory over DIRECTORY (`test_full_disk`). It gets
as large as what lies on it and some of what the command needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from outcrop.errors import StorageError
from tests.compat.debian.archive_made_here import gnupg_home
from tests.compat.fault.layer_scenario import LayerScenario, layer_scenario
from tests.compat.layer_publisher import PRODUCTION, TESTS
from tests.stratum0.fault.commands import CommandServer
from tests.stratum0.fault.sweep import require_all, sample

_AMPLE_BYTES = 128 * 1024 * 1024
_STEP_BYTES = 4 * 1024
_POINTS = 5
"""How many sizes are tried of each command."""


def main(directory: str) -> None:
    place = Path(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_AMPLE_BYTES}", "tmpfs", place], check=True)
    with (
        gnupg_home() as gnupg,
        CommandServer(place / "temporary") as server,
        layer_scenario(place, gnupg.make_key("Archive <archive@example.org>"), server) as scenario,
    ):
        promoting = ("compat", "promote", TESTS, PRODUCTION, scenario.make_repositories())
        _fill(place, scenario, "nothing", scenario.building)
        _fill(place, scenario, "layer", scenario.building)
        _fill(place, scenario, "published", promoting)


def _fill(place: Path, scenario: LayerScenario, setting: str, arguments: tuple[str, ...]) -> None:
    """Runs the command with too little room, of many sizes; it says so, and leaves nothing; then with enough."""
    scenario.begin(setting)
    before = _used(place)
    scenario.run(*arguments)
    contents = _contents(scenario.tree)
    # A second copy of the layer is there for a moment.
    needed = _used(place) - before + sum(map(len, contents.values()))
    what = f"{setting}: {arguments[1]}"
    whole = {path for path in contents if "/reprod/" not in path}
    failed = []

    def look(spare: int, _thoroughly: bool) -> None:
        scenario.begin(setting)
        there = _contents(scenario.tree)
        _resize(place, _used(place) + spare)
        ended = scenario.end(*arguments)
        _resize(place, _AMPLE_BYTES)
        assert scenario.leftovers() == [], scenario.leftovers()
        if ended.code != 0:
            failed.append(spare)
            assert ended.code == StorageError.exit_code, ended
            assert "the disk is full" in ended.output or " has room for " in ended.output, ended
            assert "hint: free some space" in ended.output, ended
            assert _contents(scenario.tree) == there, "something was left in place"
            scenario.run(*arguments)
        if setting != "published":
            assert _contents(scenario.tree).keys() >= whole, "the layer is not whole"

    require_all(sample(range(0, needed, _STEP_BYTES), _POINTS, what), look, what)
    assert failed, f"{what}: no size was too small"
    sys.stdout.write(f"{what}: {len(failed)} attempts failed, up to {max(failed)} of {needed} bytes\n")


def _contents(tree: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}


def _used(place: Path) -> int:
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _resize(place: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
