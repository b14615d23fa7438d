"""Looks for new revisions: when they come, and what is said of them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.mount.activity import Activity, Outcome
from outcrop.client.mount.following import LONGEST_PAUSE, PAUSE_AFTER_FAILURE, SHORTEST_PAUSE, Follower
from outcrop.client.mount.inodes import Nodes
from outcrop.client.mount.report import parse_report, report_of
from outcrop.errors import FormatError
from tests.client.mount.fake_tree import FakeTree


class Followed:
    """A follower of a tree in memory, whose notices are kept."""

    def __init__(self, tree: FakeTree, jitter: float = 0.5) -> None:
        self.tree = tree
        self.told: list[bytes] = []
        self.activity = Activity(clock=lambda: 1000.0)
        self.nodes = Nodes(tree)
        self.nodes.directory(1)
        self.follower = Follower(self.nodes, self.activity, self.told.extend, jitter=lambda: jitter)


@pytest.fixture
def tree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> FakeTree:
    caplog.set_level(logging.INFO, logger="outcrop.mount")
    tree = FakeTree(tmp_path)
    tree.about = replace(tree.about, follows=True, ttl=240)
    tree.put_file(b"/a", b"a")
    return tree


@pytest.mark.parametrize(
    ("ttl", "jitter", "seconds"),
    [(240, 0.0, 192.0), (240, 1.0, 240.0), (0, 1.0, SHORTEST_PAUSE), (10**9, 1.0, LONGEST_PAUSE)],
)
def test_a_look_comes_before_the_time_to_live_ends(tree: FakeTree, ttl: int, jitter: float, seconds: float) -> None:
    tree.about = replace(tree.about, ttl=ttl)
    assert Followed(tree, jitter).follower.pause() == pytest.approx(seconds)


def test_trouble_is_looked_at_again_soon_and_told_once(tree: FakeTree, caplog: pytest.LogCaptureFixture) -> None:
    tree.about = replace(tree.about, ttl=3600)
    followed = Followed(tree, 1.0)
    tree.unreachable = True
    for _ in range(3):
        assert followed.follower.look() is Outcome.FAILED
    assert followed.follower.pause() == PAUSE_AFTER_FAILURE
    tree.unreachable = False
    assert followed.follower.look() is Outcome.UNCHANGED
    assert followed.follower.pause() == 3600
    assert caplog.text.count("goes on to be shown") == caplog.text.count("can be reached again") == 1


def test_a_new_revision_is_gone_on_to_and_told_to_the_kernel(tree: FakeTree) -> None:
    followed = Followed(tree)
    newer = tree.successor()
    newer.put_file(b"/b", b"b")
    assert followed.follower.look() is Outcome.CHANGED
    assert followed.nodes.tree is newer
    assert tree.released
    assert len(followed.told) == 2
    assert followed.follower.look() is Outcome.UNCHANGED


def test_report_says_all_of_it(tree: FakeTree) -> None:
    followed = Followed(tree)
    tree.told = ("/a goes on 2027-01-01",)
    tree.unreachable = True
    followed.follower.look()
    followed.activity.failed("http://localhost does not answer")
    followed.activity.new_tally().requests += 5
    report = parse_report(report_of(tree, followed.activity), "the mount")
    assert (report.repository, report.revision, report.ttl, report.follows) == ("fake.example.org", 7, 240, True)
    assert report.check is not None
    assert (report.check.at, report.check.outcome) == (1000.0, "failed")
    assert (report.requests, report.errors, report.last_error) == (5, 1, "http://localhost does not answer")
    assert report.notices == ["/a goes on 2027-01-01"]


def test_more_notices_than_an_attribute_holds_are_counted(tree: FakeTree) -> None:
    tree.told = tuple(f"/{number} goes" for number in range(60))
    report = parse_report(report_of(tree, Activity()), "the mount")
    assert report.notices[-1] == "and 10 more"


def test_a_report_that_is_none_is_named() -> None:
    with pytest.raises(FormatError, match="the mount at /x"):
        parse_report(b"{}", "the mount at /x")


def test_the_new_revision_is_told_which_catalogs_are_known(tree: FakeTree, tmp_path: Path) -> None:
    tree.put_file(b"/sub/inner", b"x")
    tree.nest(b"/sub")
    followed = Followed(tree)
    tree.next = FakeTree(tmp_path)
    tree.next.about = replace(tree.about, revision=8)
    tree.next.put_file(b"/new", b"new")
    assert followed.follower.look() is Outcome.CHANGED
    assert tree.released
    assert tree.next.known_at_take_over == {b"": tree.next.catalog(b"").digest}
