"""What a file that should hold a key holds instead, in words that tell a person which file was meant."""

from __future__ import annotations

import re

_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----")

_KINDS = {
    b"CERTIFICATE": "a certificate",
    b"CERTIFICATE REQUEST": "a request for a certificate",
    b"PUBLIC KEY": "a public key",
    b"RSA PUBLIC KEY": "a public key without its header (PKCS#1)",
    b"PRIVATE KEY": "a private key",
    b"RSA PRIVATE KEY": "a private key",
    b"EC PRIVATE KEY": "a private key for elliptic curves",
    b"ENCRYPTED PRIVATE KEY": "a private key that is locked with a passphrase",
    b"OPENSSH PRIVATE KEY": "a private key of OpenSSH",
    b"PGP PUBLIC KEY BLOCK": "a public key of OpenPGP",
    b"PGP PRIVATE KEY BLOCK": "a private key of OpenPGP",
    b"PKCS7": "a PKCS#7 message",
}
"""What the labels of textual encodings stand for (RFC 7468, and those of OpenSSL, OpenSSH and OpenPGP)."""

_BEGINNINGS = (
    (b"ssh-", "a public key of OpenSSH"),
    (b"ecdsa-sha2-", "a public key of OpenSSH"),
    (b"SQLite format 3\x00", "a database"),
    (b"\x1f\x8b", "something compressed"),
    (b"\x7fELF", "a program"),
    (b"\x30\x82", "binary DER data"),
    (b"\x30\x81", "binary DER data"),
)


def described(data: bytes) -> str:
    """What the bytes of a file are, as in `a certificate`; for a message, not for a decision."""
    if not data.strip():
        return "nothing"
    label = _LABEL.search(data)
    if label is not None:
        if b"Proc-Type: 4,ENCRYPTED" in data:
            return "a private key that is locked with a passphrase"
        return _KINDS.get(label[1], f"something that calls itself {label[1].decode('ascii')}")
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    return "text that is no key" if _is_text(data) else "binary data"


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)
