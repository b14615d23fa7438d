"""Why a repository's content can be believed. No files, no sockets, no clock: bytes and a date in, decisions out.

The chain, each link of which is checked where a function below names it:

1.  The user holds *public keys* of the repository's master key, obtained on another way than the repository itself.
2.  The *whitelist* carries a signature by one of these keys (rule W1) for exactly this repository (W2), and has not
    expired (W3). One that demands proofs which we do not check is refused, never taken for less than it asks (W4).
3.  The *manifest* is for exactly this repository (M1).
4.  The *certificate* is the object that the manifest names, by its digest (C1), and the whitelist lists its
    fingerprint (C2); no blacklist does (C3).
5.  The manifest carries a signature by the certificate's key (M2).
6.  The manifest is not older than what this machine has seen: neither its revision (R1) nor its time of publishing (R2)
    goes back, and one revision never has two root catalogs (R3). No blacklist forbids the revision (R4).
7.  Where the repository announces a *freshness record*, in the meta-information that the manifest names, the manifest
    is believed with such a record only (F1 to F8, kept in `outcrop.client.freshness_rules`). What was announced stays
    so until a later manifest takes it back (F1). The record is for exactly this repository (F2), its certificate stands
    the tests C1 to C3 (F3), and it carries a signature by that certificate's key (F4). It has ended neither by its own
    word nor by the announced age, and was not issued in the future (F5). It is not older than one that this machine has
    seen, but for what caches explain (F6). The manifest is not below the oldest revision that it lets servers show
    (F7), and what both say of one revision is the same (F8). A server whose manifest is older than the record's is
    passed over for another.
8.  The *root catalog* is the object that the manifest names, by its digest; everything below is reached by digests in
    it. That is checked by whoever fetches objects (`outcrop.client.incoming`).

The dates in a certificate mean nothing here, as in the reference client: the whitelist alone says what holds. Beyond
the reference: R1 to R3 hold from one run to the next, F1 to F8 end what would otherwise hold for ever, and the end of
validity is compared exactly, not by the hour.

Sources: whitelist.cc, manifest_fetch.cc, signature.cc of CernVM-FS 2.12.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.compression import inflate
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.fields import MAXIMUM_UINT64
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.signatures import is_manifest_signature, is_whitelist_signature
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import FormatError, TrustError

MAXIMUM_CERTIFICATE_BYTES = 64 * 1024
"""A certificate has 1 to 4 kB."""


@dataclass(frozen=True, slots=True)
class SeenFreshness:
    """What the newest accepted manifest announced in its meta-information (None for no announcement), and when the
    newest record that was believed was issued (seconds since 1970)."""

    metainfo: Digest | None
    announcement: FreshnessAnnouncement | None
    issued: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest state of a repository that was ever accepted: revision, time of publishing (seconds), root catalog.

    `freshness` is None where nothing is known of a promise."""

    revision: Revision
    timestamp: int | None
    root_catalog: Digest
    freshness: SeenFreshness | None = None

    @property
    def rank(self) -> tuple[int, int, int]:
        """Of two states of a repository, the newer one has the higher rank."""
        issued = self.freshness.issued if self.freshness else None
        return self.revision, self.timestamp or 0, issued or 0


@dataclass(frozen=True, slots=True)
class Blacklist:
    """What must not be believed although it is signed: certificates, and revisions below a limit."""

    fingerprints: frozenset[Digest] = frozenset()
    minimum_revisions: tuple[tuple[RepositoryName, Revision], ...] = ()

    def minimum_revision(self, repository: RepositoryName) -> Revision:
        """The lowest revision of `repository` that may be accepted."""
        limits = [revision for name, revision in self.minimum_revisions if name == repository]
        return max(limits, default=Revision(0))


NO_BLACKLIST = Blacklist()


@dataclass(frozen=True, slots=True)
class ClaimedManifest:
    """A manifest that nothing has proved yet. Only its certificate's digest may be used, to fetch the certificate."""

    manifest: Manifest
    envelope: SignedText


@dataclass(frozen=True, slots=True)
class TrustedWhitelist:
    """A whitelist that is signed, valid and meant for the repository."""

    whitelist: Whitelist


