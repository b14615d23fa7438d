"""Small repositories of the tests' own, signed with keys of their own: right ones, and wrong ones in every way."""

from __future__ import annotations

import functools
import sqlite3
import stat
import zlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.catalog_edit import EditableCatalog, nested_mountpoint, nested_root
from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.cvmfs.signatures import sign_manifest_digest, sign_whitelist_digest
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist

NAME = RepositoryName("books.example.org")
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""Commands read the clock of this machine, so what is published for them is of today."""
MTIME = 1_500_000_000
FILE, DIRECTORY, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


@dataclass(frozen=True)
class Keys:
    """A master key, a signing key and its certificate."""

    master: rsa.RSAPrivateKey
    signing: rsa.RSAPrivateKey
    certificate: Certificate

    @property
    def public(self) -> rsa.RSAPublicKey:
        return self.master.public_key()

    @property
    def public_pem(self) -> bytes:
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@functools.cache
def keys(whose: str = "owner") -> Keys:
    """The keys of `whose`, made once in a run."""
    master, signing = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, whose)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(signing.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .sign(signing, hashes.SHA256())
    )
    return Keys(master, signing, Certificate(certificate))


def signed_whitelist(whitelist: Whitelist, key: rsa.RSAPrivateKey) -> bytes:
    """`.cvmfswhitelist`."""
    text = whitelist.encode()
    digest = Digest.of(text)
    return SignedText(text, digest, sign_whitelist_digest(key, digest.text.encode())).encode()


def signed_manifest(manifest: Manifest, key: rsa.RSAPrivateKey) -> bytes:
    """`.cvmfspublished`."""
    text = manifest.encode()
    digest = Digest.of(text)
    return SignedText(text, digest, sign_manifest_digest(key, digest.text.encode())).encode()


def file_entry(name: bytes, size: int, digest: Digest | None, **more: object) -> Entry:
    algorithm = digest.algorithm if digest else Algorithm.SHA1
    values = {"mode": FILE, "mtime": MTIME, "algorithm": algorithm, **more}
    return Entry(name=name, size=size, digest=digest, **values)  # type: ignore[arg-type]


def directory_entry(name: bytes, **more: object) -> Entry:
    values = {"mode": DIRECTORY, "size": 4096, "mtime": MTIME, "linkcount": 2, **more}
    return Entry(name=name, **values)  # type: ignore[arg-type]


def link_entry(name: bytes, target: bytes) -> Entry:
    return Entry(name=name, mode=LINK, size=len(target), mtime=MTIME, symlink=target)


@dataclass
class Published:
    """What a server has: files by name. Objects are added first, then a manifest that names them."""

    files: MutableMapping[str, bytes] = field(default_factory=dict)
    name: RepositoryName = NAME
    root: CatalogReference | None = None
    revision: int = 1
    owner: Keys = field(default_factory=keys)

    def add(
        self,
        data: bytes,
        kind: ObjectKind = ObjectKind.FILE,
        compression: Compression = Compression.ZLIB,
        algorithm: Algorithm = Algorithm.SHA1,
    ) -> Digest:
        """Stores an object; its digest."""
        stored = zlib.compress(data) if compression is Compression.ZLIB else data
        digest = Digest.of(stored, algorithm)
        self.files[ObjectName(digest, kind).path] = stored
        return digest

    def file(self, name: bytes, data: bytes, **more: object) -> Entry:
        """An entry for a file with these bytes, whose object is stored."""
        return file_entry(name, len(data), self.add(data), **more)

    def chunked(self, data: bytes, size: int, compression: Compression = Compression.ZLIB) -> tuple[Chunk, ...]:
        """The chunks of `size` bytes that `data` is cut into, stored."""
        return tuple(
            Chunk(at, len(data[at : at + size]), self.add(data[at : at + size], ObjectKind.CHUNK, compression))
            for at in range(0, len(data), size)
        )

    def catalog(
        self,
        entries: Mapping[bytes, Entry],
        path: bytes = ROOT,
        *,
        nested: Sequence[CatalogReference] = (),
        bound: Sequence[CatalogReference] = (),
        chunks: Mapping[bytes, Sequence[Chunk]] | None = None,
        root: Entry | None = None,
        prefix: bytes | None = None,
        statements: Sequence[str] = (),
    ) -> CatalogReference:
        """Stores a catalog mounted at `path` with `entries` by path; `statements` of SQL spoil it at the end."""
        name = path.rpartition(b"/")[2]
        top = root or (nested_root(directory_entry(name)) if path else directory_entry(b""))
        connection = sqlite3.connect(":memory:", isolation_level=None)
        catalog = EditableCatalog.create(connection, path if prefix is None else prefix, top)
        if prefix is not None:
            catalog.put(path, top)
        for place, entry in entries.items():
            catalog.put(place, entry, tuple((chunks or {}).get(place, ())))
        for reference in nested:
            catalog.set_nested(reference)
        catalog.finish(revision=self.revision, now=MTIME, previous=None, ttl=240)
        for reference in bound:
            connection.execute(
                "INSERT INTO bind_mountpoints VALUES (CAST(? AS TEXT), ?, ?)",
                (reference.path, reference.digest.text, reference.size),
            )
        for statement in statements:
            connection.execute(statement)
        data = database_to_bytes(connection)
        connection.close()
        return CatalogReference(RepositoryPath(path), self.add(data, ObjectKind.CATALOG), len(data))

    def manifest(self, **changes: object) -> Manifest:
        """The manifest for `root`."""
        assert self.root is not None
        certificate = self.add(self.owner.certificate.pem, ObjectKind.CERTIFICATE)
        manifest = Manifest(
            repository=self.name,
            revision=Revision(self.revision),
            root_catalog=self.root.digest,
            root_catalog_size=self.root.size,
            certificate=certificate,
            published_at=MTIME + self.revision,
        )
        return replace(manifest, **changes)  # type: ignore[arg-type]

    def whitelist(self, **changes: object) -> Whitelist:
        """The whitelist for the owner's certificate."""
        whitelist = Whitelist(
            repository=self.name,
            issued=NOW,
            expires=NOW + timedelta(days=30),
            fingerprints=(self.owner.certificate.fingerprint(Algorithm.SHA1),),
        )
        return replace(whitelist, **changes)  # type: ignore[arg-type]

    def sign(self, root: CatalogReference | None = None) -> Published:
        """Publishes `root`, as a new revision if there was one before."""
        if root is not None:
            self.root = root
        self.files[MANIFEST_NAME] = signed_manifest(self.manifest(), self.owner.signing)
        self.files[WHITELIST_NAME] = signed_whitelist(self.whitelist(), self.owner.master)
        return self

    def write(self, directory: Path) -> Path:
        """The repository as files below `directory`."""
        for name, data in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return directory


