"""Real mounts, each in namespaces of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.client.mount.private_place import play

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", ["test.example.org", "rmd.example.org"])
def test_sample_shows_what_the_stock_client_shows(tmp_path: Path, name: str) -> None:
    # What the stock client had in its environment when the expectations were written.
    environment = {"CVMFS_TEST_VAR": "from_env", "HOME": "/root"}
    play("sample_shows_what_the_stock_client_shows", tmp_path, name, environment=environment)


@pytest.mark.parametrize(
    "scenario",
    [
        "programs_run_from_the_mount",
        "many_processes_read_at_random",
        "mount_ends_with_its_owner",
        "second_mount_on_the_same_place_is_refused",
        "busy_mount_names_who_uses_it",
        "told_to_end_while_in_use",
        "nothing_can_be_written",
        "failed_fetch_is_an_error_and_a_killed_reader_goes_at_once",
        "strange_mountpoints_work",
        "large_file_is_read_in_large_pieces",
        "private_cache_is_told_of_and_goes_with_the_server",
    ],
)
def test_scenario(tmp_path: Path, scenario: str) -> None:
    play(scenario, tmp_path)


@pytest.mark.fault
@pytest.mark.parametrize(
    "scenario",
    ["server_that_is_killed_leaves_no_mount", "watcher_that_is_killed_ends_the_mount", "dead_mount_is_cleared"],
)
def test_kill_minus_nine(tmp_path: Path, scenario: str) -> None:
    play(scenario, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("fusermount3") is None, reason="fusermount3 is not installed")
def test_user_mounts_by_the_helper(tmp_path: Path) -> None:
    play("user_mounts_by_the_helper", tmp_path)


@pytest.mark.parametrize(
    "scenario",
    [
        "new_revision_shows_and_running_jobs_go_on",
        "new_revision_comes_by_itself",
        "outage_is_survived_with_what_is_cached",
        "mount_that_begins_without_a_server_shows_what_is_cached_and_follows",
        "chosen_revision_stays",
        "old_revision_is_not_gone_back_to",
    ],
)
def test_revisions(tmp_path: Path, scenario: str) -> None:
    play(scenario, tmp_path, module="revision_scenarios")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has automounters")
@pytest.mark.skipif("autofs" not in Path("/proc/filesystems").read_text(), reason="this kernel has no autofs")
@pytest.mark.parametrize("by", ["fuse", "layers"])
def test_automounter_gets_its_mount(tmp_path: Path, by: str) -> None:
    play("mount_is_made_while_somebody_waits_for_it", tmp_path, by, module="automount_scenarios")
