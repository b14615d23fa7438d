"""Changes one thing in a published repository and signs the rest anew, so that only that thing is wrong.

Written from the description of the format like the checker, and as independent of the package under test.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .section16.digests import Algorithm, Digest, digest_of, parse_digest
from .section16.envelope import cut, parse_manifest
from .section16.rsa import digest_info

MANIFEST, WHITELIST, REFLOG = ".cvmfspublished", ".cvmfswhitelist", ".cvmfsreflog"

Change = Callable[[bytes], bytes]
"""From the bytes of a file to those that take its place."""


def sql(*statements: str) -> Change:
    """A change that executes statements on a database."""

    def change(image: bytes) -> bytes:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            connection.deserialize(image)
            for statement in statements:
                connection.execute(statement)
            return bytes(connection.serialize())
        finally:
            connection.close()

    return change


def replaced(position: int, octets: bytes) -> Change:
    """A change that overwrites bytes at a position."""
    return lambda content: content[:position] + octets + content[position + len(octets) :]


def sign(message: bytes, key: RSAPrivateKey) -> bytes:
    """A message in PKCS#1 type-1 padding under a private key."""
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n
    octets = (modulus.bit_length() + 7) // 8
    block = b"\x00\x01" + b"\xff" * (octets - len(message) - 3) + b"\x00" + message
    number = int.from_bytes(block, "big")
    # By the Chinese remainder theorem (RFC 8017, 5.2.1), which takes a quarter of the time of pow(number, d, modulus).
    first, second = pow(number, numbers.dmp1, numbers.p), pow(number, numbers.dmq1, numbers.q)
    signature = second + (first - second) * numbers.iqmp % numbers.p * numbers.q
    return signature.to_bytes(octets, "big")


@cache
def private_key(path: Path) -> RSAPrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def write_anew(path: Path, content: bytes) -> None:
    """Replaces a file instead of writing into it, since copies of a repository share files by hard links."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def copy_repository(source: Path, destination: Path) -> None:
    """Copies a repository's directories and links its files."""
    for directory, _, names in os.walk(source):
        target = destination / Path(directory).relative_to(source)
        target.mkdir(parents=True)
        for name in names:
            os.link(Path(directory, name), target / name)


@dataclass(slots=True)
class Republisher:
    """A repository in a directory with both keys that sign it."""

    directory: Path
    signing_key: RSAPrivateKey
    master_key: RSAPrivateKey

    def object_path(self, digest: Digest, letter: str) -> Path:
        return self.directory / digest.object_path(letter)

    def read(self, digest: Digest, letter: str) -> bytes:
        return zlib.decompress(self.object_path(digest, letter).read_bytes())

    def store(self, stored: bytes, algorithm: Algorithm, letter: str) -> Digest:
        """Stores bytes as they are under their digest."""
        digest = digest_of(stored, algorithm)
        write_anew(self.object_path(digest, letter), stored)
        return digest

    @property
    def fields(self) -> dict[str, str]:
        return dict(parse_manifest((self.directory / MANIFEST).read_bytes()).fields)

    def change_manifest(self, **fields: str | None) -> None:
        """Sets fields, or drops those that are None, and signs."""
        kept = {letter: value for letter, value in {**self.fields, **fields}.items() if value is not None}
        self.write_manifest("".join(f"{letter}{value}\n" for letter, value in kept.items()).encode())

    def write_manifest(self, body: bytes, seal: Callable[[bytes], bytes] = digest_info) -> None:
        """Writes and signs a manifest; `seal` makes what is signed from the hash line."""
        line = hashlib.sha1(body).hexdigest().encode()
        write_anew(self.directory / MANIFEST, body + b"--\n" + line + b"\n" + sign(seal(line), self.signing_key))

    def change_whitelist(self, change: Change, seal: Callable[[bytes], bytes] = bytes) -> None:
        """Changes the lines above the separator and signs; `seal` makes what is signed from the hash line."""
        body = change(cut((self.directory / WHITELIST).read_bytes()).body)
        line = hashlib.sha1(body).hexdigest().encode()
        write_anew(self.directory / WHITELIST, body + b"--\n" + line + b"\n" + sign(seal(line), self.master_key))

    def change_catalog(self, path: str, change: Change, *, pack: Change = zlib.compress) -> None:
        """Changes the catalog mounted at a path and every reference up to the manifest, the tags and the reflog."""
        old = parse_digest(self.fields["C"])
        new, size = self._rewrite(old, "", path, change, pack)
        self.change_history(sql(f"UPDATE tags SET hash = '{new}', size = {size} WHERE hash = '{old}'"))
        self.change_reflog(sql(f"UPDATE refs SET hash = '{new}' WHERE hash = '{old}'"))
        self.change_manifest(C=str(new), B=str(size))

    def _rewrite(self, digest: Digest, mountpoint: str, path: str, change: Change, pack: Change) -> tuple[Digest, int]:
        image = self.read(digest, "C")
        if mountpoint == path:
            image = change(image)
            return self.store(pack(image), digest.algorithm, "C"), len(image)
        for nested, text in self._nested(image):
            if path == nested or path.startswith(nested + "/"):
                child, size = self._rewrite(parse_digest(text), nested, path, change, pack)
                statement = f"UPDATE nested_catalogs SET sha1 = '{child}', size = {size} WHERE path = '{nested}'"
                image = sql(statement)(image)
                return self.store(zlib.compress(image), digest.algorithm, "C"), len(image)
        raise LookupError(f"no catalog at {path}")

    @staticmethod
    def _nested(image: bytes) -> list[tuple[str, str]]:
        connection = sqlite3.connect(":memory:")
        try:
            connection.deserialize(image)
            return connection.execute("SELECT path, sha1 FROM nested_catalogs").fetchall()
        finally:
            connection.close()

    def change_history(self, change: Change) -> None:
        old = parse_digest(self.fields["H"])
        new = self.store(zlib.compress(change(self.read(old, "H"))), old.algorithm, "H")
        self.change_reflog(sql(f"UPDATE refs SET hash = '{new}' WHERE hash = '{old}'"))
        self.change_manifest(H=str(new))

    def change_reflog(self, change: Change) -> None:
        reflog = self.directory / REFLOG
        content = change(reflog.read_bytes())
        write_anew(reflog, content)
        self.change_manifest(Y=hashlib.sha1(content).hexdigest())

    def change_object(self, field: str, letter: str, kind: int, stored: bytes) -> None:
        """Puts other bytes in the place of an object that the manifest names."""
        old = parse_digest(self.fields[field])
        new = self.store(stored, old.algorithm, letter)
        self.change_reflog(sql(f"UPDATE refs SET hash = '{new}' WHERE hash = '{old}' AND type = {kind}"))
        self.change_manifest(**{field: str(new)})
