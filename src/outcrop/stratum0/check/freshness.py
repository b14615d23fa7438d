"""Rules for the freshness record, which must be there, and hold, where the repository promises one.

A record may be older than the manifest: readers believe both while a publish is under way. Signatures are held against
the published certificate and whitelist, as readers do it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME, FreshnessRecord
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.signatures import is_manifest_signature
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import FormatError, IntegrityError, NotFound, StorageError
from outcrop.stratum0.check.findings import Findings, said
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.reading import ObjectReader
from outcrop.stratum0.signing.freshness import CLOCK_STEP_SECONDS
from outcrop.stratum0.signing.freshness_renewal import WARN_WHEN_LEFT


@dataclass(frozen=True, slots=True)
class Promise:
    """What a record is held against: the announcement, the manifest that it goes with, its certificate and the
    whitelist (None for one that could not be read, which is a problem of its own)."""

    announcement: FreshnessAnnouncement
    manifest: Manifest
    certificate: Certificate | None
    whitelist: Whitelist | None


def check_freshness(reader: ObjectReader, promise: Promise, now: datetime, findings: Findings) -> None:
    """Notes why readers refuse the freshness record, or soon will."""

    def note(kind: Kind, detail: str) -> None:
        findings.add(kind, detail, name=FRESHNESS_NAME)

    try:
        signed = SignedText.parse(reader.store.read(FRESHNESS_NAME), FRESHNESS_NAME)
        record = FreshnessRecord.parse(signed.text)
    except NotFound:
        note(Kind.FRESHNESS, "is missing, and the repository promises it: readers refuse the manifest")
        return
    except FormatError as error:
        note(Kind.FRESHNESS, said(error))
        return
    except (StorageError, IntegrityError) as error:
        note(Kind.FRESHNESS, str(error.fields.get("problem", error)))
        return
    for detail in (*_contradictions(record, promise.manifest), *_dates(record, promise.announcement, now)):
        note(Kind.FRESHNESS, detail)
    signer = _signer(reader, record, promise, findings)
    if signer is not None and not is_manifest_signature(signer.public_key, signed.signature, signed.signed_bytes):
        note(Kind.FRESHNESS, "its signature was not made with the key of its certificate")
    if record.revision < promise.manifest.revision:
        note(Kind.FRESHNESS_ENDING, f"is of revision {record.revision}, and {promise.manifest.revision} is published")
    left = _holds_until(record, promise.announcement) - now.timestamp()
    if 0 < left <= promise.announcement.maximum_age * WARN_WHEN_LEFT:
        note(Kind.FRESHNESS_ENDING, f"ends on {_moment(_holds_until(record, promise.announcement))}")


def _contradictions(record: FreshnessRecord, manifest: Manifest) -> list[str]:
    found = []
    if record.repository != manifest.repository:
        found.append(f"is the record of {record.repository}")
    if record.oldest > manifest.revision:
        found.append(f"lets servers show no revision before {record.oldest}, and {manifest.revision} is published")
    if record.revision == manifest.revision and record.root_catalog != manifest.root_catalog:
        found.append(f"names another root catalog than the manifest for revision {record.revision}")
    return found


def _dates(record: FreshnessRecord, announcement: FreshnessAnnouncement, now: datetime) -> list[str]:
    found = []
    if now.timestamp() >= _holds_until(record, announcement):
        found.append(f"expired on {_moment(_holds_until(record, announcement))}: readers refuse the manifest")
    if record.issued > now.timestamp() + CLOCK_STEP_SECONDS:
        found.append(f"was issued in the future, on {_moment(record.issued)}")
    return found


def _signer(reader: ObjectReader, record: FreshnessRecord, promise: Promise, findings: Findings) -> Certificate | None:
    """The certificate that signed `record`; None, with a problem noted, if it cannot be read or is not listed."""
    if record.certificate == promise.manifest.certificate:
        return promise.certificate
    name = ObjectName(record.certificate, ObjectKind.CERTIFICATE)
    pem = reader.inflated(name)
    if pem is None:
        return None
    with findings.malformed(Kind.CERTIFICATE, name=name.path):
        certificate = Certificate.parse(pem)
        listed = promise.whitelist is None or any(
            certificate.fingerprint(one.algorithm) == one for one in promise.whitelist.fingerprints
        )
        if not listed:
            findings.add(Kind.FRESHNESS, "was signed with a certificate that is not listed", name=FRESHNESS_NAME)
        return certificate
    return None


def _holds_until(record: FreshnessRecord, announcement: FreshnessAnnouncement) -> int:
    """When readers begin to refuse `record`, in seconds since 1970."""
    return min(record.expires, record.issued + announcement.maximum_age)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
