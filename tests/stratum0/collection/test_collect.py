"""Garbage collection: what goes, what stays, and that nothing goes where there is doubt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from outcrop.client.tree import Tree
from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME, STATUS_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.reflog import ReferenceType
from outcrop.errors import Busy, IntegrityError, InvalidValue, StorageError
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.faulty import FaultyStore, fail_at
from outcrop.storage.interface import ReadableStore
from outcrop.storage.memory import MemoryStore
from outcrop.stratum0.collection.reachable import manifest_objects, reachable_objects
from outcrop.stratum0.collection.retention import Reason
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.keys import create_missing_keys
from outcrop.stratum0.signing.whitelist_care import renew_whitelist
from outcrop.stratum0.transactions.transaction_record import (
    Stage,
    TransactionPlace,
    TransactionRecord,
    transactions_home,
)
from tests.stratum0.collecting import collect, loader, needed, publish, references, texts, violations
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import StoreCatalogs, content, published_manifest


def root_path(manifest: Manifest) -> str:
    return ObjectName(manifest.root_catalog, ObjectKind.CATALOG).path


def names(publisher: Publisher) -> set[str]:
    return set(publisher.repository.store.names())


def tag_names(publisher: Publisher) -> set[str]:
    repository = publisher.repository
    return {tag.name for tag in repository.tags(repository.manifest(repository.signing_key()))}


def aged(publisher: Publisher, revisions: int = 5) -> list[Manifest]:
    """Publishes `revisions` revisions of the same paths, two days apart; each replaces what the one before had."""
    return [
        publish(publisher, {"a/.cvmfscatalog": "", "a/f": f"nested {number}", "g": f"root {number}"}, days=2)
        for number in range(revisions)
    ]


def test_what_left_the_window_goes_and_nothing_else(publisher: Publisher) -> None:
    manifests = aged(publisher)
    before = texts(publisher.repository.store)
    result = collect(publisher, days=3)
    # The last was published today, the one before two days ago; the third of them was current when the window began.
    assert [root_path(one) in names(publisher) for one in manifests] == [False, False, True, True, True]
    assert [one.revision for one in result.dropped] == [1, 2, 3]
    assert len(result.kept) == 3
    assert texts(publisher.repository.store) == before
    assert names(publisher) == needed(publisher.repository)
    assert violations(publisher) == []


def test_the_revision_is_the_same_and_signed_anew(publisher: Publisher) -> None:
    manifest = aged(publisher)[-1]
    result = collect(publisher)
    now = published_manifest(publisher.repository.store)
    assert (now.revision, now.root_catalog) == (manifest.revision, manifest.root_catalog)
    assert now == result.manifest
    assert now.history != manifest.history
    assert now.published_at is not None
    assert manifest.published_at is not None
    assert now.published_at >= manifest.published_at


def test_the_time_of_the_last_collection_is_published(publisher: Publisher) -> None:
    store = publisher.repository.store
    collect(publisher, dry_run=True)
    assert not store.exists(STATUS_NAME)
    store.replace(STATUS_NAME, b'{"last_snapshot": "Sat Nov 21 02:11:57 UTC 2026"}')
    publisher.now = datetime(2026, 12, 1, 7, 30, tzinfo=UTC)
    collect(publisher)
    assert json.loads(store.read(STATUS_NAME)) == {
        "last_snapshot": "Sat Nov 21 02:11:57 UTC 2026",
        "last_gc": "Tue Dec  1 07:30:00 UTC 2026",
    }


def test_what_was_collected_is_stored_anew_by_whoever_publishes_it_again(publisher: Publisher) -> None:
    publish(publisher, {"f": "here and gone"})
    stored = names(publisher)
    aged(publisher, 3)
    collect(publisher, days=0)
    (gone,) = {one for one in stored - names(publisher) if one[-1] not in "CHXM"}
    publish(publisher, {"f": "here and gone"})
    assert gone in names(publisher)
    assert violations(publisher) == []


def test_a_second_collection_finds_nothing_and_publishes_nothing(publisher: Publisher) -> None:
    aged(publisher)
    collect(publisher)
    signed = publisher.repository.store.read(MANIFEST_NAME)
    result = collect(publisher)
    assert (result.objects, result.bytes, result.dropped, result.expired_tags) == (0, 0, (), ())
    assert publisher.repository.store.read(MANIFEST_NAME) == signed


def test_a_revision_that_was_current_within_the_window_stays_however_old_it_is(publisher: Publisher) -> None:
    old = publish(publisher, {"f": "old"})
    newer = publish(publisher, {"f": "new"}, days=9)
    publish(publisher, {"f": "newer"})
    publish(publisher, {"f": "newest"})
    # Until today readers have read what was published nine days ago.
    collect(publisher, days=1)
    assert root_path(old) in names(publisher)
    assert root_path(newer) in names(publisher)
    assert all(name.path in names(publisher) for name in manifest_objects(old))
    assert violations(publisher) == []


def test_named_tags_keep_their_revisions(publisher: Publisher) -> None:
    tagged = publish(publisher, {"f": "tagged", "only/here": "x"}, tag="2026.06")
    aged(publisher)
    result = collect(publisher, days=0)
    assert {one.name for one in result.kept if one.reason is Reason.TAGGED} == {"2026.06"}
    reachable = reachable_objects(loader(publisher.repository), tagged.root_catalog)
    assert sum(1 for _ in reachable) > 2
    assert "2026.06" in tag_names(publisher)
    assert violations(publisher) == []


def transaction(publisher: Publisher, base: Manifest, stage: Stage) -> TransactionPlace:
    """A transaction that began from `base`, without a view."""
    data = publisher.repository.keys.directory
    place = TransactionPlace(transactions_home(data, publisher.repository.name), "20261121-120000")
    place.directory.mkdir(parents=True, exist_ok=True)
    place.save(TransactionRecord(place.name, ROOT, "ada", publisher.now, base.root_catalog, base.revision, stage=stage))
    return place


def test_what_an_open_transaction_began_from_stays_until_it_ends(publisher: Publisher) -> None:
    base = publish(publisher, {"f": "shown by the view", "only/here": "x"})
    transaction(publisher, base, Stage.OPEN)
    aged(publisher)
    result = collect(publisher, days=0)
    assert [one.name for one in result.kept if one.reason is Reason.OPEN_TRANSACTION] == ["20261121-120000"]
    assert sum(1 for _ in reachable_objects(loader(publisher.repository), base.root_catalog)) > 2
    assert base.root_catalog in {one.digest for one in references(publisher.repository.store)}
    assert violations(publisher) == []

    transaction(publisher, base, Stage.PUBLISHED)
    result = collect(publisher, days=0)
    assert result.dropped[0].revision == base.revision
    assert root_path(base) not in names(publisher)


def test_a_transaction_whose_record_cannot_be_read_keeps_nothing(publisher: Publisher) -> None:
    base = publish(publisher, {"f": "shown by the view"})
    transaction(publisher, base, Stage.OPEN).record.write_text("{")
    aged(publisher)
    assert base.revision in [one.revision for one in collect(publisher, days=0).dropped]


def test_automatic_tags_end_with_their_revisions(publisher: Publisher) -> None:
    aged(publisher)
    publish(publisher, {"f": "named"}, tag="generic-by-hand", days=2)
    assert len(tag_names(publisher)) == 6 + 3
    result = collect(publisher, days=3)
    assert {tag.name for tag in result.expired_tags} & tag_names(publisher) == set()
    assert len(result.expired_tags) == 3
    assert len(tag_names(publisher)) == 3 + 3
    assert {TRUNK, TRUNK_PREVIOUS, "generic-by-hand"} <= tag_names(publisher)


def test_the_previous_revision_stays_for_an_undo(publisher: Publisher) -> None:
    manifests = aged(publisher)
    publisher.now += timedelta(days=1)
    result = collect(publisher, days=0)
    assert [one.reason for one in result.kept] == [Reason.CURRENT, Reason.PREVIOUS]
    assert root_path(manifests[-2]) in names(publisher)
    assert names(publisher) == needed(publisher.repository)


def test_the_newest_revisions_stay_where_they_are_asked_for(publisher: Publisher) -> None:
    manifests = aged(publisher)
    collect(publisher, days=0, revisions=4)
    assert [root_path(one) in names(publisher) for one in manifests] == [False, True, True, True, True]
    assert violations(publisher) == []


def test_a_dry_run_says_what_the_run_does_and_changes_nothing(publisher: Publisher) -> None:
    aged(publisher)
    before = {path: path.read_bytes() for path in publisher.storage.rglob("*") if path.is_file()}
    planned = collect(publisher, dry_run=True)
    assert {path: path.read_bytes() for path in publisher.storage.rglob("*") if path.is_file()} == before
    sizes = {name: len(publisher.repository.store.read(name)) for name in names(publisher)}
    done = collect(publisher)
    assert replace(planned, manifest=done.manifest) == done
    gone = set(sizes) - names(publisher)
    assert planned.objects == len(gone)
    assert planned.bytes == sum(sizes[name] for name in gone)


def test_what_failed_publishes_left_goes(publisher: Publisher) -> None:
    publish(publisher, {"f": "1"})
    before = names(publisher)
    full = StorageError(what="the disk", problem="is full")
    faulty = FaultyStore(publisher.repository.store, fail_at(1, full, frozenset({"replace"})))
    broken = Publisher(replace(publisher.repository, store=faulty), publisher.directory, publisher.now)
    with pytest.raises(StorageError):
        publish(broken, {"f": "2", "d/.cvmfscatalog": ""})
    left = names(publisher) - before
    assert len(left) > 3
    result = collect(publisher)
    assert result.objects == len(left)
    assert names(publisher) == before
    assert violations(publisher) == []


def test_a_publish_cut_short_before_the_manifest_is_kept_like_a_revision_until_its_time_is_over(
    publisher: Publisher,
) -> None:
    cut_short_before_the_manifest(publisher)
    result = collect(publisher, days=1)
    assert [one.reason for one in result.kept if not one.was_published] == [Reason.UNFINISHED]
    assert result.objects == 0
    publish(publisher, {"f": "3"}, days=2)
    publish(publisher, {"f": "4"}, days=2)
    collect(publisher, days=1)
    assert names(publisher) == needed(publisher.repository)
    assert violations(publisher) == []


def test_a_publish_cut_short_by_a_power_cut_does_not_stop_collections(publisher: Publisher) -> None:
    root = cut_short_before_the_manifest(publisher)
    (publisher.storage / root).write_bytes(b"")
    result = collect(publisher, days=1)
    assert [ObjectName(one.root, ObjectKind.CATALOG).path for one in result.unreadable] == [root]
    assert names(publisher) == needed(publisher.repository)
    assert violations(publisher) == []


def cut_short_before_the_manifest(publisher: Publisher) -> str:
    """Publishes without the last step; returns the name of the root catalog that nobody ever saw."""
    publish(publisher, {"f": "1"})
    known = {one.digest for one in references(publisher.repository.store)}
    stopped = StorageError(what="the disk", problem="is gone")
    faulty = FaultyStore(publisher.repository.store, fail_at(2, stopped, frozenset({"replace"})))
    broken = Publisher(replace(publisher.repository, store=faulty), publisher.directory, publisher.now)
    with pytest.raises(StorageError):
        publish(broken, {"f": "2", "d/.cvmfscatalog": ""})
    new = [one for one in references(publisher.repository.store) if one.digest not in known]
    (root,) = [one.digest for one in new if one.type is ReferenceType.ROOT_CATALOG]
    return ObjectName(root, ObjectKind.CATALOG).path


@pytest.mark.parametrize("damage", ["missing", "damaged"])
@pytest.mark.parametrize("tag", [None, "2026.06"])
def test_nothing_is_collected_while_a_catalog_that_stays_cannot_be_read(
    publisher: Publisher, damage: str, tag: str | None
) -> None:
    manifest = publish(publisher, {"d/.cvmfscatalog": "", "d/f": "1"}, tag=tag)
    if tag:
        aged(publisher)
    with loader(publisher.repository)(manifest.root_catalog) as root:
        (nested,) = root.nested_catalogs()
    victim = publisher.storage / ObjectName(nested.digest, ObjectKind.CATALOG).path
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-1])
    before = {path: path.read_bytes() for path in publisher.storage.rglob("*") if path.is_file()}
    with pytest.raises(IntegrityError, match=nested.digest.hexadecimal[2:]) as caught:
        collect(publisher)
    assert "nothing was removed" in caught.value.message
    assert (tag or "the current revision") in caught.value.message
    assert "outcrop repo repair" in caught.value.hint
    assert {path: path.read_bytes() for path in publisher.storage.rglob("*") if path.is_file()} == before


def test_nothing_is_collected_without_the_reflog(publisher: Publisher) -> None:
    aged(publisher)
    publisher.repository.store.remove(REFLOG_NAME)
    before = names(publisher)
    with pytest.raises(IntegrityError, match="cvmfsreflog"):
        collect(publisher)
    assert names(publisher) == before


def test_a_repository_that_keeps_everything_is_not_collected(new_publisher: Callable[..., Publisher]) -> None:
    publisher = new_publisher(garbage_collectable=False)
    aged(publisher)
    before = names(publisher)
    with pytest.raises(InvalidValue) as caught:
        collect(publisher)
    assert "garbage_collectable = true" in caught.value.hint
    assert names(publisher) == before


def test_what_is_no_object_is_left_alone_and_counted(publisher: Publisher) -> None:
    publish(publisher, {"f": "1"})
    strange = {"data/00/README", "data/ab/" + "0" * 38 + "Q", "data/ff/" + "A" * 38}
    for name in strange:
        (publisher.storage / name).write_bytes(b"whose is this?")
    result = collect(publisher)
    assert result.strange_names == len(strange)
    assert strange <= names(publisher)


def test_a_certificate_that_was_replaced_goes_with_the_last_revision_that_it_signed(publisher: Publisher) -> None:
    old = publish(publisher, {"f": "1"})
    keys = publisher.repository.keys
    keys.certificate.unlink()
    create_missing_keys(keys, publisher.now)
    renew_whitelist(publisher.repository, publisher.now)
    new = publish(publisher, {"f": "2"}, days=1)
    assert new.certificate != old.certificate
    collect(publisher, days=1)
    certificate = ObjectName(old.certificate, ObjectKind.CERTIFICATE).path
    assert certificate in names(publisher)
    publish(publisher, {"f": "3"}, days=2)
    publish(publisher, {"f": "4"}, days=2)
    collect(publisher, days=1)
    assert certificate not in names(publisher)
    assert names(publisher) == needed(publisher.repository)


@pytest.mark.parametrize("algorithm", ["rmd160", "shake128"])
def test_every_digest_algorithm_is_collected(new_publisher: Callable[..., Publisher], algorithm: str) -> None:
    publisher = new_publisher(hash=algorithm, minimum_chunk_size=1024, average_chunk_size=2048, maximum_chunk_size=4096)
    for number in range(4):
        noise = b"".join(hashlib.sha256(b"%d.%d" % (number, block)).digest() for block in range(600))
        publish(publisher, {"big": noise, "small": str(number)}, days=2)
    before = texts(publisher.repository.store)
    result = collect(publisher, days=1)
    assert {removal.kind for removal in result.removals} >= {ObjectKind.FILE, ObjectKind.CHUNK, ObjectKind.CATALOG}
    assert texts(publisher.repository.store) == before
    assert names(publisher) == needed(publisher.repository)
    assert violations(publisher) == []


def test_publishers_keep_a_collection_waiting(publisher: Publisher) -> None:
    impatient = replace(publisher.repository, wait_seconds=0)
    with publisher.repository.writing_objects(), pytest.raises(Busy):
        collect(Publisher(impatient, publisher.directory, publisher.now))


def test_objects_under_names_of_collected_ones_can_be_published_again(publisher: Publisher) -> None:
    publish(publisher, {"f": "comes back", "d/.cvmfscatalog": "", "d/g": "too"})
    aged(publisher)
    collect(publisher, days=0)
    publish(publisher, {"f": "comes back", "d/.cvmfscatalog": "", "d/g": "too"})
    assert texts(publisher.repository.store)[b"/f"] == b"comes back"
    assert violations(publisher) == []


def test_a_reflog_that_a_crash_left_unsigned_is_signed_by_the_next_collection(
    new_publisher: Callable[..., Publisher],
) -> None:
    publisher = new_publisher(auto_tag=False)
    aged(publisher)
    stopped = StorageError(what="the disk", problem="is gone")
    with pytest.raises(StorageError):
        collect(publisher, store=FaultyStore(publisher.repository.store, fail_at(2, stopped, frozenset({"replace"}))))
    assert any("16.15" in f"{one}" for one in violations(publisher))
    result = collect(publisher)
    assert result.dropped == ()
    assert result.objects > 0
    assert violations(publisher) == []


@pytest.mark.fault
@pytest.mark.slow
def test_whatever_operation_fails_nothing_that_is_needed_is_lost(publisher: Publisher) -> None:
    aged(publisher, revisions=3)
    store = publisher.repository.store
    before = texts(store)
    signed, log = store.read(MANIFEST_NAME), store.read(REFLOG_NAME)
    objects = {name: store.read(name) for name in store.names()}
    failing = StorageError(what="the disk", problem="does not answer")
    call = 0
    while True:
        call += 1
        restore(store, objects, signed, log)
        try:
            collect(publisher, days=1, store=FaultyStore(store, fail_at(call, failing)))
        except StorageError:
            assert texts(store) == before
            assert [one for one in violations(publisher) if "reflog" not in f"{one}"] == []
            collect(publisher, days=1)
            assert texts(store) == before
            assert names(publisher) == needed(publisher.repository)
            assert violations(publisher) == []
        else:
            break
    assert call > 20, "the fault was not asked at every operation"


def restore(store: object, objects: dict[str, bytes], signed: bytes, log: bytes) -> None:
    assert isinstance(store, DirectoryStore)
    for name in set(store.names()) - set(objects):
        store.remove(name)
    for name, data in objects.items():
        store.write(name, data)
    store.replace(REFLOG_NAME, log)
    store.replace(MANIFEST_NAME, signed)


@dataclass
class SmallReplica:
    """Copies a repository in the order of the reference's replication: of each catalog first its files, then what is
    nested in it, then itself; the manifest last. What it has it does not fetch again."""

    source: ReadableStore
    repository: OwnedRepository
    target: MemoryStore

    def steps(self) -> Iterator[str]:
        """Replicates what is published now, one object for each step."""
        signed = self.source.read(MANIFEST_NAME)
        manifest = published_manifest(self.source)
        for name in manifest_objects(manifest):
            if name.kind is not ObjectKind.CATALOG:
                yield self.copied(name)
        yield from self.catalog(ObjectName(manifest.root_catalog, ObjectKind.CATALOG))
        self.target.replace(MANIFEST_NAME, signed)

    def copied(self, name: ObjectName) -> str:
        self.target.write(name.path, self.source.read(name.path))
        return name.path

    def catalog(self, name: ObjectName) -> Iterator[str]:
        if self.target.exists(name.path):
            return
        data = self.source.read(name.path)
        with loader(self.repository)(name.digest) as catalog:
            rows = [row.entry for row in catalog.rows()]
            nested = catalog.nested_catalogs()
        for entry in rows:
            if entry.digest is not None:
                yield self.copied(ObjectName(entry.digest, ObjectKind.FILE))
        for reference in nested:
            yield from self.catalog(ObjectName(reference.digest, ObjectKind.CATALOG))
        self.target.write(name.path, data)
        yield name.path


@pytest.mark.parametrize("step", [0, 1, 4, 7])
def test_a_replica_at_work_finds_all_of_the_revision_that_it_began_with(publisher: Publisher, step: int) -> None:
    tree = {"a/.cvmfscatalog": "", "a/f": "1", "a/b/.cvmfscatalog": "", "a/b/g": "2", "h": "3"}
    publish(publisher, tree)
    publisher.now += timedelta(days=6)
    store = publisher.repository.store
    before = texts(store)
    replica = SmallReplica(store, publisher.repository, MemoryStore())
    replication = replica.steps()
    for _ in range(step + 1):
        next(replication)
    for number in range(3):
        publish(publisher, {"a/.cvmfscatalog": "", "a/f": f"other {number}"})
        collect(publisher, days=1)
    for _ in replication:
        pass
    assert texts(replica.target) == before
    # What left the window is gone, so that this shows something.
    publish(publisher, {"z": "last"}, days=3)
    publish(publisher, {"z": "very last"}, days=3)
    collect(publisher, days=1)
    gone = [name for name in replica.target.names() if not store.exists(name)]
    assert len(gone) > 6


def test_a_reader_of_a_revision_in_the_window_finds_everything(publisher: Publisher) -> None:
    manifest = publish(publisher, {"a/.cvmfscatalog": "", "a/f": "read me", "g": "and me"})
    publish(publisher, {"x": "other"}, days=3)
    publish(publisher, {"x": "more"})
    store = publisher.repository.store
    root = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
    tree = Tree(StoreCatalogs(store), root, manifest.repository)
    collect(publisher, days=1)
    found = {bytes(path): content(store, tree, path, entry) for path, entry in tree.walk() if entry.is_file}
    assert found == {b"/a/.cvmfscatalog": b"", b"/a/f": b"read me", b"/g": b"and me"}
