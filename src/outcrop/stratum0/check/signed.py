"""Rules for what is signed: manifest, whitelist, certificate; for the meta-information that the manifest names, and
what that promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.signatures import is_manifest_signature, is_whitelist_signature
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import FormatError, IntegrityError, NotFound, StorageError
from outcrop.stratum0.check.findings import Findings, said
from outcrop.stratum0.check.freshness import Promise, check_freshness
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.reading import ObjectReader

EXPIRY_WARNING = timedelta(days=14)
"""How long before its end a whitelist is spoken of: two weeks are enough to fetch a master key from its safe."""

_KNOWN_LINES = frozenset("CBRDSGALNXHTMYZ")
_MAY_REPEAT = "Z"


@dataclass(frozen=True, slots=True)
class Trusted:
    """What signatures are held against: the repository's name, the public master keys, the date.

    `certificate` is the owner's own: it stands in where the published one cannot be read."""

    repository: RepositoryName
    now: datetime
    master_keys: Sequence[rsa.RSAPublicKey] = field(default=())
    certificate: Certificate | None = None


def check_signed(reader: ObjectReader, trusted: Trusted, findings: Findings) -> Manifest | None:
    """What the manifest says; None, with a problem noted, if that cannot be known."""
    signed = _signed_text(reader, MANIFEST_NAME, findings)
    manifest = None if signed is None else _manifest(signed, trusted, findings)
    whitelist = _check_whitelist(reader, trusted, findings)
    if signed is None or manifest is None:
        return None
    certificate = _certificate(reader, manifest, findings)
    if certificate is not None and whitelist is not None:
        listed = any(certificate.fingerprint(one.algorithm) == one for one in whitelist.fingerprints)
        if not listed:
            detail = "does not list the certificate that signed the manifest"
            findings.add(Kind.WHITELIST, detail, name=WHITELIST_NAME)
    signer = certificate or trusted.certificate
    if signer is not None and not is_manifest_signature(signer.public_key, signed.signature, signed.signed_bytes):
        findings.add(Kind.SIGNATURE, "its signature was not made with the key of its certificate", name=MANIFEST_NAME)
    announcement = _check_metainfo(reader, manifest, findings)
    if announcement is not None:
        promise = Promise(announcement, manifest, signer, whitelist)
        check_freshness(reader, promise, trusted.now, findings)
    if manifest.alternative_paths:
        _check_alternative_paths(reader, manifest, findings)
    return manifest


def _signed_text(reader: ObjectReader, name: str, findings: Findings) -> SignedText | None:
    try:
        return SignedText.parse(reader.store.read(name), name)
    except NotFound:
        findings.add(Kind.MISSING, "is missing", name=name)
    except StorageError as error:
        findings.add(Kind.UNREADABLE, str(error.fields.get("problem", error)), name=name)
    except IntegrityError as error:
        findings.add(Kind.ALTERED, str(error.fields["problem"]), name=name)
    except FormatError as error:
        findings.add(Kind.ALTERED, said(error), name=name)
    return None


def _manifest(signed: SignedText, trusted: Trusted, findings: Findings) -> Manifest | None:
    letters = Counter(line[:1].decode("latin-1") for line in signed.text.splitlines())
    for letter, count in letters.items():
        if letter not in _KNOWN_LINES:
            findings.add(Kind.ODDITY, f"has a line {letter!r}, which means nothing", name=MANIFEST_NAME)
        elif count > 1 and letter != _MAY_REPEAT:
            findings.add(Kind.ODDITY, f"has {count} lines {letter}, of which the last holds", name=MANIFEST_NAME)
    try:
        manifest = Manifest.parse(signed.text)
    except FormatError as error:
        findings.add(Kind.MANIFEST, said(error), name=MANIFEST_NAME)
        return None
    if manifest.repository != trusted.repository:
        findings.add(Kind.OTHER_NAME, f"is the manifest of {manifest.repository}", name=MANIFEST_NAME)
    return manifest


def _check_whitelist(reader: ObjectReader, trusted: Trusted, findings: Findings) -> Whitelist | None:
    signed = _signed_text(reader, WHITELIST_NAME, findings)
    if signed is None:
        return None
    try:
        whitelist = Whitelist.parse(signed.text)
    except FormatError as error:
        findings.add(Kind.WHITELIST, said(error), name=WHITELIST_NAME)
        return None
    if whitelist.demands_pkcs7:
        findings.add(Kind.ODDITY, "demands a PKCS#7 signature, which was not checked", name=WHITELIST_NAME)
    elif trusted.master_keys and not any(
        is_whitelist_signature(key, signed.signature, signed.signed_bytes) for key in trusted.master_keys
    ):
        findings.add(Kind.WHITELIST, "was not signed with the master key", name=WHITELIST_NAME)
    if whitelist.repository != trusted.repository:
        findings.add(Kind.WHITELIST, f"is the whitelist of {whitelist.repository}", name=WHITELIST_NAME)
    if not whitelist.fingerprints:
        findings.add(Kind.WHITELIST, "lists no certificate", name=WHITELIST_NAME)
    until = f"{whitelist.expires:%Y-%m-%d %H:%M} UTC"
    if trusted.now >= whitelist.expires:
        findings.add(Kind.WHITELIST, f"expired on {until}: nobody can mount the repository", name=WHITELIST_NAME)
    elif trusted.now + EXPIRY_WARNING >= whitelist.expires:
        findings.add(Kind.EXPIRING, f"expires on {until}", name=WHITELIST_NAME)
    return whitelist


def _certificate(reader: ObjectReader, manifest: Manifest, findings: Findings) -> Certificate | None:
    name = ObjectName(manifest.certificate, ObjectKind.CERTIFICATE)
    pem = reader.inflated(name)
    if pem is not None:
        with findings.malformed(Kind.CERTIFICATE, name=name.path):
            return Certificate.parse(pem)
    return None


def _check_metainfo(reader: ObjectReader, manifest: Manifest, findings: Findings) -> FreshnessAnnouncement | None:
    """What the meta-information promises; None if nothing, or if that cannot be known."""
    if manifest.metainfo is None:
        return None
    name = ObjectName(manifest.metainfo, ObjectKind.METAINFO)
    text = reader.inflated(name)
    if text is not None:
        with findings.malformed(Kind.METAINFO, name=name.path):
            return Metainfo.parse(text).freshness
    return None


def _check_alternative_paths(reader: ObjectReader, manifest: Manifest, findings: Findings) -> None:
    for digest, kind in ((manifest.root_catalog, ObjectKind.CATALOG), (manifest.certificate, ObjectKind.CERTIFICATE)):
        name = f".cvmfsalt-{digest}{kind.value}"
        if not reader.store.exists(name):
            findings.add(Kind.MANIFEST, "is missing, though the manifest promises alternative paths", name=name)
