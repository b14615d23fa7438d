"""The two signatures, and the keys and certificates that they are checked with."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind
from outcrop.cvmfs.signatures import (
    is_manifest_signature,
    is_whitelist_signature,
    load_private_key,
    load_public_key,
    sign_manifest_digest,
    sign_whitelist_digest,
)
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from tests.cvmfs.refusal import refused
from tests.cvmfs.samples import DIRECTORY, sample
from tests.cvmfs.strategies import certificate, private_key

TEXT = b"0123456789abcdef0123456789abcdef01234567-rmd160"
KINDS = [(sign_manifest_digest, is_manifest_signature), (sign_whitelist_digest, is_whitelist_signature)]


@pytest.mark.parametrize(("sign", "is_signature"), KINDS)
class TestBothSignatures:
    def test_the_owner_is_believed(self, sign, is_signature) -> None:  # type: ignore[no-untyped-def]
        assert is_signature(private_key().public_key(), sign(private_key(), TEXT), TEXT)

    def test_another_key_is_not(self, sign, is_signature) -> None:  # type: ignore[no-untyped-def]
        assert not is_signature(private_key(1).public_key(), sign(private_key(), TEXT), TEXT)

    def test_another_text_is_not(self, sign, is_signature) -> None:  # type: ignore[no-untyped-def]
        signature = sign(private_key(), TEXT)
        for text in (TEXT[:-1], TEXT + b"\n", b"", TEXT.upper()):
            assert not is_signature(private_key().public_key(), signature, text)

    def test_a_changed_signature_is_not(self, sign, is_signature) -> None:  # type: ignore[no-untyped-def]
        signature = sign(private_key(), TEXT)
        changed = signature[:-1] + bytes([signature[-1] ^ 1])
        for wrong in (changed, signature[:-1], signature[1:], signature + b"\0", b"\0" + signature, b"", b"\xff" * 256):
            assert not is_signature(private_key().public_key(), wrong, TEXT)

    def test_a_leading_zero_is_part_of_it(self, sign, is_signature) -> None:  # type: ignore[no-untyped-def]
        """One signature in 256 begins with a zero byte: the number is the same without it, the signature is not."""
        texts = (TEXT[:-2] + b"%02x" % number for number in itertools.count())
        text, signature = next((text, s) for text in texts if not (s := sign(private_key(), text))[0])
        assert is_signature(private_key().public_key(), signature, text)
        assert not is_signature(private_key().public_key(), signature[1:], text)

    def test_other_paddings_are_not(self, sign, is_signature) -> None:  # type: ignore[no-untyped-def]
        pss = padding.PSS(padding.MGF1(hashes.SHA1()), padding.PSS.MAX_LENGTH)
        for wrong in (
            private_key().sign(TEXT, pss, hashes.SHA1()),
            private_key().sign(TEXT, padding.PKCS1v15(), hashes.SHA256()),
        ):
            assert not is_signature(private_key().public_key(), wrong, TEXT)


def test_one_kind_of_signature_is_not_the_other() -> None:
    public = private_key().public_key()
    assert not is_manifest_signature(public, sign_whitelist_digest(private_key(), TEXT), TEXT)
    assert not is_whitelist_signature(public, sign_manifest_digest(private_key(), TEXT), TEXT)


@pytest.mark.parametrize("name", ["test.example.org", "rmd.example.org"])
def test_the_samples_are_signed_by_their_keys(name: str) -> None:
    repository = sample(name)
    master = load_public_key((DIRECTORY / "keys" / f"{name}.pub").read_bytes(), "the master key")
    signed = SignedText.parse(repository.files[WHITELIST_NAME], "the whitelist")
    assert is_whitelist_signature(master, signed.signature, signed.signed_bytes)
    publisher = Certificate.parse(repository.plain(repository.manifest.certificate, ObjectKind.CERTIFICATE))
    whitelist = Whitelist.parse(signed.text)
    assert publisher.fingerprint(whitelist.fingerprints[0].algorithm) in whitelist.fingerprints
    manifest = SignedText.parse(repository.files[MANIFEST_NAME], "the manifest")
    assert is_manifest_signature(publisher.public_key, manifest.signature, manifest.signed_bytes)


@pytest.mark.parametrize("name", ["test.example.org", "rmd.example.org"])
def test_signing_again_gives_the_samples_signatures(name: str) -> None:
    keys = DIRECTORY / "keys"
    master = load_private_key((keys / f"{name}.masterkey").read_bytes(), "the master key")
    signed = SignedText.parse(sample(name).files[WHITELIST_NAME], "the whitelist")
    assert sign_whitelist_digest(master, signed.signed_bytes) == signed.signature
    key = load_private_key((keys / f"{name}.key").read_bytes(), "the key")
    signed = SignedText.parse(sample(name).files[MANIFEST_NAME], "the manifest")
    assert sign_manifest_digest(key, signed.signed_bytes) == signed.signature


def test_certificates_and_back() -> None:
    written = certificate().pem
    assert Certificate.parse(written) == certificate()
    assert Certificate.parse(written).pem == written
    assert certificate().public_key.public_numbers() == private_key().public_key().public_numbers()
    assert certificate().expires == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_fingerprint_is_over_the_der_form(algorithm: Algorithm) -> None:
    der = certificate().x509.public_bytes(Encoding.DER)
    assert certificate().fingerprint(algorithm) == Digest.of(der, algorithm)


def public_pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_keys_and_back() -> None:
    key = private_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert load_private_key(pem, "a key").private_numbers() == key.private_numbers()
    public = key.public_key()
    assert load_public_key(public_pem(public), "a key").public_numbers() == public.public_numbers()


def test_only_rsa_keys_are_taken() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with refused("the key"):
        load_public_key(public_pem(key.public_key()), "a key")
    with refused("the key"):
        load_private_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "a key")


def test_an_encrypted_key_is_not_taken() -> None:
    encrypted = private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with refused("PEM text"):
        load_private_key(encrypted, "a key")


@pytest.mark.parametrize("pem", [b"", b"rubbish", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_rubbish_holds_no_key_and_no_certificate(pem: bytes) -> None:
    for load in (load_public_key, load_private_key):
        with refused("PEM text"):
            load(pem, "a key")
    with refused("PEM text"):
        Certificate.parse(pem)


def test_a_certificate_of_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test.example.org")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
    with refused("the key"):
        Certificate.parse(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    der = certificate().x509.public_bytes(Encoding.DER)
    version = bytes.fromhex("a003020102")
    assert der.count(version) == 1
    changed = der.replace(version, bytes.fromhex("a003020107"))
    from base64 import encodebytes

    with refused("PEM text"):
        Certificate.parse(b"-----BEGIN CERTIFICATE-----\n" + encodebytes(changed) + b"-----END CERTIFICATE-----\n")
