"""The published freshness record: made, read, and kept valid around every publish.

What is promised stands in the published meta-information, nowhere else. The record is a file that is replaced as a
whole, so no reader ever finds none once it was announced. In a publish (`outcrop.stratum0.publishing.publication`):

1. before the manifest, only if readers would refuse the record that lies there (it is missing, has ended, or is not
   ours): one for the revision that they see. With a first announcement it is there before anybody demands it.
2. the manifest.
3. one for the new revision. A reader that has the new manifest with the old record believes both: a record may be older
   than the manifest. One with the old manifest and the new record does too, as long as copies may be behind (`oldest`).
"""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME, FreshnessRecord
from outcrop.cvmfs.history import History
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.metainfo import announced_freshness
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind
from outcrop.cvmfs.signed_text import SignedText
from outcrop.errors import FormatError, IntegrityError, NotFound
from outcrop.storage.memory import DiscardingStore
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.keys import SigningKey

RENEW_WHEN_LEFT = 0.5
"""A record is renewed before a publish when less than this part of its time is left: what goes out now must outlast the
way to every reader."""

CLOCK_STEP_SECONDS = 300
"""By how much a clock that is set right may go back: what readers tolerate in the other direction."""


@dataclass(frozen=True, slots=True)
class PublishedFreshness:
    """What readers see: the promise, and the record that is to keep it (None if there is none of ours)."""

    announcement: FreshnessAnnouncement
    record: FreshnessRecord | None

    @property
    def holds_until(self) -> int | None:
        """When readers begin to refuse, in seconds since 1970; None if they do so now."""
        if self.record is None:
            return None
        return min(self.record.expires, self.record.issued + self.announcement.maximum_age)


def promised_freshness(
    repository: OwnedRepository, key: SigningKey, manifest: Manifest
) -> FreshnessAnnouncement | None:
    """What the meta-information of `manifest` announces; None if nothing.

    If it cannot be read, the record that lies there tells what was promised, so that a publish never breaks it."""
    if manifest.metainfo is None:
        return None
    try:
        return announced_freshness(repository.load_database(manifest.metainfo, ObjectKind.METAINFO))
    except (NotFound, FormatError, IntegrityError):
        record = _own_record(repository, key)
        return FreshnessAnnouncement(record.expires - record.issued) if record else None


def published_freshness(repository: OwnedRepository, key: SigningKey, manifest: Manifest) -> PublishedFreshness | None:
    """What is promised of `manifest`, and how it is kept; None where nothing is."""
    announcement = promised_freshness(repository, key, manifest)
    return PublishedFreshness(announcement, _own_record(repository, key)) if announcement else None


def keep_readers_content(
    repository: OwnedRepository, key: SigningKey, upcoming: Manifest, announcement: FreshnessAnnouncement, now: int
) -> None:
    """Makes sure, before `upcoming` is published, that readers accept the record that lies there, now and after it."""
    published = PublishedFreshness(announcement, _own_record(repository, key))
    until = published.holds_until
    if until is not None and until - now >= announcement.maximum_age * RENEW_WHEN_LEFT:
        return
    publish_record(repository, key, _visible_manifest(repository) or upcoming, announcement, now)


def publish_record(
    repository: OwnedRepository, key: SigningKey, manifest: Manifest, announcement: FreshnessAnnouncement, now: int
) -> FreshnessRecord:
    """Signs a record that says that `manifest` is current, and makes it what readers see. The caller is the only
    publisher, and has seen to it that the reflog names the certificate of `key`."""
    record = next_record(repository, key, manifest, announcement, now)
    repository.store_database(key.certificate.pem, ObjectKind.CERTIFICATE)
    repository.store.replace(FRESHNESS_NAME, signed_record(repository, key, record))
    return record


def next_record(
    repository: OwnedRepository, key: SigningKey, manifest: Manifest, announcement: FreshnessAnnouncement, now: int
) -> FreshnessRecord:
    """What a record says that is signed `now`. Nothing is stored."""
    nowhere = DiscardingStore(repository.store)
    issued = _not_before(now, _own_record(repository, key))
    return FreshnessRecord(
        repository=repository.name,
        revision=manifest.revision,
        root_catalog=manifest.root_catalog,
        oldest=oldest_revision(repository, manifest, now - announcement.replication),
        issued=issued,
        expires=issued + announcement.maximum_age,
        certificate=repository.store_database(key.certificate.pem, ObjectKind.CERTIFICATE, nowhere),
    )


def _not_before(now: int, previous: FreshnessRecord | None) -> int:
    """`now`, but not before the time of the `previous` record, for readers refuse what goes back. One that a wrong
    clock has put further into the future was never believed by anybody."""
    if previous is None or not now < previous.issued <= now + CLOCK_STEP_SECONDS:
        return now
    return previous.issued


def oldest_revision(repository: OwnedRepository, manifest: Manifest, moment: int) -> Revision:
    """The revision that was current at `moment` (seconds since 1970), as far as the history of `manifest` tells.

    Where every known revision is younger, the oldest of them."""
    known: dict[int, int] = {}
    if manifest.history is not None:
        with History.parse(repository.load_database(manifest.history, ObjectKind.HISTORY)) as history:
            known = {tag.revision: tag.timestamp for tag in history.tags()}
            known |= {account.revision: account.timestamp for account in history.accounts()}
    known.setdefault(manifest.revision, manifest.published_at or 0)
    before = [revision for revision, published in known.items() if published <= moment]
    return Revision(min(max(before) if before else min(known), manifest.revision))


def signed_record(repository: OwnedRepository, key: SigningKey, record: FreshnessRecord) -> bytes:
    """The bytes of `.cvmfs_outcrop_freshness` that say `record`; TrustError if the key is damaged."""
    algorithm = repository.settings.algorithm
    return key.sign_text(record.encode(), repository.name, algorithm, "no freshness record was published")


def _own_record(repository: OwnedRepository, key: SigningKey) -> FreshnessRecord | None:
    """The record that readers see, if one of our keys signed it for this repository."""
    try:
        signed = SignedText.parse(repository.store.read(FRESHNESS_NAME), "the freshness record")
        record = FreshnessRecord.parse(signed.text)
    except (NotFound, FormatError, IntegrityError):
        return None
    return record if key.is_ours(signed) and record.repository == repository.name else None


def _visible_manifest(repository: OwnedRepository) -> Manifest | None:
    """The manifest that readers see, None before the first. The caller has checked that it is ours."""
    try:
        return Manifest.parse(SignedText.parse(repository.store.read(MANIFEST_NAME), "the manifest").text)
    except NotFound:
        return None
