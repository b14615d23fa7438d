"""A promise of freshness that is kept at every moment: by every publish, a timer, a rotation of keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress
from outcrop.client.repository import ClientSettings, find_current
from outcrop.cvmfs.freshness_announcement import DAY_SECONDS, DEFAULT_REPLICATION_SECONDS, FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME, FreshnessRecord
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.signed_text import SignedText
from outcrop.errors import InvalidValue, StorageError, TrustError
from outcrop.storage.directory import DirectoryStore
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.history.rollback import RollbackRequest, roll_back
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.freshness import RENEW_WHEN_LEFT, oldest_revision
from outcrop.stratum0.signing.freshness_renewal import (
    announce_freshness,
    current_freshness,
    freshness_warnings,
    refresh,
)
from outcrop.stratum0.signing.rotation import RotationStep, plan_rotation, switch
from tests.conformance.section16 import check_repository
from tests.stratum0.checking import check_published, told
from tests.stratum0.collecting import collect
from tests.stratum0.conftest import BEGINNING, NAME, Publisher
from tests.stratum0.publishing.test_ingest import files, request
from tests.stratum0.signing.test_rotation import step

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
PROMISE = FreshnessAnnouncement(7 * DAY_SECONDS)
STRICT = FreshnessAnnouncement(7 * DAY_SECONDS, replication=0)


@pytest.fixture
def promising(publisher: Publisher) -> Publisher:
    """A repository that promises a record of seven days."""
    announce_freshness(publisher.repository, PROMISE, BEGINNING)
    return publisher


def record_of(publisher: Publisher) -> FreshnessRecord:
    return FreshnessRecord.parse(SignedText.parse(publisher.repository.store.read(FRESHNESS_NAME), "it").text)


@dataclass
class Onlooker:
    """A reader that opens the repository at whatever moment it is asked to, with a memory or without."""

    publisher: Publisher
    directory: Path
    opened: int = 0

    def look(self, now: datetime) -> int:
        """The revision that a reader is given at `now`, whether or not it has been here before."""
        self.opened += 1
        address = RepositoryAddress(NAME, (str(self.publisher.storage),), (self.publisher.repository.keys.public_key,))
        revisions = []
        for state in ("known", f"new-{self.opened}"):
            settings = ClientSettings(
                cache_directory=self.directory / "cache",
                state_directory=self.directory / state,
                now=lambda: now,
            )
            revisions.append(find_current(address, settings).manifest.revision)
        assert len(set(revisions)) == 1
        return revisions[0]


@pytest.fixture
def onlooker(publisher: Publisher, tmp_path: Path) -> Onlooker:
    return Onlooker(publisher, tmp_path / "onlooker")


class WatchedStore(DirectoryStore):
    """A store on which somebody looks after each change of a signed file."""

    def watch(self, look: Callable[[], object]) -> None:
        self.look = look

    def replace(self, name: str, data: bytes) -> None:
        super().replace(name, data)
        self.look()


def watched(publisher: Publisher, look: Callable[[], object]) -> OwnedRepository:
    """The repository of `publisher`, on which `look` is called after each change that a reader could see."""
    repository = publisher.repository
    store = WatchedStore(publisher.storage)
    store.watch(look)
    return OwnedRepository(repository.settings, repository.keys, store)


# The promise


def test_a_new_repository_can_promise_from_its_first_revision(
    new_publisher: Callable[..., Publisher], tmp_path: Path
) -> None:
    made = new_publisher()
    settings = made.repository.settings
    data, storage = made.directory, made.storage
    (data / f"{NAME}.toml").unlink()
    for path in sorted(storage.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    plan = plan_creation(data, settings, Metainfo(freshness=PROMISE))
    assert "freshness record, good for 7 days" in plan.steps()
    publisher = Publisher(create_repository(plan, BEGINNING), data)
    assert record_of(publisher).revision == 1
    assert Onlooker(publisher, tmp_path / "onlooker").look(BEGINNING) == 1


def test_without_a_promise_no_record_is_written(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(request(files(tmp_path / "tree", {"file": "1"})))
    assert not publisher.repository.store.exists(FRESHNESS_NAME)
    assert current_freshness(publisher.repository) is None
    with pytest.raises(InvalidValue, match="promises no freshness record") as caught:
        refresh(publisher.repository, publisher.now)
    assert "--announce" in caught.value.hint


def test_to_announce_changes_the_meta_information_alone(publisher: Publisher) -> None:
    repository = publisher.repository
    key = repository.signing_key()
    before = repository.manifest(key)
    outcome = announce_freshness(repository, PROMISE, BEGINNING)
    after = repository.manifest(key)
    assert outcome.changed
    assert (after.revision, after.root_catalog) == (before.revision, before.root_catalog)
    assert (after.published_at or 0) > (before.published_at or 0)
    assert after.metainfo is not None
    metainfo = Metainfo.parse(repository.load_database(after.metainfo, ObjectKind.METAINFO))
    assert (metainfo.organisation, metainfo.freshness) == ("Tests", PROMISE)
    record = record_of(publisher)
    assert (record.issued, record.expires) == tuple(int(moment.timestamp()) for moment in (BEGINNING, BEGINNING + WEEK))
    assert not announce_freshness(repository, PROMISE, BEGINNING + MINUTE).changed
    assert repository.manifest(key) == after
    check = check_repository(publisher.storage, [publisher.public_key], NAME, now=BEGINNING, all_revisions=True)
    assert check == []


def test_a_dry_run_changes_nothing(promising: Publisher) -> None:
    store = promising.repository.store
    before = [store.read(name) for name in (MANIFEST_NAME, FRESHNESS_NAME)]
    names = set(store.names())
    planned = refresh(promising.repository, BEGINNING + DAY, dry_run=True)
    assert planned.freshness is not None
    assert planned.freshness.holds_until == int((BEGINNING + DAY + WEEK).timestamp())
    assert announce_freshness(promising.repository, None, BEGINNING + DAY, dry_run=True).changed
    assert announce_freshness(promising.repository, STRICT, BEGINNING + DAY, dry_run=True).changed
    assert [store.read(name) for name in (MANIFEST_NAME, FRESHNESS_NAME)] == before
    assert set(store.names()) == names


# No reader is refused at any moment


def test_no_reader_is_refused_while_a_promise_is_made_kept_shortened_and_taken_back(
    publisher: Publisher, onlooker: Onlooker, tmp_path: Path
) -> None:
    now = BEGINNING
    seen: list[int] = []
    repository = watched(publisher, lambda: seen.append(onlooker.look(now)))
    owner = Publisher(repository, publisher.directory, now)

    def publish(content: str) -> None:
        nonlocal now
        now = owner.now + MINUTE
        owner.publish(request(files(tmp_path / content, {"file": content})))

    announce_freshness(repository, PROMISE, now)
    publish("one")
    publish("two")
    owner.now += 6 * DAY
    publish("three")
    now = owner.now = owner.now + 5 * DAY
    announce_freshness(repository, FreshnessAnnouncement(2 * DAY_SECONDS), now)
    refresh(repository, now)
    announce_freshness(repository, None, now)
    publish("four")
    assert seen == sorted(seen)
    assert set(seen) == {1, 2, 3, 4, 5}


def test_a_publish_ends_an_expired_promise_before_readers_see_it(
    promising: Publisher, onlooker: Onlooker, tmp_path: Path
) -> None:
    now = BEGINNING + 2 * WEEK
    with pytest.raises(TrustError, match="expired"):
        onlooker.look(now)
    seen: list[int] = []
    owner = Publisher(
        watched(promising, lambda: seen.append(_look_if_record(onlooker, promising, now))),
        promising.directory,
        now - MINUTE,
    )
    owner.publish(request(files(tmp_path / "tree", {"file": "1"})))
    assert seen[-1] == 2
    assert record_of(promising).issued == int(now.timestamp())


def _look_if_record(onlooker: Onlooker, publisher: Publisher, now: datetime) -> int:
    """The reflog is replaced before the record, when readers are refused as before."""
    return onlooker.look(now) if record_of(publisher).issued == int(now.timestamp()) else 0


def test_readers_are_content_while_the_signing_key_is_replaced(promising: Publisher, onlooker: Onlooker) -> None:
    now = BEGINNING
    steps = set()
    first = record_of(promising).certificate
    while RotationStep.DROP not in steps:
        steps.add(step(promising.repository, now))
        assert onlooker.look(now) == 1
        now += timedelta(seconds=100)
    assert record_of(promising).certificate != first
    refresh(promising.repository, now)
    assert onlooker.look(now) == 1


def test_a_timer_that_comes_within_an_interrupted_rotation_signs_both(promising: Publisher, onlooker: Onlooker) -> None:
    repository, now = promising.repository, BEGINNING
    while plan_rotation(repository, now).step is not RotationStep.SWITCH:
        step(repository, now)
        now += timedelta(seconds=100)
    broken = OwnedRepository(repository.settings, repository.keys, NoManifestStore(promising.storage))
    with pytest.raises(StorageError):
        switch(broken, now)
    refresh(repository, now)
    key = repository.signing_key()
    assert record_of(promising).certificate == repository.manifest(key).certificate
    assert onlooker.look(now) == 1
    switch(repository, now)
    assert onlooker.look(now) == 1


class NoManifestStore(DirectoryStore):
    """A store that takes everything but a new manifest."""

    def replace(self, name: str, data: bytes) -> None:
        if name == MANIFEST_NAME:
            raise StorageError(what=name, problem="is refused")
        super().replace(name, data)


def test_a_rollback_has_a_record_like_every_revision(promising: Publisher, onlooker: Onlooker, tmp_path: Path) -> None:
    for content in ("1", "2"):
        promising.publish(request(files(tmp_path / content, {"file": content})))
    roll_back(promising.repository, RollbackRequest("2"), now=promising.now + MINUTE)
    assert record_of(promising).revision == 4
    assert onlooker.look(promising.now + MINUTE) == 4


# The record


def test_a_record_is_renewed_before_a_publish_only_when_much_of_its_time_is_over(
    promising: Publisher, tmp_path: Path
) -> None:
    issued: list[int] = []
    store = WatchedStore(promising.storage)
    store.watch(lambda: issued.append(record_of(promising).issued))
    repository = OwnedRepository(promising.repository.settings, promising.repository.keys, store)
    half = WEEK * RENEW_WHEN_LEFT
    for owner in (
        Publisher(repository, promising.directory, BEGINNING + half - 2 * MINUTE),
        Publisher(repository, promising.directory, BEGINNING + 2 * half + 2 * MINUTE),
    ):
        issued.clear()
        owner.publish(request(files(tmp_path / str(len(list(tmp_path.iterdir()))), {"file": str(owner.now)})))
        assert issued[-1] == int(owner.now.timestamp())
        # the reflog, then the record if it must be, then the manifest, then the record
        assert len(issued) == (3 if owner.now < BEGINNING + half else 4)


def test_the_record_does_not_go_back_with_the_clock(promising: Publisher) -> None:
    refresh(promising.repository, BEGINNING + MINUTE)
    refresh(promising.repository, BEGINNING)
    assert record_of(promising).issued == int((BEGINNING + MINUTE).timestamp())
    # A record from far ahead was never believed, so it need not be followed.
    refresh(promising.repository, BEGINNING + DAY)
    refresh(promising.repository, BEGINNING)
    assert record_of(promising).issued == int(BEGINNING.timestamp())


def test_servers_may_show_what_was_current_when_copies_began(promising: Publisher, tmp_path: Path) -> None:
    repository = promising.repository
    for content in ("1", "2", "3"):
        promising.publish(request(files(tmp_path / content, {"file": content})))
        promising.now += timedelta(hours=5)
    manifest = repository.manifest(repository.signing_key())
    published = [
        int((BEGINNING + delta).timestamp()) for delta in (timedelta(0), MINUTE, timedelta(hours=5, minutes=2))
    ]
    assert [oldest_revision(repository, manifest, moment) for moment in published] == [1, 2, 3]
    assert oldest_revision(repository, manifest, published[1] - 1) == 1
    assert oldest_revision(repository, manifest, published[0] - 1000) == 1
    assert oldest_revision(repository, manifest, published[2] + DAY_SECONDS) == 4
    # The last record was made when revision 3 was 5 hours old, and 2 had been current 6 hours before.
    assert record_of(promising).oldest == 2
    refresh(repository, promising.now)
    assert record_of(promising).oldest == 3
    refresh(repository, promising.now + timedelta(seconds=DEFAULT_REPLICATION_SECONDS))
    assert record_of(promising).oldest == 4


def test_a_strict_promise_lets_nobody_be_behind(publisher: Publisher, tmp_path: Path) -> None:
    announce_freshness(publisher.repository, STRICT, BEGINNING)
    publisher.publish(request(files(tmp_path / "tree", {"file": "1"})))
    assert (record_of(publisher).oldest, record_of(publisher).revision) == (2, 2)


def test_a_lost_announcement_is_kept_by_what_the_record_says(promising: Publisher, tmp_path: Path) -> None:
    """A publish does not break a promise because the object that makes it cannot be read."""
    repository = promising.repository
    manifest = repository.manifest(repository.signing_key())
    assert manifest.metainfo is not None
    (promising.storage / ObjectName(manifest.metainfo, ObjectKind.METAINFO).path).unlink()
    promising.publish(request(files(tmp_path / "tree", {"file": "1"})))
    record = record_of(promising)
    assert (record.revision, record.expires - record.issued) == (2, 7 * DAY_SECONDS)


@pytest.mark.parametrize("data", [b"", b"x", b"\n--\n"])
def test_a_damaged_record_is_replaced(promising: Publisher, onlooker: Onlooker, data: bytes) -> None:
    promising.repository.store.replace(FRESHNESS_NAME, data)
    freshness = current_freshness(promising.repository)
    assert freshness is not None
    assert freshness.holds_until is None
    assert "is not there" in freshness_warnings(NAME, freshness, BEGINNING)[0]
    refresh(promising.repository, BEGINNING + MINUTE)
    assert onlooker.look(BEGINNING + MINUTE) == 1


def test_garbage_collection_and_check_leave_the_record_alone(promising: Publisher, tmp_path: Path) -> None:
    for content in ("1", "2"):
        promising.publish(request(files(tmp_path / content, {"file": content})))
    before = record_of(promising)
    collect(promising, days=0)
    assert record_of(promising).revision == before.revision
    assert told(check_published(promising), notes=True) == []


def test_it_is_warned_of_while_there_is_time(promising: Publisher) -> None:
    freshness = current_freshness(promising.repository)
    assert freshness_warnings(NAME, freshness, BEGINNING + 5 * DAY) == ()
    (warning,) = freshness_warnings(NAME, freshness, BEGINNING + 6 * DAY)
    assert warning == (
        f"the freshness record of {NAME} expires in 24 hours, on 2026-11-28 at 12:00 UTC: "
        f"`outcrop repo refresh {NAME}` signs it anew"
    )
    assert "expired" in freshness_warnings(NAME, freshness, BEGINNING + 8 * DAY)[0]
    assert freshness_warnings(NAME, None, BEGINNING) == ()
