"""The master key: what can sign a whitelist, wherever the key lies.

It is a file, an object on a PKCS#11 token (`outcrop.stratum0.signing.pkcs11_key`), or it is elsewhere: then a request
for a signature is taken to it (`outcrop.stratum0.signing.offline_signing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.signatures import is_whitelist_signature, sign_whitelist_digest
from outcrop.cvmfs.signed_text import SignedText, digest_for_signing
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import NotFound, TrustError
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.signing.key_files import read_private_key
from outcrop.stratum0.signing.keys import KeyFiles
from outcrop.stratum0.signing.pkcs11_key import TokenAccess, open_token_key
from outcrop.stratum0.signing.pkcs11_uri import SCHEME, TokenUri


class MasterKey(Protocol):
    """A master key that can be used now."""

    @property
    def place(self) -> str:
        """Where it lies: a path or a PKCS#11 URI."""

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        """The half that clients hold."""

    def sign(self, digest_text: bytes) -> bytes:
        """The signature over `digest_text`: RSA with PKCS#1 type 1 padding, without a DigestInfo."""


@dataclass(frozen=True, slots=True)
class FileMasterKey:
    """A master key in a PEM file."""

    place: str
    key: rsa.RSAPrivateKey

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        return self.key.public_key()

    def sign(self, digest_text: bytes) -> bytes:
        return sign_whitelist_digest(self.key, digest_text)


class MasterKeyKind(Enum):
    """Where a repository's master key is; the value is how people are told."""

    FILE = "file"
    TOKEN = "token"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class MasterKeyPlace:
    """Where a repository's master key is: `address` is a path or a URI, for an offline key the path where it is not."""

    kind: MasterKeyKind
    address: str


def master_key_place(settings: RepositorySettings, files: KeyFiles) -> MasterKeyPlace:
    """Where the master key of a repository is. The token is not asked."""
    if settings.master_key:
        return MasterKeyPlace(MasterKeyKind.TOKEN, settings.master_key)
    kind = MasterKeyKind.FILE if files.master_key.exists() else MasterKeyKind.OFFLINE
    return MasterKeyPlace(kind, str(files.master_key))


@contextmanager
def open_master_key(address: str, tokens: TokenAccess) -> Iterator[MasterKey]:
    """The master key at `address`, a path or a PKCS#11 URI, for the block."""
    if address.startswith(SCHEME):
        with open_token_key(TokenUri.parse(address), tokens) as key:
            yield key
    else:
        yield FileMasterKey(address, read_private_key(Path(address)))


@contextmanager
def open_own_master_key(settings: RepositorySettings, files: KeyFiles, tokens: TokenAccess) -> Iterator[MasterKey]:
    """The master key of a repository, for the block; NotFound, with the way out, if it is offline."""
    place = master_key_place(settings, files)
    if place.kind is MasterKeyKind.OFFLINE:
        raise NotFound(
            what=f"the master key {place.address}",
            hint=f"if it is kept elsewhere, take a request to it: "
            f"`outcrop repo resign {settings.name} --export-request FILE`; or name it with `--master-key`",
        )
    module = TokenAccess(settings.pkcs11_module, tokens.ask_pin) if settings.pkcs11_module else tokens
    with open_master_key(place.address, module) as key:
        yield key


def sign_whitelist(whitelist: Whitelist, algorithm: Algorithm, master_key: MasterKey) -> bytes:
    """The bytes of `.cvmfswhitelist` that say `whitelist`; TrustError if the key's signature is not as it must be."""
    text = whitelist.encode()
    digest = digest_for_signing(text, algorithm)
    signed = SignedText(text, digest, master_key.sign(digest.text.encode("ascii")))
    # A token may pad otherwise than it was told to; clients would be the first to notice.
    if not is_whitelist_signature(master_key.public_key, signed.signature, signed.signed_bytes):
        raise TrustError(
            what=f"the signature by {master_key.place}",
            problem="its own public key does not confirm it",
            hint="check that the token can sign with RSA PKCS#1 v1.5 (CKM_RSA_PKCS); nothing was published",
        )
    return signed.encode()
