"""How a finished layer takes its place, on file systems that can exchange names and on those that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.exchange import exchanged, move_into_place, put_back, take_place
from outcrop.errors import StorageError


def layer(place: Path, text: str) -> Path:
    place.mkdir(parents=True)
    (place / "file").write_text(text)
    return place


def cannot(_one: Path, _other: Path) -> bool:
    return False


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return layer(tmp_path / "linux" / "x86_64", "old")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return layer(tmp_path / "linux" / "scratch" / "layer", "new")


@pytest.mark.parametrize("exchange", [exchanged, cannot])
def test_a_new_layer_takes_the_place_of_the_old_one(tree: Path, new: Path, exchange: object) -> None:
    take_place(new, tree, cannot if exchange is cannot else exchanged)
    assert (tree / "file").read_text() == "new"
    assert {path.name for path in tree.parent.iterdir()} == {"x86_64", "scratch"}
    assert not put_back(tree)


def test_a_place_that_is_free_is_taken(tree: Path, new: Path) -> None:
    take_place(new, tree.with_name("aarch64"))
    assert (tree.with_name("aarch64") / "file").read_text() == "new"


def test_a_layer_whose_successor_never_came_is_put_back(tree: Path) -> None:
    tree.rename(tree.with_name(".x86_64.before"))
    assert put_back(tree)
    assert (tree / "file").read_text() == "old"
    assert not put_back(tree)


def test_what_is_left_of_the_old_one_goes_where_the_new_one_has_come(tree: Path) -> None:
    layer(tree.with_name(".x86_64.before"), "older")
    assert not put_back(tree)
    assert (tree / "file").read_text() == "old"
    assert [path.name for path in tree.parent.iterdir()] == ["x86_64"]


def test_a_layer_that_cannot_be_moved_leaves_the_old_one(tree: Path) -> None:
    with pytest.raises(StorageError):
        move_into_place(tree.with_name("nothing"), tree)
    assert (tree / "file").read_text() == "old"
    assert [path.name for path in tree.parent.iterdir()] == ["x86_64"]
