"""A repository that promises freshness, in as many editions as an attacker could have kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.catalog_edit import nested_mountpoint, nested_root
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Mark
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME, FreshnessRecord
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind
from outcrop.cvmfs.signatures import sign_manifest_digest
from outcrop.cvmfs.signed_text import SignedText
from tests.client.published import (
    NAME,
    NOW,
    Keys,
    Published,
    directory_entry,
    file_entry,
    keys,
    signed_manifest,
)

WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
EXPIRED = f"expired on {NOW - HOUR + WEEK:%Y-%m-%d at %H:%M} UTC"
"""What is said of a record that was issued an hour before the beginning of a test."""

FILES = ("edition", "shelf/book", "shelf/large")
OBJECTS = ("root", "nested", "file", "chunk")
"""The objects of an edition that a server can spoil."""


def contents(revision: int) -> Mapping[str, bytes]:
    """What edition `revision` holds, by path."""
    return {
        "edition": b"edition %d\n" % revision,
        "shelf/book": b"A book of edition %d.\n" % revision,
        "shelf/large": bytes([revision % 256]) * 100_000,
    }


def edition(revision: int = 1, *, owner: Keys | None = None) -> Published:
    """Edition `revision`, signed, without any promise."""
    published = Published(revision=revision, owner=owner or keys())
    data = contents(revision)
    row = directory_entry(b"shelf")
    large = published.chunked(data["shelf/large"], 40_000)
    inner = published.catalog(
        {
            b"/shelf/book": published.file(b"book", data["shelf/book"]),
            b"/shelf/large": file_entry(b"large", len(data["shelf/large"]), None, marks=Mark.CHUNKED),
        },
        b"/shelf",
        root=nested_root(row),
        chunks={b"/shelf/large": large},
    )
    root = published.catalog(
        {b"/edition": published.file(b"edition", data["edition"]), b"/shelf": nested_mountpoint(row)}, nested=[inner]
    )
    return published.sign(root)


def promising(
    revision: int = 1,
    *,
    issued: datetime = NOW - HOUR,
    age: timedelta = WEEK,
    servers: Sequence[str] = (),
    owner: Keys | None = None,
    **record: object,
) -> Published:
    """Edition `revision` with a promise and the record that keeps it, issued at `issued`; `record` changes the latter.
    A server may show only the current edition, unless `oldest` says otherwise."""
    published = edition(revision, owner=owner)
    metainfo = Metainfo(freshness=FreshnessAnnouncement(int(age.total_seconds()), tuple(servers)))
    digest = published.add(metainfo.encode(), ObjectKind.METAINFO)
    sign_promise(published, digest)
    published.files[FRESHNESS_NAME] = signed_record(
        replace(record_of(published, issued, age), **record),  # type: ignore[arg-type]
        published.owner.signing,
    )
    return published


def sign_promise(published: Published, metainfo: Digest, **changes: object) -> None:
    """Signs a manifest that names `metainfo`."""
    manifest = published.manifest(metainfo=metainfo, **changes)
    published.files[MANIFEST_NAME] = signed_manifest(manifest, published.owner.signing)


def record_of(published: Published, issued: datetime = NOW - HOUR, age: timedelta = WEEK) -> FreshnessRecord:
    """The record that says that `published` is current."""
    manifest = published.manifest()
    return FreshnessRecord(
        repository=NAME,
        revision=manifest.revision,
        root_catalog=manifest.root_catalog,
        oldest=Revision(manifest.revision),
        issued=int(issued.timestamp()),
        expires=int((issued + age).timestamp()),
        certificate=manifest.certificate,
    )


def signed_record(record: FreshnessRecord, key: rsa.RSAPrivateKey) -> bytes:
    """`.cvmfs_outcrop_freshness`."""
    text = record.encode()
    digest = Digest.of(text)
    return SignedText(text, digest, sign_manifest_digest(key, digest.text.encode())).encode()
