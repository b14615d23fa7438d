"""The way that held a moment ago is tried first, and all of them as soon as that may be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from outcrop.client.ladder.recent_way import KEPT_SECONDS, RecentWay
from outcrop.client.ladder.rung import Become
from outcrop.client.ladder.surroundings import surroundings
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.errors import MissingCapability, TrustError


def become(_command: Sequence[str]) -> NoReturn:
    raise AssertionError("nothing is run here")


@dataclass
class Step:
    """A rung that holds or does not, and counts how often it was tried."""

    way: Way
    holds: bool = True
    trouble: Exception | None = None
    tried: int = 0

    def obstacle(self) -> Obstacle | None:
        self.tried += 1
        return None if self.holds else Obstacle(f"{self.way.value} is forbidden", "ask")

    def prepare(self) -> Become:
        if self.trouble is not None:
            raise self.trouble
        return become


@dataclass
class Ladder:
    """Three rungs, of which the last holds, on a machine of which a test says how it looks and what time it is."""

    directory: Path
    mounted: Step = field(default_factory=lambda: Step(Way.MOUNTED, False))
    fuse: Step = field(default_factory=lambda: Step(Way.FUSE, False))
    relocated: Step = field(default_factory=lambda: Step(Way.RELOCATED))
    now: float = 1000.0
    looks: str = "as ever"

    def climb(self) -> tuple[Way, list[str]]:
        recent = RecentWay(self.directory / "ways" / "x.json", lambda: self.looks, lambda: self.now)
        ready = recent.climb((self.mounted, self.fuse, self.relocated))
        return ready.way, [each.obstacle.reason for each in ready.refused]


@pytest.fixture
def ladder(tmp_path: Path) -> Ladder:
    ladder = Ladder(tmp_path)
    assert ladder.climb() == (Way.RELOCATED, ["mounted is forbidden", "fuse is forbidden"])
    return ladder


def test_the_next_run_tries_the_mount_and_the_way_that_held(ladder: Ladder) -> None:
    assert ladder.climb() == (Way.RELOCATED, ["mounted is forbidden", "fuse is forbidden"])
    assert (ladder.mounted.tried, ladder.fuse.tried, ladder.relocated.tried) == (2, 1, 2)


def test_a_mount_that_has_come_is_used(ladder: Ladder) -> None:
    ladder.mounted.holds = True
    assert ladder.climb() == (Way.MOUNTED, [])


def test_a_better_way_is_found_when_the_minutes_are_over_or_the_machine_looks_different(ladder: Ladder) -> None:
    ladder.fuse.holds = True
    assert ladder.climb()[0] is Way.RELOCATED
    ladder.now += KEPT_SECONDS
    assert ladder.climb()[0] is Way.FUSE
    ladder.fuse.holds = False
    ladder.looks = "different"
    assert ladder.climb()[0] is Way.RELOCATED


def test_all_are_tried_when_the_way_does_not_hold_any_more(ladder: Ladder) -> None:
    ladder.relocated.holds, ladder.fuse.holds = False, True
    assert ladder.climb() == (Way.FUSE, ["mounted is forbidden"])
    ladder.fuse.trouble = MissingCapability(what="it", problem="is gone")
    ladder.relocated.holds = True
    assert ladder.climb()[0] is Way.RELOCATED


def test_trouble_with_the_repository_is_no_reason_to_try_others(ladder: Ladder) -> None:
    ladder.relocated.trouble = TrustError(what="it", problem="is not signed")
    with pytest.raises(TrustError):
        ladder.climb()
    assert ladder.fuse.tried == 1


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"way": "flying"}, {"at": "noon"}, {"refused": [[1]]}, {"at": 2000.0}]
)
def test_what_is_not_understood_is_not_believed(ladder: Ladder, change: dict[str, object]) -> None:
    (path,) = ladder.directory.glob("ways/*")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    ladder.climb()
    assert ladder.fuse.tried == 2


def test_where_nothing_can_be_kept_all_are_tried_each_time(tmp_path: Path) -> None:
    (tmp_path / "ways").touch()
    ladder = Ladder(tmp_path)
    ladder.climb()
    ladder.climb()
    assert ladder.fuse.tried == 2


def test_surroundings_stay_and_change_with_the_search_path() -> None:
    assert surroundings({"PATH": "/bin"}) == surroundings({"PATH": "/bin"})
    assert surroundings({"PATH": "/bin"}) != surroundings({"PATH": "/usr/bin"})
