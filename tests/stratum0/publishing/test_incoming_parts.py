"""Parts of a tree that are put together come into one revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.cvmfs.paths import ROOT, RepositoryPath, repository_path
from outcrop.errors import InvalidValue
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.incoming_parts import LinkTree, PlacedTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import entries

AT = repository_path("/a/b")
LINKS = {repository_path("/top"): b"$(NAME:-/x)", repository_path("/more/below/link"): b"elsewhere"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "tree"
    (place / "in").mkdir(parents=True)
    (place / "in" / "one").write_text("one")
    (place / "in" / "two").hardlink_to(place / "in" / "one")
    return place


def published(publisher: Publisher, tree: Path, *within: RepositoryPath) -> IngestOutcome:
    parts = (PlacedTree(DirectoryTree(tree), AT, 1), LinkTree(LINKS, 1, "links"))
    request = IngestRequest(trees=parts, at=ROOT, replace=(AT,), door=DoorRules(within=within))
    return publisher.publish(request)


def test_a_tree_at_its_place_and_links_beside_it_are_one_revision(publisher: Publisher, tree: Path) -> None:
    before = publisher.repository.manifest(publisher.repository.signing_key()).revision
    outcome = published(publisher, tree)
    assert outcome.manifest.revision == before + 1
    found = entries(publisher.repository.store)
    assert found[b"/top"].symlink == b"$(NAME:-/x)"
    assert found[b"/more/below/link"].symlink == b"elsewhere"
    assert found[b"/a/b/in/one"].hardlink_group == found[b"/a/b/in/two"].hardlink_group != 0
    assert not published(publisher, tree).published


def test_nothing_else_goes_and_what_the_tree_no_longer_has_does(publisher: Publisher, tree: Path) -> None:
    published(publisher, tree)
    (tree / "in" / "two").unlink()
    published(publisher, tree)
    assert {b"/a/b/in/one", b"/top", b"/more/below/link"} <= entries(publisher.repository.store).keys()
    assert b"/a/b/in/two" not in entries(publisher.repository.store)


def test_they_lie_where_the_change_declares(publisher: Publisher, tree: Path) -> None:
    with pytest.raises(InvalidValue, match="outside"):
        published(publisher, tree, AT, repository_path("/more"))
    published(publisher, tree, AT, repository_path("/more"), repository_path("/top"))
