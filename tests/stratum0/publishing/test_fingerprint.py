"""A tree that was published is recognised, whatever changes in it is noticed, and no catalog is opened for either."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import StorageError
from outcrop.storage.faulty import FaultyStore
from outcrop.stratum0.publishing.content_index import SETTLED_NANOSECONDS
from outcrop.stratum0.publishing.fingerprint import directory_fingerprint
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, change_fingerprint, ingest
from outcrop.stratum0.publishing.ownership import Ownership
from outcrop.stratum0.repository import OwnedRepository
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import entries


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "d" / "e").mkdir(parents=True)
    (top / "d" / "file").write_text("content")
    (top / "d" / "other").write_text("another")
    (top / "link").symlink_to("d/file")
    return top


def settle(tree: Path) -> None:
    """Waits until what was just written counts as settled."""
    newest = directory_fingerprint(os.fsencode(tree)).newest_ns
    time.sleep(max(0, newest + SETTLED_NANOSECONDS - time.time_ns()) / 1e9 + 0.05)


def rewrite(tree: Path) -> None:
    """Other bytes, as many, with the old time of modification."""
    file = tree / "d" / "file"
    before = file.stat()
    file.write_text("CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_link(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("d/othe2")


def swap(tree: Path) -> None:
    (tree / "d" / "file").rename(tree / "d" / "third")
    (tree / "d" / "other").rename(tree / "d" / "file")
    (tree / "d" / "third").rename(tree / "d" / "other")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": rewrite,
    "size": lambda tree: (tree / "d" / "file").write_text("longer content"),
    "mode": lambda tree: (tree / "d" / "file").chmod(0o600),
    "mode of a directory": lambda tree: (tree / "d" / "e").chmod(0o700),
    "mode of the top": lambda tree: tree.chmod(0o700),
    "time": lambda tree: os.utime(tree / "d" / "file", (1, 1)),
    "name": lambda tree: (tree / "d" / "file").rename(tree / "d" / "renamed"),
    "names that are swapped": swap,
    "place": lambda tree: (tree / "d" / "file").rename(tree / "d" / "e" / "file"),
    "target": replace_link,
    "another name": lambda tree: os.link(tree / "d" / "file", tree / "d" / "twin"),
    "new file": lambda tree: (tree / "d" / "e" / "new").touch(),
    "new directory": lambda tree: (tree / "d" / "e" / "new").mkdir(),
    "file that is gone": lambda tree: (tree / "d" / "other").unlink(),
    "directory that is gone": lambda tree: (tree / "d" / "e").rmdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_shows(tree: Path, change: str) -> None:
    before = DirectoryTree(tree).fingerprint()
    assert DirectoryTree(tree).fingerprint() == before
    time.sleep(0.01)  # a tick of the file system's clock
    CHANGES[change](tree)
    assert DirectoryTree(tree).fingerprint().digest != before.digest


def test_an_attribute_shows(tree: Path) -> None:
    before = DirectoryTree(tree).fingerprint()
    time.sleep(0.01)
    try:
        os.setxattr(tree / "d" / "file", "user.note", b"x")
    except OSError:
        pytest.skip("this file system keeps no extended attributes")
    assert DirectoryTree(tree).fingerprint().digest != before.digest


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("owner", [(5, 0), (0, 5), (2**32 - 2, 2**32 - 2)])
def test_an_owner_shows(tree: Path, owner: tuple[int, int]) -> None:
    before = DirectoryTree(tree).fingerprint()
    time.sleep(0.01)
    os.chown(tree / "d" / "file", *owner)
    assert DirectoryTree(tree).fingerprint().digest != before.digest


def test_a_tree_behind_a_link_is_looked_at(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree)
    before = DirectoryTree(tmp_path / "link").fingerprint()
    time.sleep(0.01)
    (tree / "d" / "file").write_text("other")
    assert DirectoryTree(tmp_path / "link").fingerprint().digest != before.digest


def test_a_part_of_a_tree_changes_with_itself_and_with_what_leads_there(tree: Path) -> None:
    def part() -> bytes:
        return DirectoryTree(tree, only=(RepositoryPath(b"/d/file"),)).fingerprint().digest

    before = part()
    (tree / "d" / "e" / "elsewhere").touch()
    assert part() == before
    time.sleep(0.01)
    (tree / "d").chmod(0o700)
    assert part() != before


def test_the_newest_change_is_told(tree: Path) -> None:
    assert DirectoryTree(tree).fingerprint().newest_ns == max(
        os.lstat(path).st_ctime_ns for path in [tree, *tree.rglob("*")]
    )


def test_a_tree_that_is_not_there_is_named(tree: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        directory_fingerprint(os.fsencode(tree) + b"/none")


def test_what_is_done_with_a_tree_counts(tree: Path) -> None:
    requests = [
        IngestRequest(trees=(DirectoryTree(tree),)),
        IngestRequest(trees=(DirectoryTree(tree, with_xattrs=False),)),
        IngestRequest(trees=(DirectoryTree(tree), DirectoryTree(tree))),
        IngestRequest(trees=(DirectoryTree(tree),), at=RepositoryPath(b"/x")),
        IngestRequest(trees=(DirectoryTree(tree),), replace=(RepositoryPath(b"/x"),)),
        IngestRequest(trees=(DirectoryTree(tree),), ownership=Ownership.all_to(0, 0)),
    ]
    prints = [change_fingerprint(request) for request in requests]
    assert len({one.digest for one in prints if one}) == len(requests)


# --- what follows from it


class Watched:
    """A publisher's repository; `operations` are those of its store since the last publish began."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.operations: list[tuple[str, str]] = []
        own = publisher.repository
        self.repository = OwnedRepository(own.settings, own.keys, FaultyStore(own.store, self._note))

    def _note(self, operation: str, name: str) -> None:
        self.operations.append((operation, name))

    def publish(self, tree: Path) -> IngestOutcome:
        self.operations.clear()
        request = IngestRequest(trees=(DirectoryTree(tree),))
        return ingest(self.repository, request, now=self.publisher.now)

    def catalogs_read(self) -> list[str]:
        return [name for operation, name in self.operations if operation == "read" and name.endswith("C")]


