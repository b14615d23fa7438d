"""The keys of a repository, and what is signed with them.

The *master key* signs the whitelist and nothing else; clients hold its public half. The *signing key* signs manifests;
its *certificate* is published, and named by the whitelist. On disk they are `FQRN.masterkey`, `FQRN.pub`, `FQRN.key`
and `FQRN.crt`, readable by their owner alone where they are secret.
"""

from __future__ import annotations

import os
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
from outcrop.cvmfs.signatures import load_private_key, sign_manifest_digest, sign_whitelist_digest
from outcrop.cvmfs.signed_text import SignedText, digest_for_signing
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import NotFound, TrustError, storage_error

MASTER_KEY_BITS = 3072
"""Clients keep its public half for many years: 128 bits of security (NIST SP 800-57)."""
SIGNING_KEY_BITS = 2048
"""As the reference's: it signs every revision, and can be replaced at any time by a new whitelist."""
CERTIFICATE_DAYS = 365
WHITELIST_DAYS = 30
"""As the reference's. Clients never look at a certificate's dates, only at the whitelist's."""
_PUBLIC_EXPONENT = 65537
_SECRET_MODE, _PUBLIC_MODE = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where the keys of a repository lie."""

    directory: Path
    repository: RepositoryName

    @property
    def master_key(self) -> Path:
        return self.directory / f"{self.repository}.masterkey"

    @property
    def public_key(self) -> Path:
        return self.directory / f"{self.repository}.pub"

    @property
    def signing_key(self) -> Path:
        return self.directory / f"{self.repository}.key"

    @property
    def certificate(self) -> Path:
        return self.directory / f"{self.repository}.crt"

    def all(self) -> tuple[Path, ...]:
        return (self.master_key, self.public_key, self.signing_key, self.certificate)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs manifests: the key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: Certificate

    def sign(self, manifest: Manifest, algorithm: Algorithm) -> bytes:
        """The bytes of `.cvmfspublished` that say `manifest`."""
        text = manifest.encode()
        digest = digest_for_signing(text, algorithm)
        return SignedText(text, digest, sign_manifest_digest(self.key, digest.text.encode())).encode()


def create_missing_keys(files: KeyFiles, now: datetime) -> list[Path]:
    """Makes those keys that are not there yet; returns the files that were written."""
    written = []
    files.directory.mkdir(parents=True, exist_ok=True)
    if not files.master_key.exists():
        _write(files.master_key, _private_pem(_new_key(MASTER_KEY_BITS)), _SECRET_MODE)
        files.public_key.unlink(missing_ok=True)
        written.append(files.master_key)
    if not files.public_key.exists():
        key = load_private_key(_read(files.master_key), str(files.master_key))
        _write(files.public_key, _public_pem(key), _PUBLIC_MODE)
        written.append(files.public_key)
    if not files.signing_key.exists():
        _write(files.signing_key, _private_pem(_new_key(SIGNING_KEY_BITS)), _SECRET_MODE)
        files.certificate.unlink(missing_ok=True)
        written.append(files.signing_key)
    if not files.certificate.exists():
        key = load_private_key(_read(files.signing_key), str(files.signing_key))
        _write(files.certificate, _self_signed(key, files.repository, now), _PUBLIC_MODE)
        written.append(files.certificate)
    return written


def load_signing_key(files: KeyFiles) -> SigningKey:
    """The signing key and its certificate; TrustError if they do not belong together."""
    key = load_private_key(_read(files.signing_key), str(files.signing_key))
    certificate = Certificate.parse(_read(files.certificate), str(files.certificate))
    if certificate.public_key.public_numbers() != key.public_key().public_numbers():
        raise TrustError(
            what=str(files.certificate),
            problem=f"it does not belong to {files.signing_key.name}",
            hint="put the certificate and the key that were made together side by side",
        )
    return SigningKey(key, certificate)


def signed_whitelist(files: KeyFiles, algorithm: Algorithm, now: datetime, days: int = WHITELIST_DAYS) -> bytes:
    """The bytes of a `.cvmfswhitelist` that lets the repository's certificate publish for `days` days."""
    master_key = load_private_key(_read(files.master_key), str(files.master_key))
    certificate = Certificate.parse(_read(files.certificate), str(files.certificate))
    whitelist = Whitelist(
        repository=files.repository,
        issued=now,
        expires=now + timedelta(days=days),
        fingerprints=(certificate.fingerprint(algorithm),),
    )
    text = whitelist.encode()
    digest = digest_for_signing(text, algorithm)
    return SignedText(text, digest, sign_whitelist_digest(master_key, digest.text.encode())).encode()


def _new_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=_PUBLIC_EXPONENT, key_size=bits)


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            what=f"the key file {path}", hint="bring it back from your backup, or publish where the key is"
        ) from error
    except OSError as error:
        raise storage_error(error) from error


def _write(path: Path, data: bytes, mode: int) -> None:
    """Writes `data` whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(error) from error
