"""Transactions with real mounts, in every way that views are made, each in namespaces of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.stratum0.transactions.overlay import Way
from tests.stratum0.private_views import USER_WAYS, WAYS, play, seeded

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "scenario",
    [
        "disjoint_writers_go_ahead_and_overlapping_ones_wait",
        "view_in_use_is_not_published_and_users_are_named",
        "view_in_use_is_aborted",
        "changes_outside_are_refused_with_their_names",
        "after_a_restart_it_is_published_resumed_or_aborted",
        "abort_works_without_a_record_or_with_a_damaged_one",
        "published_again_after_the_switch_makes_no_second_revision",
        "dry_run_changes_nothing",
        "best_way_is_found_by_trying",
        "idle_sandboxes_keep_nobody_from_publishing",
        "sandboxes_keep_nobody_from_aborting",
        "work_in_a_sandbox_is_named_before_anything_is_taken_away",
        "file_that_a_sandbox_may_still_change_is_not_published",
        "view_that_only_a_sandbox_still_shows_is_published",
    ],
)
def test_scenario(tmp_path: Path, scenario: str, way: Way) -> None:
    play(scenario, tmp_path, way)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("way", WAYS)
def test_owners_are_kept(tmp_path: Path, way: Way) -> None:
    play("owners_are_kept", tmp_path, way)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("way", USER_WAYS)
def test_a_user_without_privileges_publishes(tmp_path: Path, way: Way) -> None:
    play("as_a_user", tmp_path, way)


@pytest.mark.slow
@pytest.mark.parametrize("way", [Way.KERNEL, Way.NAMESPACE], ids=lambda way: way.value)
def test_published_revision_shows_exactly_the_edited_tree(tmp_path: Path, way: Way) -> None:
    play("random_edits_are_published_as_they_are_made", tmp_path, way, seeded(12))


@pytest.mark.slow
def test_published_revision_shows_what_fuse_overlayfs_shows(tmp_path: Path) -> None:
    play("random_edits_are_published_as_they_are_seen", tmp_path, Way.FUSE, seeded(12))


@pytest.mark.fault
@pytest.mark.parametrize("way", WAYS)
def test_view_whose_server_is_killed_is_resumed(tmp_path: Path, way: Way) -> None:
    play("view_whose_server_is_killed_is_resumed", tmp_path, way)


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_moment_it_is_published_once_or_thrown_away(tmp_path: Path, way: Way) -> None:
    play("killed_at_any_moment", tmp_path, way, seeded(6))
