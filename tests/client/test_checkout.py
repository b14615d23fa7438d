"""A checkout is the tree as plain files, all at once or not at all, and nowhere else."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.checkout import CheckoutOptions, checkout
from outcrop.client.checkout_plan import plan_checkout
from outcrop.client.contents import Contents
from outcrop.client.owners import MappedOwners, OwnerMap
from outcrop.client.tree import Tree
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import AlreadyExists, FormatError, IntegrityError, InvalidValue, NotFound, OutcropError
from tests.client.published import (
    CONTENTS,
    MTIME,
    Published,
    directory_entry,
    library,
    link_entry,
)
from tests.client.reading import Reader, contents_of, store_of, tree_of
from tests.client.test_samples import answers, opened


def copy(
    published: Published,
    tmp_path: Path,
    destination: Path | None = None,
    path: bytes = b"",
    options: CheckoutOptions | None = None,
    told: list[str] | None = None,
) -> Path:
    """The checkout of what was published."""
    place = destination or tmp_path / "copy"
    with tree_of(published, tmp_path / "cache") as (tree, contents):
        tell = (told if told is not None else []).append
        checkout(plan_checkout(tree, path), tree, contents, place, options or CheckoutOptions(), tell=tell)
    return place


def beside(tmp_path: Path) -> list[str]:
    """What lies where a checkout was made."""
    return sorted(set(os.listdir(tmp_path)) - {"cache"})


def test_files_links_and_directories_are_there(tmp_path: Path) -> None:
    place = copy(library(), tmp_path)
    for path, data in CONTENTS.items():
        assert (place / os.fsdecode(path[1:])).read_bytes() == data
    assert sorted(os.listdir(place)) == ["README", "absolute", "circle", "latest", "out", "shelf", "variant"]
    assert os.readlink(place / "variant") == "$(BOOK:-README)"
    for copied in (place, place / "README", place / "shelf" / "inner", place / "latest"):
        assert copied.lstat().st_mtime == MTIME
    assert beside(tmp_path) == ["copy"]


def test_variant_links_are_filled_in_on_request(tmp_path: Path) -> None:
    place = copy(library(), tmp_path, options=CheckoutOptions(expand_links={b"BOOK": b"shelf"}))
    assert os.readlink(place / "variant") == "shelf"


def test_part_of_the_tree_becomes_the_destination(tmp_path: Path) -> None:
    place = copy(library(), tmp_path, path=b"/shelf")
    assert sorted(os.listdir(place)) == ["inner", "one"]


def test_plan_counts_what_is_copied(tmp_path: Path) -> None:
    with tree_of(library(), tmp_path) as (tree, _):
        plan = plan_checkout(tree)
        assert (plan.files, plan.size) == (3, sum(map(len, CONTENTS.values())))
        with pytest.raises(InvalidValue, match="/README is not a directory"):
            plan_checkout(tree, b"/README")
        with pytest.raises(NotFound):
            plan_checkout(tree, b"/nothing")


@pytest.mark.parametrize("reading", ["sha1", "rmd160", "tag"])
def test_sample_is_copied_as_the_reference_shows_it(
    samples: Path,
    shared_reader: Reader,
    reading: str,
    tmp_path: Path,
) -> None:
    place = tmp_path / "größe 100%"
    told: list[str] = []
    with opened(shared_reader, samples, reading) as repository:
        tree = repository.tree
        raw = {path: entry.symlink for path, entry in tree.walk()}
        checkout(plan_checkout(tree), tree, repository.contents, place, tell=told.append)
    known = answers(reading)
    skipped = set() if os.geteuid() == 0 else {p for p, a in known.items() if a["type"] in ("blockdev", "chardev")}
    found = {os.fsencode(place): place.lstat()}
    for directory, names, files in os.walk(os.fsencode(place)):
        for name in names + files:
            found[directory + b"/" + name] = os.lstat(directory + b"/" + name)
    assert {path[len(os.fsencode(place)) :] for path in found} == set(known) - skipped
    for full, status in found.items():
        path = full[len(os.fsencode(place)) :]
        answer = known[path]
        assert status.st_mode == answer["st_mode"], path
        assert status.st_mtime_ns == answer["mtime"] * 10**9 + answer["mtime_ns"], path
        if stat.S_ISREG(status.st_mode):
            assert hashlib.sha256(Path(os.fsdecode(full)).read_bytes()).hexdigest() == answer["sha256"]
            assert status.st_nlink == answer["nlink"]
        if stat.S_ISLNK(status.st_mode):
            assert os.readlink(full) == raw[path]  # type: ignore[index]
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            assert [os.major(status.st_rdev), os.minor(status.st_rdev)] == answer["rdev"]
        for key in answer["xattrs_listed"]:
            if key.startswith("user.") and key not in "".join(told):
                assert key in os.listxattr(full, follow_symlinks=False)


def every_permission() -> Published:
    """Directories and files that forbid things, and one with attributes."""
    published = Published()
    closed = directory_entry(b"closed", mode=stat.S_IFDIR | 0o500)
    return published.sign(
        published.catalog(
            {
                b"/closed": closed,
                b"/closed/file": published.file(b"file", b"x", mode=stat.S_IFREG | 0o400, mtime_ns=123),
                b"/marked": published.file(b"marked", b"y", xattrs=Xattrs.of({b"user.note": b"hello"})),
            },
            root=directory_entry(b"", mode=stat.S_IFDIR | 0o555),
        )
    )


def test_directories_that_forbid_writing_are_filled_first(tmp_path: Path) -> None:
    place = copy(every_permission(), tmp_path)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place, place / "closed")] == [0o555, 0o500]
    assert (place / "closed" / "file").stat().st_mtime_ns == MTIME * 10**9 + 123


def test_attributes_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    published = Published()
    marked = published.file(b"f", b"x", xattrs=Xattrs.of({b"nosuchspace.note": b"1"}))
    told: list[str] = []
    copy(published.sign(published.catalog({b"/f": marked})), tmp_path, told=told)
    assert told[0].startswith("the attribute nosuchspace.note was left out")


def test_owners_are_kept_on_request(tmp_path: Path) -> None:
    uid, gid = (12, 34) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    published = Published()
    root = published.catalog({b"/f": published.file(b"f", b"x", uid=uid, gid=gid, mode=stat.S_IFREG | 0o4755)})
    place = copy(published.sign(root), tmp_path, options=CheckoutOptions(owner=True))
    status = (place / "f").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (uid, gid, 0o4755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owners_are_those_that_the_site_makes_of_them(tmp_path: Path) -> None:
    published = Published()
    root = published.catalog({b"/f": published.file(b"f", b"x", uid=12, gid=34)})
    owners = MappedOwners(OwnerMap({12: 1012}), OwnerMap({}, 65534))
    place = copy(published.sign(root), tmp_path, options=CheckoutOptions(owner=True, owners=owners))
    found = [place.stat(), (place / "f").stat()]
    assert [(status.st_uid, status.st_gid) for status in found] == [(0, 65534), (1012, 65534)]


def test_destination_may_be_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    assert (copy(library(), tmp_path) / "README").exists()


@pytest.mark.parametrize("kind", ["full", "file", "dangling"])
def test_destination_that_is_taken_is_left_alone(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "copy"
    if kind == "full":
        place.mkdir()
        (place / "precious").touch()
    elif kind == "file":
        place.touch()
    else:
        place.mkdir()
        (place / "link").symlink_to("nothing")
    with pytest.raises(AlreadyExists, match="copy already exists"):
        copy(library(), tmp_path)
    assert beside(tmp_path) == ["copy"]


def test_destination_below_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"the directory {tmp_path}/nothing"):
        copy(library(), tmp_path, tmp_path / "nothing" / "copy")


# What goes wrong on the way.


def test_damaged_object_leaves_nothing(tmp_path: Path) -> None:
    published = library()
    for path, data in list(published.files.items()):
        if path.endswith("P"):
            published.files[path] = data[:-1] + b"!"
    with pytest.raises(IntegrityError):
        copy(published, tmp_path)
    assert beside(tmp_path) == []


class FullDisk(Contents):
    """Contents whose files cannot be copied any more, after a few."""

    def __init__(self, published: Published, cache: Path) -> None:
        inner = contents_of(store_of(published), cache=cache)
        super().__init__([inner.server], inner._caches)
        self.left = 2

    def open(self, piece: object) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().open(piece)  # type: ignore[arg-type]


@pytest.mark.fault
def test_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    published = library()
    assert published.root is not None
    contents = FullDisk(published, tmp_path / "cache")
    tree = Tree(contents, published.root, published.name)
    with pytest.raises(OutcropError, match="the disk is full"):
        checkout(plan_checkout(tree), tree, contents, tmp_path / "copy")
    assert beside(tmp_path) == []


def test_tree_that_cannot_fit_is_refused_at_once(tmp_path: Path) -> None:
    with tree_of(library(), tmp_path / "cache") as (tree, contents):
        plan = replace(plan_checkout(tree), size=2**62)
        with pytest.raises(OutcropError, match="has room for"):
            checkout(plan, tree, contents, tmp_path / "copy")
    assert beside(tmp_path) == []


PROGRAM = """
import sys, time
from pathlib import Path
from outcrop.client.checkout_place import unfinished
with unfinished(Path(sys.argv[1])) as place:
    (place / "directory").mkdir()
    (place / "directory" / "file").touch()
    (place / "directory").chmod(0o500)
    print("begun", flush=True)
    time.sleep(60)
