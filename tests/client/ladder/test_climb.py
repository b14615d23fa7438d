"""Climbing: the first rung that holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

from outcrop.client.ladder.climb import choose, climb
from outcrop.client.ladder.rung import Become
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.errors import MissingCapability, OutcropError, StorageError, TrustError


@dataclass(frozen=True)
class PretendedRung:
    """A rung with an obstacle, or one that breaks while it is made ready."""

    way: Way
    reason: str = ""
    trouble: OutcropError | None = None
    asked: list[str] = field(default_factory=list)

    def obstacle(self) -> Obstacle | None:
        self.asked.append("obstacle")
        return Obstacle(self.reason, "mend it") if self.reason else None

    def prepare(self) -> Become:
        self.asked.append("prepare")
        if self.trouble:
            raise self.trouble

        def start(command: Sequence[str]) -> NoReturn:
            raise AssertionError(command)

        return start


def test_the_first_rung_without_an_obstacle_is_taken_and_worse_ones_are_not_tried() -> None:
    worse = PretendedRung(Way.CHECKOUT)
    climbed = climb([PretendedRung(Way.MOUNTED, "nothing there"), PretendedRung(Way.FUSE), worse])
    assert climbed.way is Way.FUSE
    assert [(each.way, each.obstacle.reason) for each in climbed.refused] == [(Way.MOUNTED, "nothing there")]
    assert worse.asked == []


def test_a_way_that_fails_for_want_of_room_is_followed_by_the_next() -> None:
    full = PretendedRung(Way.CHECKOUT, trouble=StorageError(what="/cache", problem="is full", hint="free some"))
    climbed = climb([full, PretendedRung(Way.PROOT)])
    assert climbed.way is Way.PROOT
    assert climbed.refused[0].obstacle == Obstacle("/cache is full", "free some")


def test_a_repository_that_cannot_be_trusted_ends_the_climb() -> None:
    forged = PretendedRung(Way.FUSE, trouble=TrustError(what="the manifest", problem="it is forged"))
    with pytest.raises(TrustError):
        climb([forged, PretendedRung(Way.CHECKOUT)])


def test_a_way_that_was_asked_for_is_the_only_one_tried() -> None:
    first = PretendedRung(Way.FUSE)
    assert climb([first, PretendedRung(Way.CHECKOUT)], Way.CHECKOUT).way is Way.CHECKOUT
    assert first.asked == []


def test_a_way_that_was_asked_for_and_fails_says_why() -> None:
    with pytest.raises(MissingCapability, match="no device") as caught:
        choose([PretendedRung(Way.FUSE, "no device")], Way.FUSE)
    assert caught.value.hint == "mend it"
    with pytest.raises(StorageError):
        climb([PretendedRung(Way.CHECKOUT, trouble=StorageError(what="x", problem="is full"))], Way.CHECKOUT)


def test_without_any_way_all_reasons_are_told() -> None:
    with pytest.raises(MissingCapability, match=r"fuse \(no device\); proot \(no ptrace\)"):
        climb([PretendedRung(Way.FUSE, "no device"), PretendedRung(Way.PROOT, "no ptrace")])