@dataclass(frozen=True, slots=True)
class TrustedCertificate:
    """A certificate that the whitelist lists."""

    certificate: Certificate
    digest: Digest
    whitelist: Whitelist


@dataclass(frozen=True, slots=True)
class TrustedManifest:
    """A manifest that every rule holds for, with what proved it. `seen` is to be remembered."""

    manifest: Manifest
    certificate: Certificate
    whitelist: Whitelist
    seen: Seen


def read_manifest(data: bytes, repository: RepositoryName) -> ClaimedManifest:
    """What the bytes of `.cvmfspublished` claim; TrustError if it is about another repository."""
    envelope = SignedText.parse(data, "the manifest")
    manifest = Manifest.parse(envelope.text)
    # M1: the manifest is for exactly this repository.
    if manifest.repository != repository:
        raise TrustError(
            what=f"the manifest of {repository}",
            problem=f"it is the manifest of another repository, {manifest.repository}",
            hint=f"if {manifest.repository} is what you want to read, say so with `--fqrn {manifest.repository}`",
        )
    return ClaimedManifest(manifest, envelope)


def verify_whitelist(
    data: bytes, repository: RepositoryName, keys: Sequence[rsa.RSAPublicKey], now: datetime
) -> TrustedWhitelist:
    """The whitelist in the bytes of `.cvmfswhitelist`; TrustError names the rule that it breaks."""
    envelope = SignedText.parse(data, "the whitelist")
    whitelist = Whitelist.parse(envelope.text)
    what = f"the whitelist of {repository}"
    # W4: what it demands is either checked or refused. This comes first, since with `Vpkcs7` the RSA signature is not
    # what it should be judged by.
    if whitelist.demands_pkcs7:
        raise TrustError(what=what, problem="it demands a PKCS#7 signature, which is not supported")
    if whitelist.demands_certificate_chain:
        raise TrustError(what=what, problem="it demands a chain of certificates, which is not supported")
    # W1: signed with the master key.
    if not any(is_whitelist_signature(key, envelope.signature, envelope.signed_bytes) for key in keys):
        one = "the public key" if len(keys) == 1 else f"any of the {len(keys)} public keys"
        raise TrustError(
            what=what,
            problem=f"its signature was not made with the master key of {one} given",
            hint="check that `--key` names the public key that this repository's owner handed out",
        )
    # W2: for exactly this repository.
    if whitelist.repository != repository:
        raise TrustError(what=what, problem=f"it is the whitelist of another repository, {whitelist.repository}")
    # W3: still valid.
    if now >= whitelist.expires:
        raise TrustError(
            what=what,
            problem=f"it expired on {whitelist.expires:%Y-%m-%d at %H:%M} UTC",
            hint="check this machine's clock; if it is right, the repository's owner has to sign a new whitelist",
        )
    return TrustedWhitelist(whitelist)


def verify_certificate(
    stored: bytes, claimed: ClaimedManifest, trusted: TrustedWhitelist, blacklist: Blacklist = NO_BLACKLIST
) -> TrustedCertificate:
    """The certificate that `claimed` names, from the bytes `stored` of its object; TrustError if it must not sign."""
    manifest = claimed.manifest
    what = f"the certificate of {manifest.repository}"
    return listed_certificate(stored, manifest.certificate, trusted.whitelist, blacklist, what=what, namer="manifest")


def listed_certificate(
    stored: bytes, digest: Digest, whitelist: Whitelist, blacklist: Blacklist, *, what: str, namer: str
) -> TrustedCertificate:
    """The certificate in the object `stored`, which `namer` (a manifest or a record) calls `digest`; TrustError if it
    must not sign."""
    # C1: the object that is named.
    if Digest.of(stored, digest.algorithm) != digest:
        raise TrustError(what=what, problem=f"it is not the one that the {namer} names")
    certificate = Certificate.parse(inflate(stored, what=what, limit=MAXIMUM_CERTIFICATE_BYTES), what)
    # C2: listed.
    if not any(certificate.fingerprint(fingerprint.algorithm) == fingerprint for fingerprint in whitelist.fingerprints):
        raise TrustError(what=what, problem="the whitelist does not list it")
    # C3: not blacklisted, in whatever algorithm.
    if any(certificate.fingerprint(fingerprint.algorithm) == fingerprint for fingerprint in blacklist.fingerprints):
        raise TrustError(what=what, problem="it is on the blacklist")
    return TrustedCertificate(certificate, digest, whitelist)


