"""Keys that are replaced: no reader is refused at any moment, and a kill at any moment is mended by the same call."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress
from outcrop.client.repository import ClientSettings, trusted_manifest
from outcrop.client.state import SeenRevisions, keys_digest
from outcrop.client.trust import Seen, TrustedManifest
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME
from outcrop.cvmfs.signatures import load_public_key
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import AlreadyExists, FormatError, NotFound, StorageError, TrustError
from outcrop.storage.interface import DEFAULT_READ_LIMIT
from outcrop.storage.memory import MemoryStore
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import read_certificate, read_private_key
from outcrop.stratum0.signing.keys import load_signing_key
from outcrop.stratum0.signing.master_key import FileMasterKey
from outcrop.stratum0.signing.master_rotation import MasterRotation, activate, master_rotation, prepare
from outcrop.stratum0.signing.offline_signing import import_signature, make_request, sign_request
from outcrop.stratum0.signing.rotation import (
    CACHED_SECONDS,
    RotationStep,
    begin,
    default_grace,
    next_step,
    plan_rotation,
    replace_grace,
    steps_of_run,
    switch,
)
from outcrop.stratum0.signing.rotation_record import RotationPhase, RotationRecord, load_rotation, save_rotation
from outcrop.stratum0.signing.whitelist_care import (
    own_fingerprint,
    published_whitelist,
    renew_whitelist,
    require_valid_whitelist,
)
from tests.conformance.section16 import check_repository
from tests.stratum0.conftest import BEGINNING, NAME, Publisher
from tests.stratum0.publishing.test_ingest import files, request

GRACE = timedelta(seconds=301)
SECOND = timedelta(seconds=1)


def step(repository: OwnedRepository, now: datetime) -> RotationStep:
    """Takes the step that is due at `now`, and says which it was."""
    plan = plan_rotation(repository, now)
    match plan.step:
        case RotationStep.BEGIN:
            begin(repository, now, plan.grace)
        case RotationStep.ANNOUNCE | RotationStep.DROP:
            renew_whitelist(repository, now)
        case RotationStep.SWITCH:
            switch(repository, now)
    return plan.step


def published(repository: OwnedRepository) -> Whitelist:
    return published_whitelist(repository).whitelist


def check(publisher: Publisher, now: datetime) -> None:
    keys = [publisher.public_key]
    assert check_repository(publisher.storage, keys, NAME, now=now + SECOND, all_revisions=True) == []


# Readers


class Snapshots:
    """What the server has had, and what a cache may therefore still give."""

    def __init__(self, repository: OwnedRepository) -> None:
        self.repository = repository
        self.taken: dict[str, list[tuple[datetime, bytes]]] = {MANIFEST_NAME: [], WHITELIST_NAME: []}

    def take(self, now: datetime) -> None:
        for name, versions in self.taken.items():
            data = self.repository.store.read(name)
            if not versions or versions[-1][1] != data:
                versions.append((now, data))

    def possible(self, name: str, now: datetime) -> list[bytes]:
        """The versions that a cache may hand out at `now`: what was replaced longer ago than it keeps files is gone."""
        versions = self.taken[name]
        ends = [since for since, _ in versions[1:]] + [datetime.max.replace(tzinfo=now.tzinfo)]
        oldest = now - timedelta(seconds=CACHED_SECONDS)
        return [data for (since, data), end in zip(versions, ends, strict=True) if since <= now and end > oldest]


@dataclass
class Cached:
    """The store behind a cache that gives one version of each signed file."""

    store: OwnedRepository
    signed: dict[str, bytes]
    address: str = "a cache"

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        return self.signed[name] if name in self.signed else self.store.store.read(name, limit=limit)


def trust(publisher: Publisher, now: datetime, signed: dict[str, bytes], seen: Seen | None) -> TrustedManifest:
    settings = ClientSettings(now=lambda: now)
    key = load_public_key(publisher.public_key, "the public key")
    return trusted_manifest(Cached(publisher.repository, signed), NAME, (key,), seen, settings)  # type: ignore[arg-type]


def test_no_reader_is_refused_at_any_moment_whatever_its_caches_hold(publisher: Publisher, tmp_path: Path) -> None:
    repository = publisher.repository
    publisher.publish(request(files(tmp_path / "tree", {"file": "1"})))
    snapshots, remembered, steps = Snapshots(repository), None, []
    newest = 0
    now = publisher.now
    end = now + 3 * GRACE
    while now < end:
        steps.append(step(repository, now))
        snapshots.take(now)
        manifests, whitelists = (snapshots.possible(name, now) for name in (MANIFEST_NAME, WHITELIST_NAME))
        for manifest, whitelist in product(manifests, whitelists):
            trust(publisher, now, {MANIFEST_NAME: manifest, WHITELIST_NAME: whitelist}, None)
        # One who remembers what it has seen never sees a file go back: one cache gives its manifests in order.
        oldest = snapshots.taken[MANIFEST_NAME].index((_since(snapshots, manifests[0]), manifests[0]))
        newest = max(newest, oldest)
        manifest = snapshots.taken[MANIFEST_NAME][newest][1]
        for whitelist in whitelists:
            remembered = trust(publisher, now, {MANIFEST_NAME: manifest, WHITELIST_NAME: whitelist}, remembered).seen
        if not repository.keys.rotation.exists():
            break
        now += timedelta(seconds=20)
    assert list(dict.fromkeys(steps)) == list(RotationStep)
    assert len(snapshots.taken[MANIFEST_NAME]) == 2
    assert len(snapshots.taken[WHITELIST_NAME]) == 3
    assert published(repository).fingerprints == (own_fingerprint(repository),)
    check(publisher, now)
    assert publisher.publish(request(files(tmp_path / "more", {"file": "2"}))).published


def _since(snapshots: Snapshots, data: bytes) -> datetime:
    return next(since for since, one in snapshots.taken[MANIFEST_NAME] if one == data)


def test_a_reader_with_a_state_directory_goes_on_after_a_rotation(publisher: Publisher, tmp_path: Path) -> None:
    from outcrop.client.repository import open_repository

    repository = publisher.repository
    address = RepositoryAddress(NAME, (str(publisher.storage),), (repository.keys.public_key,))

    def read(now: datetime) -> None:
        settings = ClientSettings(
            cache_directory=tmp_path / "cache", state_directory=tmp_path / "state", now=lambda: now
        )
        with open_repository(address, settings) as opened:
            assert opened.notes == []

    now = BEGINNING
    read(now)
    while step(repository, now) is not RotationStep.DROP:
        read(now)
        now += GRACE / 2
    read(now)
    seen = SeenRevisions(tmp_path / "state")
    key = load_public_key(publisher.public_key, "the public key")
    assert seen.recall(NAME, keys_digest([key])) is not None


def test_without_the_grace_a_reader_behind_a_cache_would_be_refused(publisher: Publisher) -> None:
    """The test above can fail: a switch right after the announcement does cut readers off."""
    repository = publisher.repository
    snapshots = Snapshots(repository)
    snapshots.take(BEGINNING)
    begin(repository, BEGINNING, timedelta(0))
    renew_whitelist(repository, BEGINNING + SECOND)
    switch(repository, BEGINNING + 2 * SECOND)
    old_whitelist = snapshots.taken[WHITELIST_NAME][0][1]
    signed = {MANIFEST_NAME: repository.store.read(MANIFEST_NAME), WHITELIST_NAME: old_whitelist}
    with pytest.raises(TrustError, match="does not list it"):
        trust(publisher, BEGINNING + 3 * SECOND, signed, None)


# The steps


def test_the_grace_covers_caches_and_the_time_to_live(new_publisher: Callable[..., Publisher]) -> None:
    repository = new_publisher(ttl=900).repository
    assert default_grace(repository) == timedelta(seconds=61 + 900)
    assert plan_rotation(repository, BEGINNING).grace == timedelta(seconds=961)
    assert plan_rotation(repository, BEGINNING, timedelta(hours=2)).grace == timedelta(hours=2)


@pytest.mark.parametrize("with_certificate", [True, False])
def test_a_lost_signing_key_is_replaced_and_no_reader_is_refused(publisher: Publisher, with_certificate: bool) -> None:
    repository = publisher.repository
    repository.keys.signing_key.unlink()
    if not with_certificate:
        repository.keys.certificate.unlink()
    now = publisher.now
    plan = plan_rotation(repository, now, lost=True)
    assert plan.step is RotationStep.BEGIN
    begin(repository, now, plan.grace, lost=True)
    taken = []
    while load_rotation(repository.keys) is not None:
        taken.append(step(repository, now))
        check(publisher, now)
        now += plan.grace
    assert [one for one in taken if not one.waits] == [RotationStep.ANNOUNCE, RotationStep.SWITCH, RotationStep.DROP]
    assert repository.manifest(repository.signing_key()).revision == 1


def test_a_lost_key_whose_certificate_nobody_vouches_for_is_not_replaced(publisher: Publisher) -> None:
    repository = publisher.repository
    begin(repository, publisher.now, GRACE)
    renew_whitelist(repository, publisher.now)
    other = read_certificate(repository.keys.next_certificate).fingerprint(repository.settings.algorithm)
    save_rotation(repository.keys, None)
    for path in (repository.keys.next_signing_key, repository.keys.next_certificate):
        path.replace(path.with_suffix(""))
    renew_whitelist(repository, publisher.now, drop=[one for one in published(repository).fingerprints if one != other])
    for path in (repository.keys.signing_key, repository.keys.certificate):
        path.unlink()
    with pytest.raises(TrustError, match="does not list the certificate"):
        plan_rotation(repository, publisher.now, lost=True)


def test_a_switch_before_its_time_changes_nothing(publisher: Publisher) -> None:
    repository = publisher.repository
    begin(repository, BEGINNING, GRACE)
    with pytest.raises(TrustError, match="have not had the time"):
        switch(repository, BEGINNING)
    renew_whitelist(repository, BEGINNING)
    before = repository.keys.signing_key.read_bytes()
    with pytest.raises(TrustError, match="have not had the time"):
        switch(repository, BEGINNING + GRACE - SECOND)
    assert repository.keys.signing_key.read_bytes() == before
    switch(repository, BEGINNING + GRACE)


def test_a_publish_between_any_two_steps_works_and_is_read(publisher: Publisher, tmp_path: Path) -> None:
    repository = publisher.repository
    for number in range(6):
        taken = step(repository, publisher.now)
        publisher.publish(request(files(tmp_path / str(number), {"file": str(number)})))
        check(publisher, publisher.now)
        assert require_valid_whitelist(repository, publisher.now, allow_expiring=False) == ()
        if taken in (RotationStep.ANNOUNCE, RotationStep.SWITCH):
            publisher.now += GRACE
    assert load_rotation(repository.keys) is not None  # the sixth step began another


def test_every_renewal_lists_what_readers_need_and_the_last_one_ends_the_rotation(publisher: Publisher) -> None:
    repository = publisher.repository
    old = own_fingerprint(repository)
    record = begin(repository, BEGINNING, GRACE)
    assert begin(repository, BEGINNING, GRACE) == record
    for _ in range(2):
        renew_whitelist(repository, BEGINNING)
        assert set(published(repository).fingerprints) == {old, record.new}
    switch(repository, BEGINNING + GRACE)
    assert own_fingerprint(repository) == record.new
    renew_whitelist(repository, BEGINNING + 2 * GRACE - SECOND)
    assert set(published(repository).fingerprints) == {old, record.new}
    renew_whitelist(repository, BEGINNING + 2 * GRACE)
    assert published(repository).fingerprints == (record.new,)
    assert load_rotation(repository.keys) is None
    assert not list(publisher.directory.glob("*.next")) + list(publisher.directory.glob("*.previous"))


def test_a_whitelist_that_lost_the_next_certificate_is_announced_anew(publisher: Publisher) -> None:
    repository = publisher.repository
    begin(repository, BEGINNING, GRACE)
    before = repository.store.read(WHITELIST_NAME)
    renew_whitelist(repository, BEGINNING)
    repository.store.replace(WHITELIST_NAME, before)  # a backup was played back
    later = BEGINNING + 10 * GRACE
    with pytest.raises(TrustError):
        switch(repository, later)
    assert step(repository, later) is RotationStep.ANNOUNCE
    with pytest.raises(TrustError):
        switch(repository, later + GRACE - SECOND)
    assert step(repository, later + GRACE) is RotationStep.SWITCH


def test_an_offline_master_key_announces_and_ends_a_rotation_by_requests(publisher: Publisher) -> None:
    repository = publisher.repository
    key = FileMasterKey("elsewhere", read_private_key(repository.keys.master_key))
    repository.keys.master_key.unlink()
    record = begin(repository, BEGINNING, GRACE)
    now = BEGINNING
    for expected in ({record.old, record.new}, {record.new}):
        asked = make_request(repository, now, 30)
        assert set(asked.whitelist.fingerprints) == expected
        # The signature takes days to come back; the grace begins when readers can see the whitelist.
        now += timedelta(days=3)
        import_signature(repository, asked, sign_request(asked, key), now)
        if len(expected) == 2:
            with pytest.raises(TrustError):
                switch(repository, now + GRACE - SECOND)
            now += GRACE
            switch(repository, now)
            now += GRACE
    assert load_rotation(repository.keys) is None


@pytest.mark.parametrize(
    ("first", "wait", "finish", "last"),
    [
        (RotationStep.BEGIN, False, False, RotationStep.ANNOUNCE),
        (RotationStep.BEGIN, True, False, RotationStep.SWITCH),
        (RotationStep.BEGIN, True, True, RotationStep.DROP),
        (RotationStep.WAIT_TO_SWITCH, False, False, None),
        (RotationStep.SWITCH, False, False, RotationStep.SWITCH),
        (RotationStep.SWITCH, False, True, RotationStep.SWITCH),
        (RotationStep.DROP, False, False, None),
        (RotationStep.DROP, False, True, RotationStep.DROP),
    ],
)
def test_one_call_goes_as_far_as_it_may(
    first: RotationStep, wait: bool, finish: bool, last: RotationStep | None
) -> None:
    steps = steps_of_run(first, wait=wait, finish=finish)
    assert (steps[-1] if steps else None) is last
    assert not steps or steps[0] is first


def test_a_clock_that_went_back_only_makes_a_rotation_wait(publisher: Publisher) -> None:
    repository = publisher.repository
    begin(repository, BEGINNING, GRACE)
    renew_whitelist(repository, BEGINNING)
    assert plan_rotation(repository, BEGINNING - timedelta(days=1)).step is RotationStep.WAIT_TO_SWITCH


def test_the_record_survives_its_file_and_refuses_what_is_none(publisher: Publisher) -> None:
    key_files = publisher.repository.keys
    record = begin(publisher.repository, BEGINNING, GRACE)
    half = replace(record, announced_at=BEGINNING + timedelta(milliseconds=500))
    save_rotation(key_files, half)
    assert load_rotation(key_files) == replace(record, announced_at=BEGINNING + SECOND)
    assert record.phase is RotationPhase.PREPARED
    for text in ("", "{}", '{"old": 1}', key_files.rotation.read_text().replace('"grace"', '"gracious"')):
        key_files.rotation.write_text(text)
        with pytest.raises(FormatError):
            load_rotation(key_files)


def test_next_step_without_any_whitelist_is_to_announce(publisher: Publisher) -> None:
    record = begin(publisher.repository, BEGINNING, GRACE)
    announced = replace(record, announced_at=BEGINNING)
    assert next_step(announced, None, BEGINNING + GRACE) is RotationStep.ANNOUNCE


def test_a_new_grace_holds_for_what_is_left_of_a_rotation(publisher: Publisher) -> None:
    repository = publisher.repository
    begin(repository, BEGINNING, GRACE)
    renew_whitelist(repository, BEGINNING)
    plan = plan_rotation(repository, BEGINNING, timedelta(0))
    assert (plan.step, plan.grace, plan.replaced_grace) == (RotationStep.SWITCH, timedelta(0), GRACE)
    assert plan_rotation(repository, BEGINNING).step is RotationStep.WAIT_TO_SWITCH, "a plan changes nothing"

    replace_grace(repository, timedelta(0))
    assert plan_rotation(repository, BEGINNING, timedelta(0)).replaced_grace is None
    assert [step(repository, BEGINNING) for _ in range(2)] == [RotationStep.SWITCH, RotationStep.DROP]
    assert load_rotation(repository.keys) is None
    replace_grace(repository, GRACE)
    assert load_rotation(repository.keys) is None
    check(publisher, BEGINNING)


# Killed at any moment


class Stopped(Exception):
    """The process ends here."""


class StoppingStore(MemoryStore):
    """Ends the process before its Nth write."""

    def __init__(self, inner: MemoryStore, after: int) -> None:
        super().__init__(inner.address)
        self.objects = dict(inner.objects)
        self.left = after

    def _count(self) -> None:
        if self.left == 0:
            raise Stopped
        self.left -= 1

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        self._count()
        return super().write(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self._count()
        super().replace(name, data)


def in_memory(publisher: Publisher) -> OwnedRepository:
    store = MemoryStore("memory")
    for path in publisher.storage.rglob("*"):
        if path.is_file():
            store.objects[str(path.relative_to(publisher.storage))] = path.read_bytes()
    return replace(publisher.repository, store=store)


def readers_are_content(publisher: Publisher, repository: OwnedRepository, now: datetime) -> None:
    key = load_public_key(publisher.public_key, "the public key")
    trusted_manifest(repository.store, NAME, (key,), None, ClientSettings(now=lambda: now))


def test_a_rotation_that_is_stopped_before_any_write_goes_on(publisher: Publisher, tmp_path: Path) -> None:
    whole = in_memory(publisher)
    keys_before = shutil.copytree(publisher.directory, tmp_path / "keys before")
    stops = 0
    for after in range(20):
        shutil.rmtree(publisher.directory)
        shutil.copytree(keys_before, publisher.directory)
        assert isinstance(whole.store, MemoryStore)
        store = StoppingStore(whole.store, after)
        repository = replace(whole, store=store)
        now, stopped = BEGINNING, False
        for _ in range(12):
            try:
                if step(repository, now) is RotationStep.DROP:
                    break
            except Stopped:
                stopped, store.left = True, -1
            readers_are_content(publisher, repository, now)
            now += GRACE
        else:
            pytest.fail("the rotation did not come to its end")
        readers_are_content(publisher, repository, now)
        assert load_rotation(repository.keys) is None
        assert load_signing_key(repository.keys).others == ()
        if not stopped:
            break
        stops += 1
    assert stops >= 5  # three whitelists or manifests, and the objects of the new signature


def swapped_by_halves(files_there: Path, name: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """What a kill leaves of a switch, renames in their order."""

    def file(suffix: str) -> Path:
        return files_there / f"{name}.{suffix}"

    def after_copy() -> None:
        shutil.copy(file("crt"), file("crt.previous"))

    def after_key() -> None:
        after_copy()
        file("key.next").rename(file("key"))

    def after_certificate() -> None:
        after_key()
        file("crt.next").rename(file("crt"))

    yield from {"copy": after_copy, "key": after_key, "certificate": after_certificate}.items()


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("then", ["rotate", "publish", "resign"])
def test_a_switch_that_is_killed_between_its_renames_is_no_trouble(
    publisher: Publisher, tmp_path: Path, stage: int, then: str
) -> None:
    repository = publisher.repository
    record = begin(repository, BEGINNING, GRACE)
    renew_whitelist(repository, BEGINNING)
    publisher.now += GRACE
    list(swapped_by_halves(publisher.directory, NAME))[stage][1]()
    readers_are_content(publisher, repository, publisher.now)
    if then == "publish":
        publisher.publish(request(files(tmp_path / "tree", {"file": "1"})))
    elif then == "resign":
        renew_whitelist(repository, publisher.now)
        assert set(published(repository).fingerprints) == {record.old, record.new}
    readers_are_content(publisher, repository, publisher.now)
    assert step(repository, publisher.now) is RotationStep.SWITCH
    assert own_fingerprint(repository) == record.new
    assert step(repository, publisher.now + GRACE) is RotationStep.DROP
    check(publisher, publisher.now + GRACE)
    publisher.publish(request(files(tmp_path / "last", {"file": "2"})))


# The master key


def both_keys(publisher: Publisher, *paths: Path) -> Callable[[datetime], None]:
    """A reader that holds several public keys."""
    keys = tuple(load_public_key(path.read_bytes(), str(path)) for path in paths)

    def read(now: datetime) -> None:
        trusted_manifest(publisher.repository.store, NAME, keys, None, ClientSettings(now=lambda: now))

    return read


def test_a_reader_with_both_public_keys_notices_no_change_of_the_master_key(publisher: Publisher) -> None:
    repository, key_files = publisher.repository, publisher.repository.keys
    old = key_files.public_key.read_bytes()
    prepare(repository)
    new = key_files.next_public_key.read_bytes()
    assert prepare(repository) == []
    assert master_rotation(repository) is MasterRotation.PREPARED
    read = both_keys(publisher, key_files.public_key, key_files.next_public_key)
    read(BEGINNING)
    renew_whitelist(repository, BEGINNING)
    read(BEGINNING)
    activate(repository, BEGINNING + SECOND)
    read(BEGINNING + SECOND)
    assert (key_files.public_key.read_bytes(), key_files.previous_public_key.read_bytes()) == (new, old)
    assert master_rotation(repository) is MasterRotation.NONE
    with pytest.raises(TrustError):
        both_keys(publisher, key_files.previous_public_key)(BEGINNING + SECOND)
    renew_whitelist(repository, BEGINNING + 2 * SECOND)
    check(publisher, BEGINNING + 2 * SECOND)
    with pytest.raises(AlreadyExists, match="rotation before"):
        prepare(repository)


def test_a_master_key_that_was_not_prepared_is_not_activated(publisher: Publisher) -> None:
    with pytest.raises(NotFound, match="next master key"):
        activate(publisher.repository, BEGINNING)


@pytest.mark.parametrize("stage", ["signed", "master key", "public key missing"])
def test_an_activation_that_is_killed_is_ended_by_the_same_call(publisher: Publisher, stage: str) -> None:
    repository, key_files = publisher.repository, publisher.repository.keys
    prepare(repository)
    read = both_keys(publisher, key_files.public_key, key_files.next_public_key)
    kept = {path: path.read_bytes() for path in publisher.directory.glob(f"{NAME}.*") if path.is_file()}
    activate(repository, BEGINNING + SECOND)
    for path in publisher.directory.glob("*.previous"):
        if stage == "signed" or path == key_files.previous_public_key:
            path.unlink()
    restored = [key_files.public_key, key_files.next_public_key]
    if stage == "signed":
        restored += [key_files.master_key, key_files.next_master_key]
    for path in restored:
        path.write_bytes(kept[path])
        path.chmod(0o600)
    assert require_valid_whitelist(repository, BEGINNING + SECOND, allow_expiring=False) == ()
    if stage == "master key":
        renew_whitelist(repository, BEGINNING + 2 * SECOND)
    read(BEGINNING + 2 * SECOND)
    activate(repository, BEGINNING + 3 * SECOND)
    read(BEGINNING + 3 * SECOND)
    assert key_files.public_key.read_bytes() == kept[key_files.next_public_key]
    assert key_files.master_key.read_bytes() == kept[key_files.next_master_key]
    assert key_files.previous_public_key.read_bytes() == kept[key_files.public_key]
    assert not key_files.next_master_key.exists()


def test_a_next_master_key_that_is_elsewhere_is_activated_by_its_signature(
    publisher: Publisher, tmp_path: Path
) -> None:
    repository, key_files = publisher.repository, publisher.repository.keys
    prepare(repository)
    elsewhere = FileMasterKey("elsewhere", read_private_key(key_files.next_master_key))
    key_files.next_master_key.unlink()
    assert prepare(repository) == []
    with pytest.raises(NotFound, match="private half"):
        activate(repository, BEGINNING)
    asked = make_request(repository, BEGINNING + SECOND, 30)
    import_signature(repository, asked, sign_request(asked, elsewhere), BEGINNING + SECOND)
    assert master_rotation(repository) is MasterRotation.SIGNED
    assert activate(repository, BEGINNING + SECOND) is None
    both_keys(publisher, key_files.public_key)(BEGINNING + SECOND)
    assert not key_files.master_key.exists()
    assert key_files.previous_master_key.exists()


def test_a_disk_that_refuses_leaves_the_key_in_use(publisher: Publisher) -> None:
    repository = publisher.repository
    record: RotationRecord = begin(repository, BEGINNING, GRACE)
    renew_whitelist(repository, BEGINNING)
    blocker = repository.keys.previous_certificate
    blocker.mkdir()
    with pytest.raises(StorageError):
        switch(repository, BEGINNING + GRACE)
    assert read_certificate(repository.keys.certificate).fingerprint(repository.settings.algorithm) == record.old
    blocker.rmdir()
    switch(repository, BEGINNING + GRACE)
