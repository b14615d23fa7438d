"""A real mount shows files as the site wants them, and answers truly what it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.mount.private_place import play

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "scenario",
    ["owners_are_those_that_the_site_wants", "network_is_told_as_it_is", "catalogs_of_the_new_revision_are_pinned"],
)
def test_scenario(tmp_path: Path, scenario: str) -> None:
    play(scenario, tmp_path, module="site_scenarios")