CONTENTS = {b"/README": b"Read me.\n", b"/shelf/one": b"1" * 100_000, b"/shelf/inner/two": b"2" * 10}


def library(revision: int = 1, **changes: object) -> Published:
    """A repository with a nested catalog, a chunked file, a hidden file and links; signed."""
    published = Published(revision=revision)
    inner_row = directory_entry(b"inner")
    inner = published.catalog(
        {b"/shelf/inner/two": published.file(b"two", CONTENTS[b"/shelf/inner/two"])},
        b"/shelf/inner",
        root=nested_root(inner_row),
    )
    chunks = published.chunked(CONTENTS[b"/shelf/one"], 40_000)
    root = published.catalog(
        {
            b"/README": published.file(b"README", CONTENTS[b"/README"]),
            b"/hidden": published.file(b"hidden", b"h", marks=Mark.HIDDEN),
            b"/shelf": directory_entry(b"shelf", linkcount=3),
            b"/shelf/one": file_entry(b"one", 100_000, None, marks=Mark.CHUNKED),
            b"/shelf/inner": nested_mountpoint(inner_row),
            b"/latest": link_entry(b"latest", b"shelf/one"),
            b"/absolute": link_entry(b"absolute", b"/cvmfs/books.example.org/shelf"),
            b"/out": link_entry(b"out", b"/etc/hostname"),
            b"/circle": link_entry(b"circle", b"circle"),
            b"/variant": link_entry(b"variant", b"$(BOOK:-README)"),
        },
        nested=[inner],
        chunks={b"/shelf/one": chunks},
    )
    return published.sign(root)
