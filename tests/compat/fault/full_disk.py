"""Builds, promotes and updates a layer on a file system that really is full, at many sizes: `python -m
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
from tests.compat.fault.layer_scenario import LayerScenario, State, layer_scenario
from tests.compat.layer_publisher import PRODUCTION, TESTS
from tests.stratum0.fault.commands import CommandServer
from tests.stratum0.fault.sweep import require_all, sample

_AMPLE_BYTES = 128 * 1024 * 1024
_STEP_BYTES = 4 * 1024
_SIZES = 80
"""How many sizes there are of each command: all pages of the file system would take hours."""
_POINTS = 5
"""How many of them are tried without a whole sweep."""


def main(directory: str) -> None:
    place = Path(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_AMPLE_BYTES}", "tmpfs", place], check=True)
    with (
        gnupg_home() as gnupg,
        CommandServer(place / "temporary") as server,
        layer_scenario(place, gnupg.make_key("Archive <archive@example.org>"), server) as scenario,
    ):
        promoting = ("compat", "promote", TESTS, PRODUCTION, scenario.make_repositories())
        _fill(place, scenario, "nothing", scenario.building, scenario.tree)
        _fill(place, scenario, "layer", scenario.building, scenario.tree)
        _fill(place, scenario, "published", promoting, scenario.tree)
        scenario.begin("outdated")
        scenario.run(*scenario.updating)
        built = scenario.updated()
        assert built is not None
        _fill(place, scenario, "outdated", scenario.updating, built)


def _fill(place: Path, scenario: LayerScenario, setting: str, arguments: tuple[str, ...], tree: Path) -> None:
    """Runs the command, which makes the layer `tree`, with too little room, of many sizes; it says so, and leaves what
    was there; then with enough. An update whose layer is whole already may leave that."""
    scenario.begin(setting)
    before = _used(place)
    scenario.run(*arguments)
    contents = _contents(tree)
    # A second copy of the layer is there for a moment.
    needed = _used(place) - before + sum(map(len, contents.values()))
    what = f"{setting}: {arguments[1]}"
    whole = {path for path in contents if "/reprod/" not in path}
    failed = []

    def look(spare: int, _thoroughly: bool) -> None:
        scenario.begin(setting)
        there, seen = _contents(tree), _seen(scenario)
        _resize(place, _used(place) + spare)
        ended = scenario.end(*arguments)
        _resize(place, _AMPLE_BYTES)
        assert scenario.leftovers() == [], scenario.leftovers()
        if ended.code != 0:
            failed.append(spare)
            assert ended.code == StorageError.exit_code, ended
            assert "the disk is full" in ended.output or " has room for " in ended.output, ended
            assert "hint: free some space" in ended.output, ended
            left = _contents(tree)
            is_built = setting == "outdated" and left.keys() >= whole
            assert left == there or is_built, "something was left in place"
            assert _seen(scenario) == seen
            scenario.run(*arguments)
        if setting != "published":
            assert _contents(tree).keys() >= whole, "the layer is not whole"

    step = max(_STEP_BYTES, needed // _SIZES)
    require_all(sample(range(0, needed, step), _POINTS, what), look, what)
    assert failed, f"{what}: no size was too small"
    sys.stdout.write(f"{what}: {len(failed)} attempts failed, up to {max(failed)} of {needed} bytes\n")


def _seen(scenario: LayerScenario) -> list[State]:
    """What users of the repositories see, if there are any."""
    there = (scenario.arena / "data" / "storage").is_dir()
    return [scenario.published(name) for name in (PRODUCTION, TESTS)] if there else []


def _contents(tree: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}


def _used(place: Path) -> int:
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _resize(place: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
