"""When a manifest is fresh enough to be believed: the rules F1 to F8 that `outcrop.client.trust` lists.

No files, no sockets, no clock: bytes and a date in, decisions out.

Dates are compared with a tolerance, since a record is made on one machine and judged on another. A clock that is wrong
by more has to be mended: a reader whose clock is far behind would take what has long ended for fresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from outcrop.client.trust import (
    NO_BLACKLIST,
    Blacklist,
    Seen,
    TrustedCertificate,
    TrustedManifest,
    listed_certificate,
)
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FreshnessRecord
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.signatures import is_manifest_signature
from outcrop.cvmfs.signed_text import SignedText
from outcrop.errors import TrustError

CLOCK_TOLERANCE_SECONDS = 300
"""By how much the publisher's clock and ours may differ. Kerberos allows the same, so most sites keep to it."""

CACHED_SECONDS = 300
"""How much older than one that was seen a record may be: two caches on the way may hold different ones for a while.
They keep signed files for 61 seconds each, and may stand behind each other."""

_CLOCK = "check this machine's clock; if it is right, "


@dataclass(frozen=True, slots=True)
class ClaimedFreshness:
    """A record that nothing has proved yet. Only its certificate's digest may be used, to fetch the certificate."""

    record: FreshnessRecord
    envelope: SignedText


class Standing(Enum):
    """How a manifest stands to a record that is believed."""

    CURRENT = "current"
    BEHIND = "behind"
    """An older revision than the record's, which servers may still show because copies take their time."""


def demanded_announcement(
    manifest: Manifest, announced: FreshnessAnnouncement | None, seen: Seen | None
) -> FreshnessAnnouncement | None:
    """The promise that a record must keep for `manifest` to be believed; None where nothing is demanded.

    `announced` is what its own meta-information says, `seen` what was accepted before."""
    if announced is not None or seen is None or seen.freshness is None:
        return announced
    # F1: what was announced stays so until a later manifest, signed like any other, does not announce it any more.
    return None if _is_later(manifest, seen) else seen.freshness.announcement


def _is_later(manifest: Manifest, seen: Seen) -> bool:
    if manifest.revision != seen.revision:
        return manifest.revision > seen.revision
    return manifest.published_at is not None and seen.timestamp is not None and manifest.published_at > seen.timestamp


def read_freshness(data: bytes, repository: RepositoryName) -> ClaimedFreshness:
    """What the bytes of `.cvmfs_outcrop_freshness` claim; TrustError if it is about another repository."""
    envelope = SignedText.parse(data, "the freshness record")
    record = FreshnessRecord.parse(envelope.text)
    # F2: for exactly this repository.
    if record.repository != repository:
        raise TrustError(
            what=_what(repository), problem=f"it is the freshness record of another repository, {record.repository}"
        )
    return ClaimedFreshness(record, envelope)


def verify_freshness_certificate(
    stored: bytes, claimed: ClaimedFreshness, trusted: TrustedManifest, blacklist: Blacklist = NO_BLACKLIST
) -> TrustedCertificate:
    """The certificate that `claimed` names, from the bytes `stored` of its object; TrustError if it must not sign."""
    # F3: listed by the same whitelist as the manifest's own, and not blacklisted.
    what = f"the certificate of {_what(claimed.record.repository)}"
    digest = claimed.record.certificate
    return listed_certificate(stored, digest, trusted.whitelist, blacklist, what=what, namer="record")


def verify_freshness(
    claimed: ClaimedFreshness,
    certificate: TrustedCertificate,
    announcement: FreshnessAnnouncement,
    now: datetime,
    seen: Seen | None = None,
) -> FreshnessRecord:
    """The record, believed; TrustError names the rule that it breaks. `seen` is what was accepted before."""
    record, envelope = claimed.record, claimed.envelope
    what = _what(record.repository)
    assert certificate.digest == record.certificate, "the certificate was verified for another record"
    # F4: signed by the certificate's key.
    if not is_manifest_signature(certificate.certificate.public_key, envelope.signature, envelope.signed_bytes):
        raise TrustError(what=what, problem="its signature was not made with the key of its certificate")
    # F5: it holds now. A record that outlives the announced age was made under other terms.
    moment = now.timestamp()
    if moment >= holds_until(record, announcement) + CLOCK_TOLERANCE_SECONDS:
        ended = datetime.fromtimestamp(holds_until(record, announcement), UTC)
        raise TrustError(
            what=what,
            problem=f"it expired on {ended:%Y-%m-%d at %H:%M} UTC",
            hint=f"{_CLOCK}somebody holds news back, or the repository's owner has not renewed it (with `outcrop repo "
            f"refresh {record.repository}`)",
        )
    if record.issued > moment + CLOCK_TOLERANCE_SECONDS:
        issued = datetime.fromtimestamp(record.issued, UTC)
        raise TrustError(
            what=what,
            problem=f"it was issued in the future, on {issued:%Y-%m-%d at %H:%M} UTC",
            hint=f"{_CLOCK}the publisher's is wrong",
        )
    # F6: the record never goes back, by more than caches explain.
    known = newest_issue(seen)
    if known is not None and record.issued < known - CACHED_SECONDS:
        raise TrustError(
            what=what,
            problem=f"it was issued at {record.issued}, before the one of {known} that this machine has seen",
            hint="this server may be behind; try again later, or another server",
        )
    return record


def newest_issue(seen: Seen | None) -> int | None:
    """When the newest record that was seen was issued, in seconds since 1970."""
    return seen.freshness.issued if seen is not None and seen.freshness is not None else None


def holds_until(record: FreshnessRecord, announcement: FreshnessAnnouncement) -> int:
    """When `record` ends, in seconds since 1970: as it says itself, or when it is older than announced."""
    return min(record.expires, record.issued + announcement.maximum_age)


def judge_manifest(manifest: Manifest, record: FreshnessRecord) -> Standing:
    """How `manifest` stands to `record`; TrustError if it is older than any server may show, or contradicts it."""
    what = f"the manifest of {manifest.repository}"
    # F7: not older than copies may be.
    if manifest.revision < record.oldest:
        raise TrustError(
            what=what,
            problem=f"it is an old one, of revision {manifest.revision}; the freshness record says that the current "
            f"one is {record.revision}",
            hint="this server is behind, or somebody holds news back; try another server",
        )
    # F8: one revision, one content.
    if manifest.revision == record.revision and manifest.root_catalog != record.root_catalog:
        raise TrustError(
            what=what,
            problem=f"its revision {manifest.revision} has another content than the freshness record says",
            hint="somebody published two different trees under one number; ask the repository's owner",
        )
    return Standing.BEHIND if manifest.revision < record.revision else Standing.CURRENT


def own_certificate(record: FreshnessRecord, trusted: TrustedManifest) -> TrustedCertificate | None:
    """The certificate of `record` where it is the manifest's own, as it nearly always is; None otherwise."""
    digest: Digest = trusted.manifest.certificate
    return TrustedCertificate(trusted.certificate, digest, trusted.whitelist) if digest == record.certificate else None


def _what(repository: RepositoryName) -> str:
    return f"the freshness record of {repository}"
