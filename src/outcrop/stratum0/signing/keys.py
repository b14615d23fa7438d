"""The keys of a repository, and what is signed with them.

The *master key* signs the whitelist and nothing else; clients hold its public half. The *signing key* signs manifests;
its *certificate* is published, and named by the whitelist. On disk they are `FQRN.masterkey`, `FQRN.pub`, `FQRN.key`
and `FQRN.crt`, readable by their owner alone where they are secret. `.next` behind a name is a key that is about to
take over, `.previous` one that has been taken over from (`outcrop.stratum0.signing.rotation`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.signatures import is_manifest_signature, sign_manifest_digest
from outcrop.cvmfs.signed_text import SignedText, digest_for_signing
from outcrop.errors import InvalidValue, NotFound, TrustError
from outcrop.stratum0.signing.key_files import (
    PUBLIC_MODE,
    new_private_key,
    read_certificate,
    read_private_key,
    read_public_key,
    write_key_file,
    write_private_key,
    write_public_key,
)

MASTER_KEY_BITS = 3072
"""Clients keep its public half for many years: 128 bits of security (NIST SP 800-57)."""
SIGNING_KEY_BITS = 2048
"""As the reference's: it signs every revision, and can be replaced at any time by a new whitelist."""
CERTIFICATE_DAYS = 365
WHITELIST_DAYS = 30
"""As the reference's. Clients never look at a certificate's dates, only at the whitelist's."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where the keys of a repository lie."""

    directory: Path
    repository: RepositoryName

    def _file(self, suffix: str) -> Path:
        return self.directory / f"{self.repository}.{suffix}"

    @property
    def master_key(self) -> Path:
        return self._file("masterkey")

    @property
    def public_key(self) -> Path:
        return self._file("pub")

    @property
    def signing_key(self) -> Path:
        return self._file("key")

    @property
    def certificate(self) -> Path:
        return self._file("crt")

    @property
    def next_master_key(self) -> Path:
        return self._file("masterkey.next")

    @property
    def next_public_key(self) -> Path:
        return self._file("pub.next")

    @property
    def next_signing_key(self) -> Path:
        return self._file("key.next")

    @property
    def next_certificate(self) -> Path:
        return self._file("crt.next")

    @property
    def previous_master_key(self) -> Path:
        return self._file("masterkey.previous")

    @property
    def previous_public_key(self) -> Path:
        return self._file("pub.previous")

    @property
    def previous_certificate(self) -> Path:
        return self._file("crt.previous")

    @property
    def rotation(self) -> Path:
        """The record of a signing key that is being replaced."""
        return self._file("rotation.json")

    @property
    def signing_request(self) -> Path:
        """The whitelist that waits for the signature of a master key elsewhere."""
        return self._file("signing-request")

    def all(self) -> tuple[Path, ...]:
        """The four files that every repository has."""
        return (self.master_key, self.public_key, self.signing_key, self.certificate)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs manifests: the key and its certificate. `others` are our certificates of before and after it."""

    key: rsa.RSAPrivateKey
    certificate: Certificate
    others: tuple[Certificate, ...] = ()

    def sign(self, manifest: Manifest, algorithm: Algorithm) -> bytes:
        """The bytes of `.cvmfspublished` that say `manifest`."""
        return self.sign_text(manifest.encode(), manifest.repository, algorithm, "nothing was published")

    def sign_text(self, text: bytes, repository: RepositoryName, algorithm: Algorithm, otherwise: str) -> bytes:
        """`text` in its envelope, signed as manifests are; TrustError if the key is damaged.

        `otherwise` says what did not happen then."""
        digest = digest_for_signing(text, algorithm)
        signature = sign_manifest_digest(self.key, digest.text.encode())
        # Also because the key's numbers were not validated when it was read.
        if not is_manifest_signature(self.certificate.public_key, signature, digest.text.encode()):
            raise TrustError(
                what=f"the signing key of {repository}",
                problem="it makes signatures that its own certificate refuses",
                hint=f"the key file is damaged: bring it back from your backup; {otherwise}",
            )
        return SignedText(text, digest, signature).encode()

    def is_ours(self, signed: SignedText) -> bool:
        """Whether the manifest in `signed` is our own work: signed with this key, or the one before or after it."""
        return is_signed_by(self.certificates, signed)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """This key's certificate, and then the others."""
        return self.certificate, *self.others


