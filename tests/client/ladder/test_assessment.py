"""Which ways work, judged from findings."""

from __future__ import annotations

import pytest

from outcrop.client.ladder.assessment import assess
from outcrop.client.ladder.findings import Finding, State, Topic, degraded, no
from outcrop.client.ladder.ways import Way


def findings(*missing: Topic) -> list[Finding]:
    """A machine on which all works but what is `missing`."""
    return [
        no(topic, "it is forbidden", "allow it") if topic in missing else Finding(topic, State.OK, "works")
        for topic in Topic
    ]


def working(*missing: Topic) -> list[Way]:
    return [ranked.way for ranked in assess(findings(*missing)) if ranked.works]


def test_all_ways_are_ranked_best_first() -> None:
    assert [ranked.way for ranked in assess(findings())] == list(Way)
    assert working() == list(Way)


@pytest.mark.parametrize(
    ("missing", "best"),
    [
        ((Topic.CVMFS,), Way.EROFS),
        ((Topic.CVMFS, Topic.EROFS), Way.OVERLAY),
        ((Topic.CVMFS, Topic.LAYERS, Topic.USER_LAYERS), Way.FUSE),
        ((Topic.CVMFS, Topic.EROFS, Topic.USER_NAMESPACES, Topic.FUSE_IN_NAMESPACE), Way.FUSERMOUNT),
        ((Topic.CVMFS, Topic.FUSE_DEVICE, Topic.FUSERMOUNT), Way.CHECKOUT),
        ((Topic.CVMFS, Topic.FUSE_DEVICE, Topic.FUSERMOUNT, Topic.MOUNT_NAMESPACES), Way.CONTAINER),
        (
            (
                Topic.CVMFS,
                Topic.FUSE_DEVICE,
                Topic.FUSERMOUNT,
                Topic.MOUNT_NAMESPACES,
                Topic.BUBBLEWRAP,
                Topic.APPTAINER,
            ),
            Way.RELOCATED,
        ),
    ],
)
def test_the_best_way_is_the_first_whose_needs_are_met(missing: tuple[Topic, ...], best: Way) -> None:
    assert working(*missing)[0] is best


def test_one_of_several_tools_is_enough() -> None:
    assert Way.CONTAINER in working(Topic.APPTAINER)
    assert Way.CONTAINER in working(Topic.BUBBLEWRAP)
    assert Way.CONTAINER not in working(Topic.BUBBLEWRAP, Topic.APPTAINER)


def test_where_nothing_may_be_kept_only_mounts_work() -> None:
    assert working(Topic.CACHE) == [Way.MOUNTED, Way.EROFS, Way.OVERLAY, Way.FUSE, Way.FUSERMOUNT]


def test_the_obstacle_is_the_first_need_that_is_not_met_with_its_hint() -> None:
    ranked = {each.way: each for each in assess(findings(Topic.FUSE_DEVICE, Topic.NEW_ROOT))}
    fuse = ranked[Way.FUSE]
    assert fuse.obstacle is not None
    assert fuse.obstacle.reason == "fuse device: it is forbidden"
    assert fuse.obstacle.hint == "allow it"


def test_less_than_perfect_is_no_obstacle() -> None:
    assert all(ranked.works for ranked in assess([degraded(Topic.CACHE, "it keeps no attributes")]))
