"""Views, and the environment that has a program see them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from outcrop.client.preload.views import Libraries, View, environment_with, real_path, views_in
from outcrop.errors import MissingCapability

LIBRARIES = Libraries.in_directory(Path("/cache/preload/x"))
TOOLS = View(PurePosixPath("/cvmfs/tools.example.org"), Path("/cache/tools"))
BOOKS = View(PurePosixPath("/cvmfs/books.example.org"), Path("/cache/books"))
ABOVE = View(PurePosixPath("/cvmfs"), Path("/cache/above"))


def test_what_is_written_into_the_environment_is_read_from_it() -> None:
    assert set(views_in(environment_with({}, LIBRARIES, [TOOLS, ABOVE]))) == {TOOLS, ABOVE}
    assert views_in({}) == ()


def test_the_longest_prefix_comes_first() -> None:
    found = views_in(environment_with({}, LIBRARIES, [ABOVE, TOOLS, BOOKS]))
    assert found == (BOOKS, TOOLS, ABOVE)


def test_a_run_within_a_run_sees_both_repositories() -> None:
    outer = environment_with({}, LIBRARIES, [TOOLS])
    assert set(views_in(environment_with(outer, LIBRARIES, [BOOKS]))) == {TOOLS, BOOKS}


def test_a_run_within_a_run_may_show_another_revision() -> None:
    newer = View(TOOLS.prefix, Path("/cache/newer"))
    outer = environment_with({}, LIBRARIES, [TOOLS])
    assert views_in(environment_with(outer, LIBRARIES, [newer])) == (newer,)


def test_libraries_of_others_stay_behind_ours() -> None:
    environment = environment_with({"LD_PRELOAD": "/a.so /b.so", "LD_AUDIT": "/c.so"}, LIBRARIES, [TOOLS])
    assert environment["LD_PRELOAD"] == "/cache/preload/x/calls.so:/a.so:/b.so"
    assert environment["LD_AUDIT"] == "/cache/preload/x/loader.so:/c.so"
    assert environment_with(environment, LIBRARIES, [TOOLS]) == environment


@pytest.mark.parametrize(
    ("directory", "separator"), [("/my cache", "' '"), ("/my:cache", "':'")], ids=["space", "colon"]
)
def test_a_path_that_the_loader_would_split_is_refused(directory: str, separator: str) -> None:
    with pytest.raises(MissingCapability, match=separator) as caught:
        environment_with({}, Libraries.in_directory(Path(directory)), [TOOLS])
    assert "OUTCROP_CACHE_DIR" in caught.value.hint


def test_a_path_that_cannot_be_written_down_is_refused() -> None:
    with pytest.raises(MissingCapability, match="a tab or a line end"):
        environment_with({}, LIBRARIES, [View(TOOLS.prefix, Path("/my\tcache"))])


def test_too_many_runs_within_each_other_are_refused() -> None:
    views = [View(PurePosixPath(f"/cvmfs/{number}.example.org"), Path("/x")) for number in range(17)]
    with pytest.raises(MissingCapability, match="no more than 16"):
        environment_with({}, LIBRARIES, views)


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/cvmfs/tools.example.org", "/cache/tools"),
        ("/cvmfs/tools.example.org/bin/x", "/cache/tools/bin/x"),
        ("/cvmfs/tools.example.org.uk/bin", "/cache/above/tools.example.org.uk/bin"),
        ("/cvmfs", "/cache/above"),
        ("/usr/bin/x", "/usr/bin/x"),
        ("bin/x", "bin/x"),
    ],
)
def test_a_path_below_a_prefix_lies_in_its_directory(path: str, real: str) -> None:
    assert real_path(path, [ABOVE, TOOLS]) == real
