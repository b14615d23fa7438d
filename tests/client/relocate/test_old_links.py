"""Links that still lead to the old prefix are found on the way of what a program asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.client.relocate.old_links import OldLinks
from outcrop.client.relocate.placed_tree import PlacedTree
from outcrop.client.relocate.prefix import Prefix, prefix

OLD = prefix("/cvmfs/repo.example")


@pytest.fixture(params=["/new", None], ids=["shown elsewhere", "at its place"])
def target(request: pytest.FixtureRequest) -> Prefix | None:
    return None if request.param is None else prefix(request.param)


@pytest.mark.parametrize(
    ("link", "asked", "led"),
    [
        ("/cvmfs//repo.example/f", "a", b"/cvmfs/repo.example/f"),
        ("/cvmfs/./repo.example/d", "a/b/c", b"/cvmfs/repo.example/d/b/c"),
        ("/usr/../cvmfs/repo.example", "a/../a/f", b"/cvmfs/repo.example/../a/f"),
        ("../../../../../../../../../../../cvmfs/repo.example/f", "a", b"/cvmfs/repo.example/f"),
        ("/cvmfs/repo.example-other/f", "a", None),
        ("d/f", "a", None),
        ("a", "a", None),
    ],
)
def test_links_are_followed(tmp_path: Path, target: Prefix | None, link: str, asked: str, led: bytes | None) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").touch()
    (tmp_path / "a").symlink_to(link)
    (tmp_path / "to a").symlink_to("d/../a")
    links = OldLinks(PlacedTree(tmp_path, target), OLD)
    top = os.fsencode(tmp_path) if target is None else target.path
    expected = None if led is None else os.path.normpath(led)
    assert links.on_the_way(top + b"/" + asked.encode()) == expected
    if "/" not in asked:
        assert links.on_the_way(top + b"/d/../to a") == expected


def test_links_outside_of_the_tree_are_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "a").symlink_to("/cvmfs/repo.example/f")
    assert OldLinks(PlacedTree(tmp_path / "tree"), OLD).on_the_way(os.fsencode(tmp_path / "a")) is None
