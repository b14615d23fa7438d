"""Mounts by layers, each in namespaces of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.client.layered.assembling import Plan, assemble
from outcrop.errors import OutcropError
from tests.client.ladder.site import reason_against_machines
from tests.client.mount.private_place import play

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("ladder"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount an image"),
]


@pytest.mark.parametrize(
    "scenario",
    [
        "shows_and_tells_what_is_mounted",
        "next_revision_takes_its_place_and_running_jobs_go_on",
        "file_that_is_damaged_meanwhile_is_mended_at_the_next_look",
        "outage_is_survived_and_no_server_is_needed_to_begin",
        "chosen_revision_stays",
        "follow_that_fails_leaves_everything_as_it_is",
        "layers_that_others_may_write_are_not_mounted",
        "older_layers_are_served_for_as_long_as_somebody_uses_them",
        "whoever_ends_it_nothing_is_left",
    ],
)
def test_scenario(tmp_path: Path, scenario: str) -> None:
    reason = reason_against_machines()
    if reason:
        pytest.skip(reason)
    play(scenario, tmp_path, module="tests.client.layered.scenarios")


def test_layers_that_cannot_be_put_together_are_an_error(tmp_path: Path) -> None:
    def serve(device: int) -> None:
        os.close(device)

    nothing = str(tmp_path / "nothing")
    with pytest.raises(OutcropError):
        assemble(Plan(nothing, nothing, "outcrop:test", nothing), serve)
