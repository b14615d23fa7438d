"""Differences of published revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.cvmfs.catalog_diff import Difference
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import NotFound
from outcrop.stratum0.history.revision_diff import revision_differences
from outcrop.stratum0.history.revision_names import named_revision
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import published_manifest, published_tree
from tests.stratum0.revising import revise
from tests.trees import build_every_kind


def difference(publisher: Publisher, old: str, new: str, below: bytes = b"") -> list[Difference]:
    manifest = published_manifest(publisher.repository.store)
    before, after = (named_revision(publisher.repository, manifest, text) for text in (old, new))
    return list(revision_differences(publisher.repository, before, after, below=RepositoryPath(below)))


def shown(found: list[Difference]) -> list[str]:
    return [f"{one.effect.value} {one.path.decode()}" for one in found]


def test_what_a_publish_did_and_what_taking_it_back_would_do(publisher: Publisher) -> None:
    revise(publisher, {"/a/b/one": "1", "/a/two": "2"})
    revise(publisher, {"/a/b/one": "other", "/a/b/three": "3", "/a/two": None})
    assert shown(difference(publisher, "~1", "trunk")) == ["~ /a/b/one", "+ /a/b/three", "- /a/two"]
    assert shown(difference(publisher, "trunk", "~1")) == ["~ /a/b/one", "- /a/b/three", "+ /a/two"]
    assert shown(difference(publisher, "~1", "trunk", b"/a/b/three")) == ["+ /a/b/three"]
    assert difference(publisher, "trunk", "3") == []


def test_a_new_nested_catalog_is_no_difference_but_its_marker(publisher: Publisher) -> None:
    revise(publisher, {"/a/b/one": "1", "/a/b/two": "2"})
    revise(publisher, {"/a/b/.cvmfscatalog": ""})
    assert shown(difference(publisher, "~1", "trunk")) == ["+ /a/b/.cvmfscatalog"]


def test_every_kind_of_entry_is_told_as_the_reader_sees_it(publisher: Publisher, tmp_path: Path) -> None:
    build_every_kind(tmp_path / "tree")
    tree, everything = DirectoryTree(tmp_path / "tree"), DoorRules(allow_devices=True, allow_world_writable=True)
    publisher.publish(IngestRequest(trees=(tree,), at=RepositoryPath(b"/top"), door=everything))
    found = difference(publisher, "trunk-previous", "trunk")
    listing = {path: entry for path, entry in published_tree(publisher.repository.store).walk() if path}
    assert {one.path: one.new.entry for one in found if one.new is not None} == listing
    assert all(one.old is None for one in found)
    assert [one.path for one in found] == sorted(listing, key=lambda path: path.split(b"/"))
    assert {one.path for one in found if one.new is not None and one.new.chunks} == {
        path for path, entry in listing.items() if entry.is_chunked
    }


def test_a_collected_catalog_is_named(publisher: Publisher) -> None:
    first = revise(publisher, {"/a/.cvmfscatalog": "", "/a/one": "1"})
    revise(publisher, {"/a/one": "2"})
    before = {one for one in publisher.repository.store.names() if one.endswith("C")}
    revise(publisher, {"/a/one": "3"})
    nested = {one for one in publisher.repository.store.names() if one.endswith("C")} - before
    root = ObjectName(published_manifest(publisher.repository.store).root_catalog, ObjectKind.CATALOG).path
    for name in nested - {root}:
        publisher.repository.store.remove(name)
    with pytest.raises(NotFound, match="the catalog of /a") as caught:
        difference(publisher, str(first.revision), "trunk")
    assert "outcrop repo log test.example.org" in caught.value.hint
