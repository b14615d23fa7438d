from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import Busy
from outcrop.init.target import Target
from outcrop.software.build_tree import BuildTree, remove_tree
from outcrop.software.layout import SoftwareLayout
from tests.software.installed import install

LAYOUT = SoftwareLayout(RepositoryName("software.example.org"), "2026.06", Target.parse("x86_64/generic"))


@pytest.fixture
def tree(tmp_path: Path) -> BuildTree:
    return BuildTree(tmp_path / "tree")


def test_a_second_build_is_told_who_holds_the_tree(tree: BuildTree) -> None:
    program = "import sys; from pathlib import Path; from outcrop.software.build_tree import BuildTree\n"
    program += "with BuildTree(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tree.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"process {holder.pid}"), tree.locked():
            pass
        holder.kill()
    with tree.locked():
        pass


def test_what_a_killed_build_left_is_removed(tree: BuildTree) -> None:
    install(tree, LAYOUT, "lz4/1.9.4")
    without_module = tree.root / LAYOUT.installation("bzip2/1.0.8")
    (without_module / "lib").mkdir(parents=True)
    (without_module / "lib").chmod(0o555)
    install(tree, LAYOUT, "seqtk/1.4")
    remove_tree(tree.root / LAYOUT.installation("seqtk/1.4") / "easybuild")
    record = tree.root / LAYOUT.reprod / "lz4/1.9.4/20260602_120000UTC"
    (record / "easybuild.unfinished").mkdir(parents=True)
    assert tree.remove_half_built(LAYOUT) == ("bzip2/1.0.8", "seqtk/1.4")
    assert tree.is_installed(LAYOUT, "lz4/1.9.4")
    assert not (tree.root / LAYOUT.module_file("seqtk/1.4")).exists()
    assert not record.exists()


def test_a_module_whose_installation_is_gone_is_removed(tree: BuildTree) -> None:
    install(tree, LAYOUT, "lz4/1.9.4")
    remove_tree(tree.root / LAYOUT.installation("lz4/1.9.4"))
    tree.remove_half_built(LAYOUT)
    assert not (tree.root / LAYOUT.module_file("lz4/1.9.4")).exists()


def test_catalogs_are_marked_once_and_installations_stay_read_only(tree: BuildTree) -> None:
    install(tree, LAYOUT, "lz4/1.9.4")
    tree.mark_catalogs(LAYOUT)
    directory = tree.root / LAYOUT.installation("lz4/1.9.4")
    before = directory.stat()
    tree.mark_catalogs(LAYOUT)
    assert directory.stat().st_mtime_ns == before.st_mtime_ns
    assert directory.stat().st_mode & 0o777 == 0o555
    markers = tree.root.rglob(".cvmfscatalog")
    marked = sorted(str(path.parent.relative_to(tree.root / LAYOUT.relative)) for path in markers)
    assert marked == [".", "modules", "software/lz4/1.9.4"]


def test_nothing_but_the_repository_is_in_the_tree(tree: BuildTree) -> None:
    with tree.locked():
        tree.empty_scratch()
    assert list(tree.root.iterdir()) == []
