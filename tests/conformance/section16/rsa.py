"""RSA signatures opened by hand, so that the padding is in plain sight (sections 1 and 2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

SHA1_DIGEST_INFO = bytes.fromhex("3021300906052b0e03021a05000414")
"""DER of DigestInfo { sha1, NULL } up to the digest itself (RFC 8017, section 9.2, note 1)."""

_PADDING_MINIMUM = 8
"""Octets of 0xff that a type-1 block has at least (RFC 8017, section 9.2)."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    modulus: int
    exponent: int

    @property
    def octets(self) -> int:
        return (self.modulus.bit_length() + 7) // 8


def public_key_from_pem(pem: bytes) -> PublicKey:
    """Raises ValueError for anything but an RSA public key in PEM."""
    return _rsa(load_pem_public_key(pem))


def public_key_of_certificate(pem: bytes) -> PublicKey:
    """Raises ValueError for anything but a PEM certificate with an RSA key."""
    return _rsa(x509.load_pem_x509_certificate(pem).public_key())


def certificate_as_der(pem: bytes) -> bytes:
    """Raises ValueError for anything but a PEM certificate."""
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def recover_message(signature: bytes, key: PublicKey) -> bytes:
    """What a signature holds inside its type-1 padding; raises ValueError where the padding is not of that type."""
    if len(signature) != key.octets:
        raise ValueError(f"signature of {len(signature)} bytes for a key of {key.octets} bytes")
    number = int.from_bytes(signature, "big")
    if number >= key.modulus:
        raise ValueError("signature is larger than the key's modulus")
    block = pow(number, key.exponent, key.modulus).to_bytes(key.octets, "big")
    padding, separator, message = block[2:].partition(b"\x00")
    if block[:2] != b"\x00\x01" or not separator or len(padding) < _PADDING_MINIMUM or padding.strip(b"\xff"):
        raise ValueError("padding is not PKCS#1 type 1")
    return message


def digest_info(text: bytes) -> bytes:
    """What a PKCS#1 v1.5 signature with SHA-1 over a text holds."""
    return SHA1_DIGEST_INFO + hashlib.sha1(text, usedforsecurity=False).digest()


def _rsa(key: object) -> PublicKey:
    if not isinstance(key, RSAPublicKey):
        raise ValueError(f"{type(key).__name__} is no RSA key")
    numbers = key.public_numbers()
    return PublicKey(numbers.n, numbers.e)