def is_signed_by(certificates: Iterable[Certificate], signed: SignedText) -> bool:
    """Whether the manifest in `signed` was signed with the key of one of these certificates."""
    return any(
        is_manifest_signature(certificate.public_key, signed.signature, signed.signed_bytes)
        for certificate in certificates
    )


def create_missing_keys(files: KeyFiles, now: datetime) -> list[Path]:
    """Makes those keys that are not there yet; returns the files that were written."""
    files.directory.mkdir(parents=True, exist_ok=True)
    return [
        *_create_missing_master_key(files.master_key, files.public_key),
        *_create_missing_signing_key(files.signing_key, files.certificate, files.repository, now),
    ]


def create_next_master_key(files: KeyFiles) -> list[Path]:
    """Makes the master key that is to take over, unless it is there; returns the files that were written."""
    return _create_missing_master_key(files.next_master_key, files.next_public_key)


def create_next_signing_key(files: KeyFiles, now: datetime) -> list[Path]:
    """Makes the signing key that is to take over, unless it is there; returns the files that were written."""
    return _create_missing_signing_key(files.next_signing_key, files.next_certificate, files.repository, now)


def load_signing_key(files: KeyFiles) -> SigningKey:
    """The signing key and its certificate; TrustError if they do not belong together.

    A rotation that was interrupted between its two renames has left the certificate as the next one."""
    key = _present_signing_key(files)
    current = read_certificate(files.certificate)
    next_, previous = (_if_there(path) for path in (files.next_certificate, files.previous_certificate))
    for own in (current, next_):
        if own is not None and own.public_key.public_numbers() == key.public_key().public_numbers():
            others = tuple(one for one in (current, next_, previous) if one is not None and one is not own)
            return SigningKey(key, own, others)
    raise TrustError(
        what=str(files.certificate),
        problem=f"it does not belong to {files.signing_key.name}",
        hint="put the certificate and the key that were made together side by side",
    )


def _present_signing_key(files: KeyFiles) -> rsa.RSAPrivateKey:
    try:
        return read_private_key(files.signing_key, validate=False)
    except NotFound as error:
        raise NotFound(
            what=f"the signing key {files.signing_key}",
            hint="bring it back from your backup, or work where the key is; if it is lost, "
            f"`outcrop repo rotate {files.repository} --lost` makes a new one",
        ) from error


def load_public_keys(files: KeyFiles) -> tuple[rsa.RSAPublicKey, ...]:
    """The public halves of our master keys: the current one first, then the next and the previous if there are any."""
    more = (files.next_public_key, files.previous_public_key)
    return tuple(read_public_key(path) for path in (files.public_key, *[path for path in more if path.exists()]))


def public_fingerprint(key: rsa.RSAPublicKey) -> str:
    """What people compare to know a public key: SHA-256 over its DER form, as `openssl pkey -pubin -outform DER` has
    it, in hexadecimal pairs."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex(":").upper()


def _if_there(certificate: Path) -> Certificate | None:
    return read_certificate(certificate) if certificate.exists() else None


def _create_missing_master_key(secret: Path, public: Path) -> list[Path]:
    written = []
    if not secret.exists():
        if public.exists():
            # Its private half is elsewhere, and clients may know it: another key in its place would cut them off.
            raise InvalidValue(
                what=str(public),
                problem=f"is there without its private half {secret.name}",
                hint=f"bring {secret.name} back, or move {public.name} away to begin with a new master key",
            )
        write_private_key(secret, new_private_key(MASTER_KEY_BITS))
        written.append(secret)
    if not public.exists():
        write_public_key(public, read_private_key(secret).public_key())
        written.append(public)
    return written


def _create_missing_signing_key(
    secret: Path, certificate: Path, repository: RepositoryName, now: datetime
) -> list[Path]:
    written = []
    if not secret.exists():
        certificate.unlink(missing_ok=True)
        write_private_key(secret, new_private_key(SIGNING_KEY_BITS))
        written.append(secret)
    if not certificate.exists():
        write_key_file(certificate, _self_signed(read_private_key(secret), repository, now), PUBLIC_MODE)
        written.append(certificate)
    return written


def _self_signed(key: rsa.RSAPrivateKey, repository: RepositoryName, now: datetime) -> bytes:
    # Common names hold at most 64 characters (RFC 5280); nobody reads them, so a longer name is cut.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{repository} publisher"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
