from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from outcrop.cvmfs.names import RepositoryName
from outcrop.init.target import Target
from outcrop.software.build_tree import BuildTree
from outcrop.software.changeset import ChangeSet, change_set, units_in
from outcrop.software.layout import SoftwareLayout
from outcrop.software.plan import PlannedInstallation
from tests.software.installed import install

LAYOUT = SoftwareLayout(RepositoryName("software.example.org"), "2026.06", Target.parse("x86_64/intel/icelake"))
BASE = "versions/2026.06/software/linux/x86_64/intel/icelake"


@pytest.fixture
def tree(tmp_path: Path) -> BuildTree:
    return BuildTree(tmp_path / "tree")


def changes_of(tree: BuildTree, planned: tuple[PlannedInstallation, ...] = ()) -> ChangeSet:
    return change_set(LAYOUT, tree.root, units_in(tree.root, LAYOUT), tree.published.of(LAYOUT), planned)


def planned(name: str, version: str, toolchain: str) -> PlannedInstallation:
    return PlannedInstallation(f"{name}/{version}-{toolchain}", name, version, "", toolchain, Path(f"{name}.eb"), ())


def test_everything_of_a_new_installation_is_to_be_published(tree: BuildTree) -> None:
    install(tree, LAYOUT, "lz4/1.9.4")
    tree.mark_catalogs(LAYOUT)
    assert [str(path.relative_to(BASE)) for path in changes_of(tree).paths] == [
        ".cvmfscatalog",
        "modules/.cvmfscatalog",
        "modules/all/lz4/1.9.4.lua",
        "reprod/lz4/1.9.4/20260601_120000UTC",
        "software/lz4/1.9.4",
    ]


def test_what_is_published_is_not_published_again(tree: BuildTree) -> None:
    install(tree, LAYOUT, "lz4/1.9.4")
    tree.published.add(LAYOUT, changes_of(tree))
    assert changes_of(tree).is_empty
    assert changes_of(tree).message == ""
    install(tree, LAYOUT, "seqtk/1.4")
    assert PurePosixPath(BASE, "software/lz4/1.9.4") not in changes_of(tree).paths
    assert PurePosixPath(BASE, "software/seqtk/1.4") in changes_of(tree).paths


def test_a_rebuilt_installation_is_a_change_and_one_that_is_gone_a_removal(tree: BuildTree) -> None:
    install(tree, LAYOUT, "lz4/1.9.4")
    install(tree, LAYOUT, "seqtk/1.4")
    tree.published.add(LAYOUT, changes_of(tree))
    module = tree.root / LAYOUT.module_file("lz4/1.9.4")
    os.utime(module, ns=(1, 1))
    (tree.root / LAYOUT.module_file("seqtk/1.4")).unlink()
    changes = changes_of(tree)
    assert changes.paths == (LAYOUT.module_file("lz4/1.9.4"),)
    assert changes.removed == (LAYOUT.module_file("seqtk/1.4"), LAYOUT.installation("seqtk/1.4"))
    tree.published.add(LAYOUT, changes)
    assert changes_of(tree).is_empty


def test_an_unfinished_installation_is_left_out(tree: BuildTree) -> None:
    (tree.root / LAYOUT.installation("half/1.0")).mkdir(parents=True)
    assert changes_of(tree).is_empty


def test_the_message_starts_with_what_was_asked_for(tree: BuildTree) -> None:
    plan = (planned("GCCcore", "12.2.0", "system"), planned("seqtk", "1.4", "GCC-12.2.0"))
    for one in plan:
        install(tree, LAYOUT, one.module)
    changes = changes_of(tree, plan)
    assert changes.message == "seqtk 1.4, GCCcore 12.2.0 for x86_64/intel/icelake"
    assert [one.toolchain for one in changes.installations] == ["GCC-12.2.0", "system"]


def test_a_long_message_is_cut(tree: BuildTree) -> None:
    for number in range(9):
        install(tree, LAYOUT, f"lib{number}/1.0")
    assert changes_of(tree).message.endswith("lib4 1.0, 4 more for x86_64/intel/icelake")


def test_a_damaged_record_means_that_everything_is_to_be_published(tree: BuildTree) -> None:
    install(tree, LAYOUT, "lz4/1.9.4")
    tree.published.add(LAYOUT, changes_of(tree))
    tree.published.path.write_text("{")
    assert not changes_of(tree).is_empty
