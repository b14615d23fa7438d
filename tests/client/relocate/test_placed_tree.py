"""Paths of a tree as a program sees it, and as it lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.client.relocate.placed_tree import PlacedTree
from outcrop.client.relocate.prefix import prefix

TARGET = prefix("/no/such/place")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "tool").touch()
    (tree / "bin" / "far").symlink_to(f"{TARGET}/bin/near")
    (tree / "bin" / "near").symlink_to("tool")
    (tree / "bin" / "out").symlink_to("/etc/passwd")
    (tree / "round").symlink_to(f"{TARGET}/round")
    return tree


@pytest.mark.parametrize("name", ["tool", "near", "far"])
def test_what_is_seen_at_the_place_is_found_where_it_lies(tree: Path, name: str) -> None:
    placed = PlacedTree(tree, TARGET)
    assert placed.real(TARGET.path + b"/bin/" + name.encode()) == os.fsencode(tree.resolve() / "bin" / "tool")
    assert placed.holds(TARGET.path + b"/bin/" + name.encode())


def test_what_leads_out_is_not_in_the_tree(tree: Path) -> None:
    placed = PlacedTree(tree, TARGET)
    assert not placed.holds(TARGET.path + b"/bin/out")
    assert placed.below(placed.real(TARGET.path + b"/bin/out")) is None


def test_links_that_go_round_end(tree: Path) -> None:
    assert PlacedTree(tree, TARGET).real(TARGET.path + b"/round")


def test_a_tree_that_is_at_its_place_has_its_own_names(tree: Path) -> None:
    placed = PlacedTree(tree)
    assert str(placed) == str(tree)
    assert placed.name(b"bin/tool") == str(tree.resolve() / "bin" / "tool")
    assert placed.holds(os.fsencode(tree / "bin" / "near"))


def test_people_hear_of_the_place(tree: Path) -> None:
    placed = PlacedTree(tree, TARGET)
    assert (str(placed), placed.name(b"bin/tool")) == (str(TARGET), f"{TARGET}/bin/tool")
    assert placed.below(placed.place(b"bin/tool")) == b"bin/tool"
