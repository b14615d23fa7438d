"""The two RSA signatures of CernVM-FS.

The manifest: PKCS#1 v1.5 with a SHA-1 DigestInfo over the *text* of the manifest's digest, whatever algorithm that
digest has. The whitelist: raw PKCS#1 type 1 padding around the digest's text, without a DigestInfo.
"""

from __future__ import annotations

import math

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo

from outcrop.errors import FormatError


def load_public_key(pem: bytes, what: str) -> rsa.RSAPublicKey:
    """The RSA key in `pem`; FormatError for anything else."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise FormatError(what=what, field="the PEM text", problem=f"holds no public key ({error})") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise FormatError(what=what, field="the key", problem="is not an RSA key")
    return key


def load_private_key(pem: bytes, what: str, *, validate: bool = True) -> rsa.RSAPrivateKey:
    """The unencrypted RSA key in `pem`; FormatError for anything else.

    To `validate` its numbers takes up to 0.1 s. Whoever does without checks each signature before it leaves the house:
    one made with damaged numbers may give the key away."""
    try:
        key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=not validate)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise FormatError(what=what, field="the PEM text", problem=f"holds no private key ({error})") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise FormatError(what=what, field="the key", problem="is not an RSA key")
    return key


def sign_manifest_digest(key: rsa.RSAPrivateKey, digest_text: bytes) -> bytes:
    """The manifest's signature over `digest_text`."""
    return key.sign(digest_text, padding.PKCS1v15(), hashes.SHA1())


def is_manifest_signature(key: rsa.RSAPublicKey, signature: bytes, digest_text: bytes) -> bool:
    """Whether `signature` was made by the owner of `key` over `digest_text`."""
    try:
        key.verify(signature, digest_text, padding.PKCS1v15(), hashes.SHA1())
    except InvalidSignature:
        return False
    return True


def sign_whitelist_digest(key: rsa.RSAPrivateKey, digest_text: bytes) -> bytes:
    """The whitelist's signature over `digest_text`."""
    return key.sign(digest_text, padding.PKCS1v15(), NoDigestInfo())


def is_whitelist_signature(key: rsa.RSAPublicKey, signature: bytes, digest_text: bytes) -> bool:
    """Whether `signature` was made by the owner of `key` over `digest_text`."""
    if len(signature) != math.ceil(key.key_size / 8):
        return False  # RFC 8017, 8.2.2: OpenSSL also takes one whose leading zero bytes are left out
    try:
        recovered = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
    except (InvalidSignature, ValueError):
        return False
    return recovered == digest_text