"""


def begun(destination: Path) -> subprocess.Popen[bytes]:
    """Another process in the middle of a checkout to `destination`."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, destination], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


@pytest.mark.fault
def test_killed_checkout_leaves_nothing_under_the_final_name_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    with begun(tmp_path / "copy") as process:
        process.kill()
    assert len(beside(tmp_path)) == 1
    assert not (tmp_path / "copy").exists()
    copy(library(), tmp_path)
    assert beside(tmp_path) == ["copy"]


@pytest.mark.fault
def test_interrupted_checkout_cleans_up_itself(tmp_path: Path) -> None:
    with begun(tmp_path / "copy") as process:
        process.send_signal(signal.SIGINT)
        process.wait(10)
    assert beside(tmp_path) == []


@pytest.mark.fault
def test_checkout_that_is_under_way_is_not_disturbed(tmp_path: Path) -> None:
    with begun(tmp_path / "copy") as process:
        copy(library(), tmp_path)
        assert len(beside(tmp_path)) == 2
        process.kill()
        time.sleep(0)


# Catalogs that want to write elsewhere.


def hostile(entries: dict[bytes, Entry], statement: str) -> Published:
    published = Published()
    return published.sign(published.catalog(entries, statements=[statement]))


@pytest.mark.parametrize("name", ["../escaped", "..", "/etc/escaped", "a/../../escaped"])
def test_names_that_lead_out_write_nothing(tmp_path: Path, name: str) -> None:
    statement = f"UPDATE catalog SET name = '{name}' WHERE name = 'evil'"
    with pytest.raises(FormatError):
        copy(hostile({b"/evil": directory_entry(b"evil")}, statement), tmp_path)
    assert beside(tmp_path) == []


def test_directory_that_is_a_link_at_the_same_time_writes_nothing(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    published = Published()
    entries = {
        b"/x": link_entry(b"x", os.fsencode(outside)),
        b"/y": directory_entry(b"y"),
        b"/y/file": published.file(b"file", b"written where it must not be"),
    }
    root = published.catalog(entries, statements=["UPDATE catalog SET name = 'x' WHERE name = 'y'"])
    with pytest.raises(FormatError, match="one of two"):
        copy(published.sign(root), tmp_path)
    assert list(outside.iterdir()) == []


def test_what_lies_below_a_link_is_not_copied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    published = Published(name=RepositoryName("evil.example.org"))
    entries = {
        b"/link": link_entry(b"link", os.fsencode(outside)),
        b"/link/file": published.file(b"file", b"written where it must not be"),
    }
    copy(published.sign(published.catalog(entries)), tmp_path)
    assert list(outside.iterdir()) == []
