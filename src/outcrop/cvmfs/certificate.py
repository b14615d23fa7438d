"""Certificates and their fingerprints.

The certificate is the holder of the key that signs manifests. It is published as PEM text (an object of kind X); the
whitelist names it by a digest over its DER form. Clients never look at its dates: the whitelist alone says what holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.errors import FormatError


@dataclass(frozen=True, slots=True)
class Certificate:
    """A publisher's certificate."""

    x509: x509.Certificate

    @classmethod
    def parse(cls, pem: bytes, what: str = "the certificate") -> Certificate:
        """The certificate in `pem`, which must hold an RSA key; FormatError otherwise."""
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            key = certificate.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise FormatError(what=what, field="the PEM text", problem=f"holds no certificate ({error})") from error
        if not isinstance(key, rsa.RSAPublicKey):
            raise FormatError(what=what, field="the key", problem="is not an RSA key")
        return cls(certificate)

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        key = self.x509.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    @property
    def pem(self) -> bytes:
        return self.x509.public_bytes(Encoding.PEM)

    @property
    def expires(self) -> datetime:
        """The end of its validity, which clients do not look at."""
        return self.x509.not_valid_after_utc

    def fingerprint(self, algorithm: Algorithm) -> Digest:
        """The digest by which a whitelist names it."""
        return Digest.of(self.x509.public_bytes(Encoding.DER), algorithm)