@pytest.fixture
def watched(publisher: Publisher) -> Watched:
    return Watched(publisher)


def test_the_same_tree_again_opens_no_catalog_and_writes_nothing(watched: Watched, tree: Path) -> None:
    settle(tree)
    first = watched.publish(tree)
    signed = {name: (watched.publisher.storage / name).read_bytes() for name in (MANIFEST_NAME, REFLOG_NAME)}
    again = watched.publish(tree)
    assert first.published
    assert not again.published
    assert again.manifest == first.manifest
    assert watched.catalogs_read() == []
    assert {operation for operation, _ in watched.operations} <= {"read", "exists", "discard_leftovers"}
    assert {name: (watched.publisher.storage / name).read_bytes() for name in signed} == signed


def test_a_tree_that_was_just_written_is_compared_in_full(watched: Watched, tree: Path) -> None:
    """What changes within the granularity of the clock would not show in a fingerprint."""
    watched.publish(tree)
    assert not watched.publish(tree).published
    assert watched.catalogs_read()


@pytest.mark.parametrize("change", ["content", "mode", "name", "new file"])
def test_a_change_after_that_is_published(watched: Watched, tree: Path, change: str) -> None:
    settle(tree)
    watched.publish(tree)
    watched.publish(tree)
    CHANGES[change](tree)
    assert watched.publish(tree).published


def test_what_somebody_else_changed_since_is_noticed(watched: Watched, tree: Path, tmp_path: Path) -> None:
    settle(tree)
    watched.publish(tree)
    watched.publisher.publish(IngestRequest(delete=(RepositoryPath(b"/d/file"),)))
    assert watched.publish(tree).published
    assert b"/d/file" in entries(watched.publisher.repository.store)
