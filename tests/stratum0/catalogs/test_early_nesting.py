"""Catalogs that are made before their entries are written are those that a split afterwards comes to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from outcrop.stratum0.catalogs.catalog_tree import MARKER, CatalogTree
from outcrop.stratum0.catalogs.early_nesting import EarlyNesting
from outcrop.stratum0.catalogs.markers import AUTOMATIC_MARKER
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from tests.conformance.section16 import Violation, check_repository
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.reading import entries

SMALL = {"maximum_catalog_entries": 20, "minimum_catalog_entries": 5}


def grown(top: Path, seed: int) -> None:
    """A tree of 30 to 150 entries, some of them empty directories and hard links."""
    choice = random.Random(seed)
    directories = [top]
    top.mkdir()
    for number in range(choice.randrange(30, 150)):
        place = choice.choice(directories)
        kind = choice.random()
        if kind < 0.3:
            directories.append(place / f"d{number}")
            directories[-1].mkdir()
        else:
            (place / f"f{number}").write_bytes(b"%d" % (number % 7))
            if kind > 0.95:
                (place / f"l{number}").hardlink_to(place / f"f{number}")


def published(publisher: Publisher, top: Path, at: str) -> dict[bytes, Entry]:
    """What is at and below `at` after `top` was published there; paths are relative, markers have no time."""
    request = IngestRequest(trees=(DirectoryTree(top),), at=repository_path(at))
    assert publisher.publish(request).published
    found = {}
    for path, entry in entries(publisher.repository.store).items():
        if path.startswith(at.encode()):
            timeless = entry.name in (MARKER, AUTOMATIC_MARKER)
            mtime = 0 if timeless else entry.mtime
            group = min(entry.hardlink_group, 1)  # their numbers mean nothing
            found[path.removeprefix(at.encode())] = replace(entry, mtime=mtime, hardlink_group=group, name=b"")
    return found


def violations(publisher: Publisher) -> list[Violation]:
    return check_repository(publisher.storage, [publisher.public_key], NAME, now=publisher.now)


@pytest.fixture
def made_early(monkeypatch: pytest.MonkeyPatch) -> list[RepositoryPath]:
    """The catalogs that were made early."""
    made: list[RepositoryPath] = []
    begin, make_nested = EarlyNesting.begin, CatalogTree.make_nested
    is_early = False

    def watched_begin(self: EarlyNesting, directory: RepositoryPath) -> None:
        nonlocal is_early
        is_early = True
        begin(self, directory)
        is_early = False

    def watched_make_nested(self: CatalogTree, path: RepositoryPath) -> None:
        if is_early:
            made.append(path)
        make_nested(self, path)

    monkeypatch.setattr(EarlyNesting, "begin", watched_begin)
    monkeypatch.setattr(CatalogTree, "make_nested", watched_make_nested)
    return made


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("at", ["/new", "/way/to/new"])
def test_the_outcome_is_that_of_a_split_afterwards(
    new_publisher: Callable[..., Publisher], tmp_path: Path, seed: int, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = new_publisher(**SMALL)
    grown(tmp_path / "tree", seed)
    early = published(publisher, tmp_path / "tree", at)
    assert violations(publisher) == []
    publisher.publish(IngestRequest(delete=(repository_path("/" + at.split("/")[1]),)))
    monkeypatch.setattr(EarlyNesting, "plan", lambda *_: None)
    assert early == published(publisher, tmp_path / "tree", at)


def test_every_catalog_of_a_new_tree_is_made_early(
    new_publisher: Callable[..., Publisher], tmp_path: Path, made_early: list[RepositoryPath]
) -> None:
    publisher = new_publisher(**SMALL)
    grown(tmp_path / "tree", 3)
    found = published(publisher, tmp_path / "tree", "/new")
    nested = {
        repository_path("/new" + path.decode())
        for path, entry in found.items()
        if entry.is_nested_mountpoint or entry.is_nested_root
    }
    assert len(nested) > 1
    assert set(made_early) == nested


@pytest.mark.parametrize("obstacle", ["marker", "rules", "something there"])
def test_nothing_is_planned_where_something_else_has_a_say(
    new_publisher: Callable[..., Publisher], tmp_path: Path, made_early: list[RepositoryPath], obstacle: str
) -> None:
    publisher = new_publisher(**SMALL)
    grown(tmp_path / "tree", 3)
    first = tmp_path / "first"
    first.mkdir()
    if obstacle == "marker":
        (next(path for path in (tmp_path / "tree").iterdir() if path.is_dir()) / ".cvmfscatalog").touch()
    elif obstacle == "rules":
        (first / ".cvmfsdirtab").write_text("/new/*\n")
    else:
        (first / "new").mkdir()
        (first / "new" / "file").touch()
    publisher.publish(IngestRequest(trees=(DirectoryTree(first),)))
    published(publisher, tmp_path / "tree", "/new")
    assert made_early == []
    assert violations(publisher) == []
