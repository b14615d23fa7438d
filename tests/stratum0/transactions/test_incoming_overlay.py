"""What an upper directory says, from ones made by hand: whiteouts, opaque directories, copies that change nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import ROOT, repository_path
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest
from outcrop.stratum0.publishing.ownership import Ownership
from outcrop.stratum0.transactions.incoming_overlay import UpperDirectory, UpperPlan, count_changes
from tests.conformance.section16 import check_repository
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.reading import content, entries, published_tree

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may write trusted attributes and device nodes")

MakeWhiteout = Callable[[Path], None]


def whiteout(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("this kernel lets only root make whiteouts")


def marker(path: Path) -> None:
    path.with_name(f".wh.{path.name}").touch()


def set_attribute(path: Path, name: str, value: bytes) -> None:
    if name.startswith("trusted.") and os.geteuid() != 0:
        pytest.skip("only root may write trusted attributes")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"no such attributes here: {error}")


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    directory = tmp_path / "upper"
    directory.mkdir()
    return directory


@pytest.fixture
def base(publisher: Publisher, tmp_path: Path) -> Path:
    """The tree that `publisher` has published: what an overlay would have below."""
    top = tmp_path / "base"
    for directory in ("keep", "tree/inner/most", "nested/inner"):
        (top / directory).mkdir(parents=True)
    for file in ("keep/file", "tree/a", "tree/b", "tree/inner/c", "tree/inner/most/d", "nested/e", "nested/inner/f"):
        (top / file).write_text(file)
    (top / "nested" / ".cvmfscatalog").touch()
    (top / "nested" / "inner" / ".cvmfscatalog").touch()
    (top / "link").symlink_to("tree/a")
    for path in (top, *top.rglob("*")):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789), follow_symlinks=False)
    publisher.publish(IngestRequest(trees=(DirectoryTree(top),)))
    return top


@contextmanager
def opened(
    publisher: Publisher, upper: Path, path: str = "/", *, marker_files: bool = False, owners_kept: bool = True
) -> Iterator[UpperDirectory]:
    repository = publisher.repository
    tree = repository.catalog_tree(repository.manifest(repository.signing_key()))
    try:
        yield UpperDirectory(
            upper, tree.lookup, path=repository_path(path), marker_files=marker_files, owners_kept=owners_kept
        )
    finally:
        tree.close()


def publish(publisher: Publisher, upper: Path, path: str = "/", **how: bool) -> IngestOutcome:
    with opened(publisher, upper, path, **how) as tree:
        plan = tree.plan()
        assert plan.outside == ()
        request = IngestRequest(
            trees=(tree,), delete=plan.delete, replace=plan.replace, door=DoorRules(allow_devices=True)
        )
        return publisher.publish(request)


def planned(publisher: Publisher, upper: Path, path: str = "/", **how: bool) -> UpperPlan:
    with opened(publisher, upper, path, **how) as tree:
        return tree.plan()


def paths(publisher: Publisher) -> set[str]:
    return {path.decode() for path in entries(publisher.repository.store)}


def copy_up(base: Path, upper: Path, relative: str) -> Path:
    """Puts the directories that lead to `relative` into the upper directory, as an overlay does; returns its place."""
    for directory in reversed(Path(relative).parents):
        (upper / directory).mkdir(exist_ok=True)
        if (base / directory).is_dir():
            shutil.copystat(base / directory, upper / directory)
    return upper / relative


def restore_times(base: Path, upper: Path) -> None:
    """The directories of the upper directory have the times that they had below."""
    for place in (upper, *upper.rglob("*")):
        below = base / place.relative_to(upper)
        if place.is_dir() and below.is_dir():
            shutil.copystat(below, place)


@pytest.mark.parametrize(("make", "marker_files"), [(whiteout, False), (whiteout, True), (marker, True)])
def test_whiteout_removes_what_it_names(
    publisher: Publisher, base: Path, upper: Path, make: MakeWhiteout, marker_files: bool
) -> None:
    before = paths(publisher)
    make(copy_up(base, upper, "tree/a"))
    make(copy_up(base, upper, "tree/inner"))
    make(copy_up(base, upper, "nested"))
    outcome = publish(publisher, upper, marker_files=marker_files)
    gone = {one for one in before if one == "/tree/a" or one.startswith(("/tree/inner", "/nested"))}
    assert paths(publisher) == before - gone
    assert outcome.summary.removed == len(gone)
    assert check_repository(publisher.storage, [publisher.public_key], NAME, now=publisher.now) == []


def test_whiteouts_that_are_links_to_one_another_all_count(publisher: Publisher, base: Path, upper: Path) -> None:
    whiteout(copy_up(base, upper, "tree/a"))
    (upper / "tree" / "b").hardlink_to(upper / "tree" / "a")
    copy_up(base, upper, "keep/file").hardlink_to(upper / "tree" / "a")
    assert planned(publisher, upper).delete == (b"/keep/file", b"/tree/a", b"/tree/b")


def test_whiteout_for_what_is_not_there_is_no_error(publisher: Publisher, base: Path, upper: Path) -> None:
    whiteout(copy_up(base, upper, "tree/never"))
    whiteout(upper / "neither")
    restore_times(base, upper)
    outcome = publish(publisher, upper)
    assert outcome.summary.is_empty
    assert planned(publisher, upper).changes == 0


def test_kernel_takes_names_for_what_they_are(publisher: Publisher, base: Path, upper: Path) -> None:
    copy_up(base, upper, "tree/.wh.a").write_text("an ordinary file")
    publish(publisher, upper, marker_files=False)
    assert {"/tree/a", "/tree/.wh.a"} <= paths(publisher)


@pytest.mark.parametrize("name", ["trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"])
def test_opaque_directory_holds_only_what_comes_with_it(
    publisher: Publisher, base: Path, upper: Path, name: str
) -> None:
    before = paths(publisher)
    for directory in ("tree", "nested"):
        (upper / directory).mkdir()
        set_attribute(upper / directory, name, b"y")
    (upper / "tree" / "new").write_text("new")
    (upper / "tree" / "inner").mkdir()
    publish(publisher, upper)
    below = {one for one in before if one.startswith(("/tree/", "/nested/"))}
    assert paths(publisher) == (before - below) | {"/tree/new", "/tree/inner"}
    assert published_tree(publisher.repository.store).nested_mountpoints() == ()
    assert check_repository(publisher.storage, [publisher.public_key], NAME, now=publisher.now) == []


def test_opaque_marker_of_fuse_overlayfs(publisher: Publisher, base: Path, upper: Path) -> None:
    (upper / "tree").mkdir()
    (upper / "tree" / ".wh..wh..opq").touch()
    whiteout(upper / "tree" / ".wh..opq")
    (upper / "tree" / "new").write_text("new")
    publish(publisher, upper, marker_files=True)
    assert {one for one in paths(publisher) if one.startswith("/tree")} == {"/tree", "/tree/new"}


def test_opaque_directory_that_nobody_had_comes_in(publisher: Publisher, base: Path, upper: Path) -> None:
    (upper / "new").mkdir()
    set_attribute(upper / "new", "user.overlay.opaque", b"y")
    (upper / "new" / "file").write_text("x")
    outcome = publish(publisher, upper)
    assert (outcome.summary.added, outcome.summary.removed) == (2, 0)
    assert entries(publisher.repository.store)[b"/new"].xattrs.get(b"user.overlay.opaque") is None


def test_whiteouts_as_attributes(publisher: Publisher, base: Path, upper: Path) -> None:
    place = copy_up(base, upper, "tree/a")
    place.touch()
    (upper / "tree" / "b").touch()
    set_attribute(place, "user.overlay.whiteout", b"")
    set_attribute(upper / "tree", "user.overlay.opaque", b"x")
    publish(publisher, upper)
    found = entries(publisher.repository.store)
    assert b"/tree/a" not in found
    assert found[b"/tree/b"].size == 0
    assert b"/tree/inner/c" in found


@pytest.mark.parametrize("relative", ["tree", "nested", "keep/file", "link"])
def test_entry_of_another_kind_takes_the_place(publisher: Publisher, base: Path, upper: Path, relative: str) -> None:
    place = copy_up(base, upper, relative)
    before = {one for one in paths(publisher) if not one.startswith(f"/{relative}/")}
    if (base / relative).is_dir():
        place.write_text("now a file")
        publish(publisher, upper)
        assert paths(publisher) == before
        store = publisher.repository.store
        assert (
            content(store, published_tree(store), f"/{relative}".encode(), _entry(publisher, relative)) == b"now a file"
        )
    else:
        place.mkdir()
        (place / "inside").write_text("x")
        publish(publisher, upper)
        assert paths(publisher) == before | {f"/{relative}/inside"}
    assert check_repository(publisher.storage, [publisher.public_key], NAME, now=publisher.now) == []


def _entry(publisher: Publisher, relative: str) -> Entry:
    return entries(publisher.repository.store)[f"/{relative}".encode()]


def test_what_was_only_copied_up_is_no_change(publisher: Publisher, base: Path, upper: Path) -> None:
    place = copy_up(base, upper, "tree/inner/most/d")
    shutil.copy2(base / "tree" / "inner" / "most" / "d", place)
    set_attribute(upper / "tree", "user.overlay.impure", b"y")
    set_attribute(place, "user.fuseoverlayfs.origin", b"tree/inner/most/d")
    restore_times(base, upper)
    assert planned(publisher, upper).changes == 0
    assert publish(publisher, upper).summary.is_empty


def test_attributes_of_the_overlay_stay_behind_and_others_come(publisher: Publisher, base: Path, upper: Path) -> None:
    place = copy_up(base, upper, "tree/a")
    place.write_text("changed")
    for name in ("user.overlay.origin", "user.fuseoverlayfs.origin", "user.containers.override_stat", "user.mine"):
        set_attribute(place, name, b"value")
    publish(publisher, upper)
    assert _entry(publisher, "tree/a").xattrs.items == ((b"user.mine", b"value"),)


def test_hard_links_of_the_upper_directory_are_one_file(publisher: Publisher, base: Path, upper: Path) -> None:
    place = copy_up(base, upper, "tree/a")
    place.write_text("linked")
    (upper / "tree" / "z").hardlink_to(place)
    publish(publisher, upper)
    first, second = _entry(publisher, "tree/a"), _entry(publisher, "tree/z")
    assert first.hardlink_group == second.hardlink_group != 0
    assert (first.linkcount, first.digest) == (2, second.digest)


@needs_root
def test_device_nodes_with_a_number_are_no_whiteouts(publisher: Publisher, base: Path, upper: Path) -> None:
    os.mknod(upper / "null", stat.S_IFCHR | 0o644, os.makedev(1, 3))
    (upper / "zero").hardlink_to(upper / "null")
    assert planned(publisher, upper).delete == ()
    publish(publisher, upper)
    assert {"/null", "/zero"} <= paths(publisher)


def test_changes_outside_of_the_path_are_listed(publisher: Publisher, base: Path, upper: Path) -> None:
    copy_up(base, upper, "tree/inner/new").write_text("inside")
    copy_up(base, upper, "tree/a").write_text("outside")
    whiteout(copy_up(base, upper, "keep/file"))
    (upper / "new").mkdir()
    (upper / "tree").chmod(0o700)
    shutil.copy2(base / "nested" / "e", copy_up(base, upper, "nested/e"))
    plan = planned(publisher, upper, "/tree/inner")
    assert plan.outside == (b"/keep/file", b"/new", b"/tree", b"/tree/a")


def test_below_the_path_everything_comes_in_and_nothing_else(publisher: Publisher, base: Path, upper: Path) -> None:
    copy_up(base, upper, "tree/inner/new").write_text("inside")
    whiteout(copy_up(base, upper, "tree/inner/c"))
    (upper / "tree" / "inner").chmod(0o750)
    os.utime(upper / "tree", ns=(0, 1_700_000_000 * 10**9))
    before = _entry(publisher, "tree")
    publish(publisher, upper, "/tree/inner")
    assert "/tree/inner/new" in paths(publisher)
    assert "/tree/inner/c" not in paths(publisher)
    assert stat.S_IMODE(_entry(publisher, "tree/inner").mode) == 0o750
    assert _entry(publisher, "tree") == before


def test_directories_that_lead_to_a_new_path_come_along(publisher: Publisher, base: Path, upper: Path) -> None:
    (upper / "versions" / "2026.06").mkdir(parents=True)
    (upper / "versions" / "2026.06" / "file").write_text("x")
    publish(publisher, upper, "/versions/2026.06")
    assert {"/versions", "/versions/2026.06", "/versions/2026.06/file"} <= paths(publisher)


def test_the_path_itself_can_go(publisher: Publisher, base: Path, upper: Path) -> None:
    whiteout(copy_up(base, upper, "tree/inner"))
    publish(publisher, upper, "/tree/inner")
    assert not any(one.startswith("/tree/inner") for one in paths(publisher))


def test_where_owners_do_not_show_they_stay_what_they_are(publisher: Publisher, upper: Path, tmp_path: Path) -> None:
    top = tmp_path / "owned"
    top.mkdir()
    (top / "old").write_text("old")
    publisher.publish(IngestRequest(trees=(DirectoryTree(top),), ownership=Ownership.all_to(5, 6)))
    (upper / "old").write_text("changed")
    (upper / "new").write_text("new")
    os.chmod(upper / "old", 0o600)
    publish(publisher, upper, owners_kept=False)
    old, new = _entry(publisher, "old"), _entry(publisher, "new")
    assert (old.uid, old.gid, stat.S_IMODE(old.mode)) == (5, 6, 0o600)
    assert (new.uid, new.gid) == (0, 0)


def test_publishing_the_same_upper_directory_again_changes_nothing(
    publisher: Publisher, base: Path, upper: Path
) -> None:
    whiteout(copy_up(base, upper, "tree/a"))
    (upper / "keep").write_text("a file now")
    (upper / "link").mkdir()
    set_attribute(upper / "link", "user.overlay.opaque", b"y")
    assert publish(publisher, upper).published
    again = publish(publisher, upper)
    assert again.summary.is_empty
    assert not again.published


def test_names_that_are_no_text(publisher: Publisher, base: Path, upper: Path) -> None:
    copy_up(base, upper, "tree/x")
    Path(os.fsdecode(os.fsencode(upper) + b"/tree/latin-\xe9")).write_text("x")
    publish(publisher, upper)
    assert b"/tree/latin-\xe9" in entries(publisher.repository.store)


def test_what_an_abort_throws_away_is_counted(base: Path) -> None:
    assert count_changes(base) == len(list(base.rglob("*")))
    assert count_changes(base / "nowhere") == 0


def test_top_of_an_upper_directory_is_no_entry(publisher: Publisher, base: Path, upper: Path) -> None:
    upper.chmod(0o700)
    with opened(publisher, upper) as tree:
        assert [one.path for one in tree.upper_entries()] == [ROOT]
        assert tree.plan() == UpperPlan((), (), (), 0)
    assert publish(publisher, upper).summary.is_empty
