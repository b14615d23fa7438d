"""What a program sees while it is proven, in each way that shows it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.client.relocate.proof_view import OldPrefix, View, WayToShow, by_bubblewrap, in_namespaces, view_of
from outcrop.errors import InvalidValue, MissingCapability

pytestmark = pytest.mark.integration

each_way = pytest.mark.parametrize("way", [in_namespaces, by_bubblewrap])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "greeting").write_text("hello")
    return tree


def seen(view: View, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*view.words, "sh", "-c", line], preexec_fn=view.enter, capture_output=True, text=True, check=False
    )  # fmt: skip


@each_way
@pytest.mark.parametrize("exists", [True, False])
def test_the_tree_is_at_its_place_and_nothing_at_the_old_prefix(
    tree: Path, tmp_path: Path, way: WayToShow, exists: bool
) -> None:
    old, target = tmp_path / "old", tmp_path / ("there" if exists else "far/away")
    old.mkdir()
    (old / "secret").touch()
    if exists:
        target.mkdir()
    with view_of(tree, prefix(str(target)), prefix(str(old)), shutil.which, [way]) as view:
        if target.is_symlink():
            pytest.skip("this way does not work here")
        assert view.old_prefix is OldPrefix.HIDDEN
        done = seen(view, f"cat {target}/greeting; ls -A {old}; echo more >{target}/more")
        assert done.stdout == "hello"
        assert done.returncode != 0
    assert (target.exists(), (tree / "more").exists(), (old / "secret").exists()) == (exists, False, True)


@each_way
def test_programs_may_write_beside_the_place(tree: Path, tmp_path: Path, way: WayToShow) -> None:
    target = tmp_path / "there"
    with view_of(tree, prefix(str(target)), Prefix(b"/no/old/prefix"), shutil.which, [way]) as view:
        assert view.old_prefix is OldPrefix.ABSENT
        assert seen(view, f"echo x >{tmp_path}/beside && cat {target}/greeting").stdout == "hello"
    assert (tmp_path / "beside").read_text() == "x\n"
    assert not os.path.lexists(target)


def test_where_no_way_works_a_link_stands_there_for_a_while(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    with view_of(tree, prefix(str(target)), Prefix(b"/no/old/prefix"), shutil.which, []) as view:
        assert target.resolve() == tree.resolve()
        assert seen(view, f"cat {target}/greeting").stdout == "hello"
    assert not os.path.lexists(target)


def test_where_nothing_can_be_shown_it_is_said(tree: Path, tmp_path: Path) -> None:
    target = prefix(str(tmp_path / "no" / "such" / "place"))
    with (
        pytest.raises(MissingCapability, match="cannot be shown") as caught,
        view_of(tree, target, Prefix(b"/no/old/prefix"), shutil.which, []),
    ):
        pass
    assert "mkdir -p" in caught.value.hint


def test_a_place_that_is_something_else_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with (
        pytest.raises(InvalidValue, match="is taken by something else"),
        view_of(tree, prefix(str(tmp_path / "taken")), Prefix(b"/no/old/prefix"), shutil.which),
    ):
        pass
    assert (tmp_path / "taken").is_file()