def verify_manifest(
    claimed: ClaimedManifest,
    trusted: TrustedCertificate,
    seen: Seen | None = None,
    blacklist: Blacklist = NO_BLACKLIST,
) -> TrustedManifest:
    """The manifest, believed; TrustError names the rule that it breaks. `seen` is what was accepted before."""
    manifest, envelope = claimed.manifest, claimed.envelope
    what = f"the manifest of {manifest.repository}"
    assert trusted.digest == manifest.certificate, "the certificate was verified for another manifest"
    # M2: signed by the certificate's key.
    if not is_manifest_signature(trusted.certificate.public_key, envelope.signature, envelope.signed_bytes):
        raise TrustError(what=what, problem="its signature was not made with the key of its certificate")
    if seen is not None:
        _refuse_going_back(manifest, seen)
    # R4: not a revision that was withdrawn.
    minimum = blacklist.minimum_revision(manifest.repository)
    if manifest.revision < minimum:
        raise TrustError(
            what=what, problem=f"revision {manifest.revision} is on the blacklist, which forbids all below {minimum}"
        )
    return TrustedManifest(manifest, trusted.certificate, trusted.whitelist, _now_seen(manifest, seen))


def _refuse_going_back(manifest: Manifest, seen: Seen) -> None:
    what = f"the manifest of {manifest.repository}"
    late = "this server may be behind; try again later, or another server"
    # R1: the revision never goes back.
    if manifest.revision < seen.revision:
        raise TrustError(
            what=what,
            problem=f"it is an old one, of revision {manifest.revision}; this machine has seen {seen.revision}",
            hint=late,
        )
    # R2: the time of publishing never goes back.
    if seen.timestamp is not None and manifest.published_at is not None and manifest.published_at < seen.timestamp:
        raise TrustError(
            what=what,
            problem=f"it was published at {manifest.published_at}, before the one of {seen.timestamp} that this "
            "machine has seen",
            hint=late,
        )
    # R3: one revision, one content.
    if manifest.revision == seen.revision and manifest.root_catalog != seen.root_catalog:
        raise TrustError(
            what=what,
            problem=f"its revision {manifest.revision} has another content than the one that this machine has seen",
            hint="somebody published two different trees under one number; ask the repository's owner",
        )


def _now_seen(manifest: Manifest, seen: Seen | None) -> Seen:
    timestamps = [stamp for stamp in (manifest.published_at, seen.timestamp if seen else None) if stamp is not None]
    freshness = seen.freshness if seen else None
    return Seen(manifest.revision, max(timestamps, default=None), manifest.root_catalog, freshness)


def parse_blacklist(text: bytes, what: str) -> Blacklist:
    """The blacklist in `text`: lines with a certificate's fingerprint, or `<fqrn REV` which forbids revisions below
    REV. Empty lines and what follows a `#` mean nothing; FormatError for any other line."""
    fingerprints: list[Digest] = []
    minimum: list[tuple[RepositoryName, Revision]] = []
    for number, raw in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        line = raw.split("#", 1)[0].strip()
        field = f"line {number}"
        if line.startswith("<"):
            name, _, revision = line[1:].strip().partition(" ")
            if not name or not revision.strip().isdecimal() or int(revision) > MAXIMUM_UINT64:
                raise FormatError(what=what, field=field, problem="is not `<`, a repository and a revision")
            minimum.append((RepositoryName(name), Revision(int(revision))))
        elif line:
            digits = line.split()[0].replace(":", "").lower()
            fingerprints.append(Digest.parse(digits, what=what, field=field))
    return Blacklist(frozenset(fingerprints), tuple(minimum))


def join_blacklists(blacklists: Iterable[Blacklist]) -> Blacklist:
    """Everything that any of `blacklists` forbids."""
    every = list(blacklists)
    return Blacklist(
        frozenset().union(*(one.fingerprints for one in every)),
        tuple(limit for one in every for limit in one.minimum_revisions),
    )
