"""What there is to know of a repository's keys, without using any secret: for `outcrop repo keys`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import OutcropError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import read_certificate, read_private_key, read_public_key
from outcrop.stratum0.signing.keys import KeyFiles, load_signing_key, public_fingerprint
from outcrop.stratum0.signing.master_key import MasterKeyKind, MasterKeyPlace, master_key_place
from outcrop.stratum0.signing.master_rotation import MasterRotation, master_rotation
from outcrop.stratum0.signing.rotation_record import RotationRecord, load_rotation
from outcrop.stratum0.signing.whitelist_care import published_whitelist, require_valid_whitelist


class Whose(Enum):
    """Whose certificate a fingerprint names; the value is how people are told."""

    OURS = "ours"
    NEXT = "our next one"
    PREVIOUS = "our previous one"
    ANOTHER = "another publisher's"


@dataclass(frozen=True, slots=True)
class PublicHalf:
    """A master key as clients know it."""

    bits: int
    fingerprint: str

    @classmethod
    def of(cls, key: rsa.RSAPublicKey) -> PublicHalf:
        return cls(key.key_size, public_fingerprint(key))


@dataclass(frozen=True, slots=True)
class MasterKeyReport:
    """The master key: where it is, its public half, and that of a next one that is being handed out."""

    place: MasterKeyPlace
    public: PublicHalf
    upcoming: PublicHalf | None
    rotation: MasterRotation


@dataclass(frozen=True, slots=True)
class SigningKeyReport:
    """The signing key's certificate. Clients do not look at `expires`."""

    subject: str
    bits: int
    fingerprint: Digest
    expires: datetime


@dataclass(frozen=True, slots=True)
class ListedCertificate:
    """A line of the whitelist."""

    fingerprint: Digest
    whose: Whose


@dataclass(frozen=True, slots=True)
class KeyReport:
    """Everything about a repository's keys. `whitelist` is None if readers see none that is ours."""

    master: MasterKeyReport
    signing: SigningKeyReport
    whitelist: Whitelist | None
    listed: tuple[ListedCertificate, ...]
    rotation: RotationRecord | None
    warnings: tuple[str, ...]


def report_keys(repository: OwnedRepository, now: datetime) -> KeyReport:
    """What there is to know; trouble that does not keep the rest from being told is among the warnings."""
    files, algorithm = repository.keys, repository.settings.algorithm
    certificate = read_certificate(files.certificate)
    rotation = load_rotation(files)
    warnings = [*_file_warnings(repository), *_whitelist_warnings(repository, now)]
    try:
        whitelist: Whitelist | None = published_whitelist(repository).whitelist
    except OutcropError:
        whitelist = None  # among the warnings
    fingerprint = certificate.fingerprint(algorithm)
    next_public_key = read_public_key(files.next_public_key) if files.next_public_key.exists() else None
    return KeyReport(
        master=MasterKeyReport(
            master_key_place(repository.settings, files),
            PublicHalf.of(read_public_key(files.public_key)),
            PublicHalf.of(next_public_key) if next_public_key else None,
            master_rotation(repository),
        ),
        signing=SigningKeyReport(
            certificate.x509.subject.rfc4514_string(),
            certificate.public_key.key_size,
            fingerprint,
            certificate.expires,
        ),
        whitelist=whitelist,
        listed=tuple(
            ListedCertificate(one, _whose(one, fingerprint, rotation))
            for one in (whitelist.fingerprints if whitelist else ())
        ),
        rotation=rotation,
        warnings=tuple(warnings),
    )


def _whose(fingerprint: Digest, own: Digest, rotation: RotationRecord | None) -> Whose:
    if fingerprint == own:
        return Whose.OURS
    if rotation is not None and fingerprint == rotation.new:
        return Whose.NEXT
    if rotation is not None and fingerprint == rotation.old:
        return Whose.PREVIOUS
    return Whose.ANOTHER


def _whitelist_warnings(repository: OwnedRepository, now: datetime) -> tuple[str, ...]:
    try:
        return require_valid_whitelist(repository, now, allow_expiring=True)
    except OutcropError as error:
        return (f"{error.message}: {error.hint}",)


def _file_warnings(repository: OwnedRepository) -> list[str]:
    files = repository.keys
    found = [*_secret_warnings(files)]
    if master_key_place(repository.settings, files).kind is MasterKeyKind.TOKEN and files.master_key.exists():
        found.append(f"{files.master_key} still holds a master key: move it to a safe place, away from this machine")
    if files.previous_master_key.exists():
        found.append(
            f"{files.previous_master_key} is the master key before this one: once every client has "
            f"{files.public_key.name}, move it to a safe place or delete it"
        )
    return found


def _secret_warnings(files: KeyFiles) -> list[str]:
    found = []
    for path in (files.master_key, files.next_master_key, files.previous_master_key, files.next_signing_key):
        try:
            if path.exists():
                read_private_key(path)
        except OutcropError as error:
            found.append(f"{error.message}: {error.hint}")
    try:
        load_signing_key(files)
    except OutcropError as error:
        found.append(f"{error.message}: {error.hint}")
    return found
