"""What an owner does about the freshness record besides publishing: renew it, announce it, take the promise back.

To announce or withdraw is to publish another meta-information, signed like any change; the revision stays. A promise
that is taken back leaves its record where it is: readers behind caches may ask for it until they see the new manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FreshnessRecord
from outcrop.cvmfs.history import History
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.metainfo import Metainfo, with_freshness
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import InvalidValue
from outcrop.stratum0.publishing.publication import publish_metainfo, publish_tags
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.freshness import (
    PublishedFreshness,
    next_record,
    promised_freshness,
    publish_record,
    published_freshness,
)
from outcrop.stratum0.signing.keys import SigningKey
from outcrop.stratum0.signing.whitelist_care import require_valid_whitelist
from outcrop.stratum0.signing.whitelist_rules import remaining

WARN_WHEN_LEFT = 0.25
"""A timer that works renews a record long before only this part of its time is left."""


@dataclass(frozen=True, slots=True)
class FreshnessOutcome:
    """What readers see now, or would see after a dry run: `freshness` is None where nothing is promised any more.

    `changed` says whether the promise is another one; `notes` are what the publisher should know besides."""

    freshness: PublishedFreshness | None
    changed: bool
    notes: tuple[str, ...] = ()


def current_freshness(repository: OwnedRepository) -> PublishedFreshness | None:
    """What readers see; None where nothing is promised. TrustError if the repository is not ours."""
    key = repository.signing_key()
    return published_freshness(repository, key, repository.manifest(key))


def freshness_warnings(name: RepositoryName, freshness: PublishedFreshness | None, now: datetime) -> tuple[str, ...]:
    """What is to be said of a promise that is broken, or will be unless somebody acts soon."""
    if freshness is None:
        return ()
    renew = f"`outcrop repo refresh {name}` signs it anew"
    if freshness.holds_until is None:
        return (f"the freshness record that {name} promises is not there, so readers refuse it: {renew}",)
    until = datetime.fromtimestamp(freshness.holds_until, UTC)
    if until - now > timedelta(seconds=freshness.announcement.maximum_age) * WARN_WHEN_LEFT:
        return ()
    return (f"the freshness record of {name} {remaining(until, now)}: {renew}",)


def refresh(repository: OwnedRepository, now: datetime, *, dry_run: bool = False) -> FreshnessOutcome:
    """Signs the record anew for the revision that readers see. With `dry_run` nothing is stored.

    InvalidValue if none is promised; TrustError if readers would not believe it."""
    key = repository.signing_key()
    notes = require_valid_whitelist(repository, now, allow_expiring=True)
    with repository.publishing():
        manifest = repository.manifest(key)
        announcement = promised_freshness(repository, key, manifest)
        if announcement is None:
            raise InvalidValue(
                what=f"the repository {repository.name}",
                problem="promises no freshness record",
                hint=f"`outcrop repo refresh {repository.name} --announce 7` promises one that holds for 7 days",
            )
        record = _renewed(repository, key, manifest, announcement, now, dry_run)
    return FreshnessOutcome(PublishedFreshness(announcement, record), False, notes)


def _renewed(
    repository: OwnedRepository,
    key: SigningKey,
    manifest: Manifest,
    announcement: FreshnessAnnouncement,
    now: datetime,
    dry_run: bool,
) -> FreshnessRecord:
    moment = int(now.timestamp())
    record = next_record(repository, key, manifest, announcement, moment)
    if dry_run:
        return record
    if record.certificate != manifest.certificate:
        # The key was replaced, the manifest not yet signed with it. Now it is: the reflog names the certificate.
        manifest = publish_tags(repository, key, manifest, _no_change, moment)
    return publish_record(repository, key, manifest, announcement, moment)


def announce_freshness(
    repository: OwnedRepository, announcement: FreshnessAnnouncement | None, now: datetime, *, dry_run: bool = False
) -> FreshnessOutcome:
    """Promises records as `announcement` says from now on, or none any more. With `dry_run` nothing is stored.

    FormatError if the meta-information that is published cannot be read; TrustError if readers would not believe it."""
    key = repository.signing_key()
    notes = require_valid_whitelist(repository, now, allow_expiring=True)
    moment = int(now.timestamp())
    with repository.publishing():
        manifest = repository.manifest(key)
        before = published_freshness(repository, key, manifest)
        changed = (before.announcement if before else None) != announcement
        if changed and not dry_run:
            metainfo = with_freshness(_published_metainfo(repository, manifest), announcement)
            manifest = publish_metainfo(repository, key, manifest, metainfo, moment)
        if announcement is None:
            return FreshnessOutcome(None, changed, notes)
        make = next_record if dry_run else publish_record
        record = make(repository, key, manifest, announcement, moment)
    return FreshnessOutcome(PublishedFreshness(announcement, record), changed, notes)


def _published_metainfo(repository: OwnedRepository, manifest: Manifest) -> bytes:
    if manifest.metainfo is None:
        return Metainfo().encode()
    return repository.load_database(manifest.metainfo, ObjectKind.METAINFO)


def _no_change(_history: History) -> None:
    """The tags stay as they are; only the signature is another."""
