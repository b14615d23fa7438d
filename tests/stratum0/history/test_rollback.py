"""Rollbacks: the older tree comes back whole as a new revision, or nothing happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import Busy, InvalidValue, NotFound, StorageError, TrustError
from outcrop.storage.faulty import FaultyStore, fail_at
from outcrop.stratum0.history.log import revisions
from outcrop.stratum0.history.rollback import RollbackOutcome, RollbackRequest, roll_back
from outcrop.stratum0.promises.policy import policy_path
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.transactions.lease import Leases
from tests.conformance.section16 import check_repository
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.reading import entries, published_manifest
from tests.stratum0.revising import AUTHOR, revise
from tests.trees import build_every_kind

FAULT = StorageError(what="the disk", problem="fails on purpose")


def rolled_back(publisher: Publisher, to: str, *, dry_run: bool = False, reason: str = "") -> RollbackOutcome:
    publisher.now += timedelta(minutes=1)
    request = RollbackRequest(to, author=AUTHOR, message="back", reason=reason)
    return roll_back(publisher.repository, request, now=publisher.now, dry_run=dry_run)


def check(publisher: Publisher) -> None:
    now = publisher.now + timedelta(seconds=1)
    assert check_repository(publisher.storage, [publisher.public_key], NAME, now=now, all_revisions=True) == []


def state(publisher: Publisher) -> dict[str, bytes]:
    """Every file that readers see, by name."""
    store = publisher.repository.store
    names = [".cvmfspublished", ".cvmfsreflog", *store.names()]
    return {name: store.read(name) for name in names}


def test_the_older_tree_comes_back_under_a_higher_number(publisher: Publisher) -> None:
    first = revise(publisher, {"/a/one": "1", "/a/n/.cvmfscatalog": "", "/a/n/x": "2"}, tag="v1")
    before = entries(publisher.repository.store)
    second = revise(publisher, {"/a/n": None, "/a/one": "other", "/b/new": "3"}, tag="v2")
    outcome = rolled_back(publisher, "v1")
    manifest = published_manifest(publisher.repository.store)
    assert outcome.published
    assert outcome.manifest == manifest
    assert manifest.revision == second.revision + 1
    assert manifest.published_at == int(publisher.now.timestamp())
    assert entries(publisher.repository.store) == before
    with Catalog.parse(publisher.repository.load_catalog(manifest.root_catalog)) as catalog:
        assert catalog.properties.revision == manifest.revision
        assert catalog.properties.previous_revision == second.root_catalog
        assert catalog.properties.last_modified == manifest.published_at
    assert first.root_catalog != manifest.root_catalog
    check(publisher)


def test_a_rollback_tells_what_it_did(publisher: Publisher) -> None:
    revise(publisher, {"/a/one": "1"})
    revise(publisher, {"/a/one": "other", "/b/new": "3"})
    rolled_back(publisher, "trunk-previous", reason="wrong results")
    newest = next(revisions(publisher.repository, published_manifest(publisher.repository.store)))
    assert (newest.author, newest.message, newest.reason) == (AUTHOR, "back", "wrong results")
    assert newest.tags == ("generic-2026-11-21T12:03:00Z",)
    assert newest.account is not None
    assert [(line.effect, line.path, line.entries) for line in newest.account.changes] == [
        (Effect.CHANGED, b"/a/one", 1),
        (Effect.REMOVED, b"/b", 2),
    ]


def test_a_message_of_its_own_where_none_is_given(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    roll_back(publisher.repository, RollbackRequest("1"), now=publisher.now)
    newest = next(revisions(publisher.repository, published_manifest(publisher.repository.store)))
    assert newest.message == "Roll back to revision 1"


def test_only_one_catalog_is_written(publisher: Publisher) -> None:
    revise(publisher, {f"/n{number}/{name}": "1" for number in range(9) for name in (".cvmfscatalog", "file")})
    revise(publisher, {f"/n{number}/file": "2" for number in range(9)})
    before = set(publisher.repository.store.names())
    rolled_back(publisher, "trunk-previous")
    new = sorted(name[-1] for name in set(publisher.repository.store.names()) - before)
    assert new == ["C", "H"]


def test_tags_stay(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"}, tag="v1")
    revise(publisher, {"/a": "2"}, tag="v2")
    before = {tag.name: tag for tag in publisher.repository.tags(published_manifest(publisher.repository.store))}
    rolled_back(publisher, "v1")
    after = {tag.name: tag for tag in publisher.repository.tags(published_manifest(publisher.repository.store))}
    assert after["v1"] == before["v1"]
    assert after["v2"] == before["v2"]
    assert after["trunk"].revision == before["trunk"].revision + 1
    assert after["trunk-previous"].root_catalog == before["trunk"].root_catalog


def test_a_rollback_is_rolled_back(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    revise(publisher, {"/a": "2", "/b/c": "3"})
    newest = entries(publisher.repository.store)
    rolled_back(publisher, "trunk-previous")
    rolled_back(publisher, "trunk-previous")
    assert entries(publisher.repository.store) == newest
    check(publisher)


def test_every_kind_of_entry_comes_back(publisher: Publisher, tmp_path: Path) -> None:
    build_every_kind(tmp_path / "tree")
    tree, everything = DirectoryTree(tmp_path / "tree"), DoorRules(allow_devices=True, allow_world_writable=True)
    publisher.publish(IngestRequest(trees=(tree,), at=RepositoryPath(b"/top"), door=everything))
    before = entries(publisher.repository.store)
    revise(publisher, {"/top": None})
    rolled_back(publisher, "trunk-previous")
    assert entries(publisher.repository.store) == before
    check(publisher)


def test_a_dry_run_says_the_same_and_changes_nothing(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    revise(publisher, {"/a": "2", "/b/c": "3"})
    before = state(publisher)
    plan = rolled_back(publisher, "trunk-previous", dry_run=True)
    assert state(publisher) == before
    assert not plan.published
    publisher.now -= timedelta(minutes=1)
    assert rolled_back(publisher, "trunk-previous").summary == plan.summary


def test_a_dry_run_is_refused_while_a_transaction_is_open(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    revise(publisher, {"/a": "2"})
    Leases(publisher.directory, NAME, "ann@builder").take("t1", [RepositoryPath(b"/p")], "t1", publisher.now)
    for dry_run in (True, False):
        with pytest.raises(Busy, match="ann@builder"):
            rolled_back(publisher, "trunk-previous", dry_run=dry_run)


def test_a_dry_run_is_refused_for_a_whitelist_that_readers_do_not_believe(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    revise(publisher, {"/a": "2"})
    publisher.now += timedelta(days=20)
    assert "whitelist" in rolled_back(publisher, "trunk-previous", dry_run=True).notes[0]
    publisher.now += timedelta(days=20)
    for dry_run in (True, False):
        with pytest.raises(TrustError, match="whitelist"):
            rolled_back(publisher, "trunk-previous", dry_run=dry_run)


def test_the_current_revision_is_no_way_back(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    with pytest.raises(InvalidValue, match="is what readers see now"):
        rolled_back(publisher, "trunk")


def test_a_tree_that_is_the_current_one_makes_no_revision(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    revise(publisher, {"/a": "2"})
    rolled_back(publisher, "2")
    before = state(publisher)
    outcome = rolled_back(publisher, "2")
    assert outcome.summary.is_empty
    assert not outcome.published
    assert state(publisher) == before


def test_a_clock_that_went_back_does_not_take_time_back(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    second = revise(publisher, {"/a": "2"})
    request = RollbackRequest("trunk-previous", author=AUTHOR)
    outcome = roll_back(publisher.repository, request, now=publisher.now - timedelta(days=1))
    assert outcome.manifest.published_at == second.published_at
    newest = next(revisions(publisher.repository, outcome.manifest))
    assert newest.published_at == second.published_at


@pytest.mark.parametrize("suffix", ["", "C"])
def test_a_tree_with_a_missing_object_is_refused(publisher: Publisher, suffix: str) -> None:
    before = set(publisher.repository.store.names())
    revise(publisher, {"/a/.cvmfscatalog": "", "/a/one": "only here"})
    wanted = entries(publisher.repository.store)[b"/a/one"].digest
    assert wanted is not None
    root = published_manifest(publisher.repository.store).root_catalog
    catalogs = {name for name in set(publisher.repository.store.names()) - before if name.endswith("C")}
    nested = catalogs - {ObjectName(root, ObjectKind.CATALOG).path}
    revise(publisher, {"/a/one": "other"})
    for name in nested if suffix else {ObjectName(wanted, ObjectKind.FILE).path}:
        publisher.repository.store.remove(name)
    now = state(publisher)
    with pytest.raises(NotFound) as caught:
        rolled_back(publisher, "trunk-previous")
    assert "/a" in str(caught.value)
    assert "outcrop repo log" in caught.value.hint
    assert state(publisher) == now


def test_a_revision_that_was_collected_is_refused(publisher: Publisher) -> None:
    first = revise(publisher, {"/a": "1"})
    revise(publisher, {"/a": "2"})
    publisher.repository.store.remove(ObjectName(first.root_catalog, ObjectKind.CATALOG).path)
    with pytest.raises(NotFound, match="the tree of revision 2"):
        rolled_back(publisher, "trunk-previous")


def test_a_promise_is_broken_with_a_reason_only(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"})
    revise(publisher, {"/software/gcc": "3"})
    policy_path(publisher.directory, NAME).write_text('keep = ["/software"]\n')
    before = state(publisher)
    for dry_run in (True, False):
        with pytest.raises(InvalidValue, match="/software"):
            rolled_back(publisher, "trunk-previous", dry_run=dry_run)
        assert state(publisher) == before
    assert rolled_back(publisher, "trunk-previous", reason="wrong results").published


def test_what_users_were_told_stays(publisher: Publisher) -> None:
    notices = '{"version": 1, "notices": [{"path": "/a", "on": "2027-06-01", "since": "2026-11-21T12:00:00Z"}]}'
    revise(publisher, {"/a": "1"})
    revise(publisher, {"/a": "2", "/b": "3"})
    revise(publisher, {"/.outcrop/notices.json": notices})
    told = _told(publisher)
    rolled_back(publisher, "2")
    assert _told(publisher) == told
    assert b"/b" not in entries(publisher.repository.store)
    check(publisher)


def _told(publisher: Publisher) -> tuple[Entry, Entry]:
    found = entries(publisher.repository.store)
    return found[b"/.outcrop"], found[b"/.outcrop/notices.json"]


@pytest.mark.fault
def test_a_rollback_that_fails_anywhere_leaves_the_old_revision_whole(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1", "/n/.cvmfscatalog": "", "/n/x": "1"})
    revise(publisher, {"/a": "2", "/n/x": "2"})
    old = entries(publisher.repository.store)
    request = RollbackRequest("trunk-previous", author=AUTHOR)
    publisher.now += timedelta(minutes=1)
    for call in range(1, 100):
        faulty = FaultyStore(publisher.repository.store, fail_at(call, FAULT))
        try:
            roll_back(replace(publisher.repository, store=faulty), request, now=publisher.now)
        except StorageError:
            assert entries(publisher.repository.store) == old
            continue
        break
    assert call > 3
    assert entries(publisher.repository.store) != old
    check(publisher)
