"""How a repository comes to show at its place, planned on machines that exist in a table."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from outcrop.client.ladder.root_plan import Carried, Kind, plan_root
from outcrop.errors import InvalidValue
from tests.client.ladder.pretended_host import PretendedHost

PLACE = PurePosixPath("/cvmfs/books.example.org")


def test_a_directory_that_is_there_is_covered_and_nothing_else_changes() -> None:
    plan = plan_root(PLACE, PretendedHost("/usr/", "/cvmfs/", "/cvmfs/books.example.org/"))
    assert plan.is_direct
    assert plan.carried == ()


def test_without_cvmfs_a_new_root_carries_all_that_the_machine_has() -> None:
    plan = plan_root(PLACE, PretendedHost("/usr/", "/usr/bin/", "/bin -> usr/bin", "/.ready"))
    assert plan.opened == (PurePosixPath("/"),)
    assert set(plan.carried) == {
        Carried(PurePosixPath("/usr"), Kind.DIRECTORY),
        Carried(PurePosixPath("/bin"), Kind.LINK, "usr/bin"),
        Carried(PurePosixPath("/.ready"), Kind.FILE),
    }


def test_what_else_is_below_cvmfs_stays_to_be_seen() -> None:
    plan = plan_root(PLACE, PretendedHost("/usr/", "/cvmfs/", "/cvmfs/other.example.org/"))
    assert plan.opened == (PurePosixPath("/"), PurePosixPath("/cvmfs"))
    assert [each.path for each in plan.carried] == [PurePosixPath("/usr"), PurePosixPath("/cvmfs/other.example.org")]


def test_a_place_deep_below_something_missing_opens_only_what_exists() -> None:
    plan = plan_root(PurePosixPath("/opt/a/b/c"), PretendedHost("/opt/", "/opt/x/", "/usr/"))
    assert plan.opened == (PurePosixPath("/"), PurePosixPath("/opt"))
    assert PurePosixPath("/opt/x") in [each.path for each in plan.carried]
    assert PurePosixPath("/opt") not in [each.path for each in plan.carried]


@pytest.mark.parametrize("machine", [("/cvmfs",), ("/cvmfs/", "/cvmfs/books.example.org"), ("/cvmfs -> /elsewhere",)])
def test_something_else_in_the_way_is_named(machine: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue, match=r"/cvmfs"):
        plan_root(PLACE, PretendedHost(*machine))


@pytest.mark.parametrize("place", ["/", "cvmfs/x", "/cvmfs/../etc"])
def test_a_place_is_an_absolute_path_below_the_root(place: str) -> None:
    with pytest.raises(InvalidValue, match="not an absolute path"):
        plan_root(PurePosixPath(place), PretendedHost())
