"""Every parser that reads what strangers write, as a function of bytes that may raise errors of ours and nothing else.

A target also checks what its parser promises about what it accepts: that it is written again as it was read.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from outcrop.cvmfs import variant
from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.chunking import ChunkLimits, split
from outcrop.cvmfs.client_configuration import evaluate
from outcrop.cvmfs.compression import inflate, inflate_exactly
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import EntryRow, SoundRow, decode_entry, encode_entry
from outcrop.cvmfs.fields import timestamp, timestamp_text, unsigned, yes_or_no
from outcrop.cvmfs.freshness_record import FreshnessRecord
from outcrop.cvmfs.history import History, tag_name
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import is_canonical, repository_path, shown
from outcrop.cvmfs.reflog import Reflog
from outcrop.cvmfs.signatures import is_manifest_signature, is_whitelist_signature, load_private_key, load_public_key
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import FormatError, OutcropError
from tests.cvmfs import databases, samples, strategies

ALLOWED = (OutcropError,)
"""What a parser may raise. Everything else, and every hang, is a bug."""

_INFLATED_LIMIT = 1 << 20

Parse = Callable[[bytes], object]
Seeds = Callable[[], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, and well-formed inputs that lead a search inside (made on demand: keys take a while)."""

    parse: Parse
    seeds: Seeds


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _digest(data: bytes) -> None:
    text = data.decode("latin-1")
    assert Digest.parse(text).text == text


def _object_name(data: bytes) -> None:
    path = data.decode("utf-8", "surrogateescape")
    assert ObjectName.parse(path).path == path


def _repository_path(data: bytes) -> None:
    for spelling in (data, data.decode("utf-8", "surrogateescape")):
        path = repository_path(spelling)
        assert is_canonical(path)
        assert repository_path(path) == repository_path(shown(path)) == path


def _fields(data: bytes) -> None:
    text = data.decode("latin-1")
    for parse in (_number, _date, _switch):
        try:
            parse(text)
        except FormatError:
            continue


def _number(text: str) -> None:
    assert 0 <= unsigned(text, what="a text", field="a number") < 2**64


def _date(text: str) -> None:
    assert timestamp_text(timestamp(text, what="a text", field="a date")) == text


def _switch(text: str) -> None:
    yes_or_no(text, what="a text", field="a switch")


def _manifest(data: bytes) -> None:
    manifest = Manifest.parse(data)
    assert Manifest.parse(manifest.encode()) == manifest


def _freshness(data: bytes) -> None:
    record = FreshnessRecord.parse(data)
    assert FreshnessRecord.parse(record.encode()) == record


def _configuration(data: bytes) -> None:
    """A strict reading is refused, or says what the lenient one does, which then leaves nothing out."""
    text, path, fqrn = _text(data), "/etc/cvmfs/default.local", "software.example.org"
    lenient = evaluate(text, path, repository=fqrn)
    strict = evaluate(text, path, repository=fqrn, strict=True)
    assert strict == lenient
    assert not strict.warnings


def _whitelist(data: bytes) -> None:
    whitelist = Whitelist.parse(data)
    assert Whitelist.parse(whitelist.encode()) == whitelist


def _signed_text(data: bytes) -> None:
    assert SignedText.parse(data, "a text").encode() == data


def _certificate(data: bytes) -> None:
    certificate = Certificate.parse(data)
    _ = certificate.expires
    assert Certificate.parse(certificate.pem) == certificate
    is_manifest_signature(certificate.public_key, data[:256], b"text")


def _signatures(data: bytes) -> None:
    key = strategies.private_key().public_key()
    assert not is_manifest_signature(key, data, b"text")
    assert not is_whitelist_signature(key, data, b"text")


def _inflate(data: bytes) -> None:
    plain = inflate(data, what="a stream", limit=_INFLATED_LIMIT)
    assert inflate_exactly(data, len(plain), what="a stream") == plain


def _inflate_exactly(data: bytes) -> None:
    """The first eight bytes are the size that a catalog states."""
    size = int.from_bytes(data[:8], "little", signed=True)
    plain = inflate_exactly(data[8:], size & (2**63 - 1), what="a stream")
    assert len(plain) == size & (2**63 - 1)


def _xattrs(data: bytes) -> None:
    xattrs = Xattrs.parse(data)
    assert Xattrs.parse(xattrs.encode()) == xattrs


def _metainfo(data: bytes) -> None:
    metainfo = Metainfo.parse(data)
    assert Metainfo.parse(metainfo.encode()) == metainfo


def _columns(data: bytes) -> list[object]:
    """Values as SQLite hands them out: a type letter, then eight bytes of a number, or a length and so many bytes."""
    stream = io.BytesIO(data)
    values: list[object] = []
    while len(values) < len(EntryRow._fields):
        kind = stream.read(1)
        if kind == b"i":
            values.append(int.from_bytes(stream.read(8), "little", signed=True))
        elif kind == b"f":
            values.append(struct.unpack("<d", stream.read(8).ljust(8, b"\0"))[0])
        elif kind == b"b":
            values.append(stream.read(stream.read(1).ljust(1, b"\0")[0]))
        else:
            values.append(None)
    return values


def _entry(data: bytes) -> None:
    entry = decode_entry(EntryRow(*_columns(data)), "a catalog")
    assert decode_entry(encode_entry(entry), "a catalog") == entry


def _entry_seed(row: SoundRow) -> bytes:
    pieces = []
    for value in row:
        if isinstance(value, int):
            pieces.append(b"i" + value.to_bytes(8, "little", signed=True))
        elif isinstance(value, bytes):
            pieces.append(b"b" + bytes([len(value)]) + value)
        else:
            pieces.append(b"n")
    return b"".join(pieces)


def _attempt(*reads: Callable[[], object]) -> None:
    """Runs every one of `reads`: a part that is malformed must not keep the others from being read."""
    for read in reads:
        try:
            read()
        except OutcropError:
            continue


def _walk(catalog: Catalog) -> None:
    for entry in catalog.children(catalog.properties.root_prefix):
        path = catalog.properties.root_prefix + b"/" + entry.name
        if entry.is_chunked:
            catalog.chunks(path, entry)
        if entry.is_directory:
            catalog.children(path)


def _catalog(data: bytes) -> None:
    catalog = Catalog.parse(data)
    try:
        _attempt(
            lambda: list(catalog.rows()),
            lambda: catalog.counters,
            catalog.nested_catalogs,
            catalog.bind_mountpoints,
            lambda: catalog.lookup(catalog.properties.root_prefix),
            lambda: _walk(catalog),
        )
    finally:
        catalog.close()


def _catalog_edit(data: bytes) -> None:
    catalog = EditableCatalog.parse(data)
    try:
        catalog.put(b"/file", databases.FILE)
        catalog.put(b"/big", databases.CHUNKED, databases.CHUNKS)
        catalog.remove(b"/file")
        catalog.highest_hardlink_group()
        catalog.finish(revision=2, now=1, previous=None)
        database_to_bytes(catalog.connection)
    finally:
        catalog.close()


def _history(data: bytes) -> None:
    history = History.parse(data)
    try:
        for tag in history.tags():
            history.put(tag)
    finally:
        history.close()


def _reflog(data: bytes) -> None:
    reflog = Reflog.parse(data)
    try:
        for reference in reflog.references():
            reflog.add(reference.digest, reference.type, reference.timestamp)
    finally:
        reflog.close()


def _variant(data: bytes) -> None:
    expanded = variant.expand(data, {b"NAME": b"value"})
    assert variant.is_variant(data) or expanded == data


def _chunking(data: bytes) -> None:
    limits = ChunkLimits(32, 40, 32 + 8 * (1 + len(data) % 9))
    pieces = list(split(io.BytesIO(data), limits))
    assert b"".join(pieces) == data
    assert all(limits.minimum <= len(piece) <= limits.maximum for piece in pieces[:-1])


def _constant(*seeds: bytes) -> Seeds:
    return lambda: seeds


def _sample_files(name: str) -> Seeds:
    return lambda: tuple(samples.sample(repository).files[name] for repository in samples.NAMES[:2])


def _signed_parts(name: str) -> Seeds:
    return lambda: tuple(SignedText.parse(data, name).text for data in _sample_files(name)())


def _sample_objects(kind: ObjectKind, maximum: int) -> Seeds:
    """The smallest objects of a kind that the samples have: a short input is searched faster."""

    def seeds() -> tuple[bytes, ...]:
        plain = [
            inflate(stored, what=str(name))
            for repository in samples.NAMES[:2]
            for name, stored in samples.sample(repository).objects
            if name.kind is kind
        ]
        return tuple(sorted(plain, key=len)[:maximum])

    return seeds


@functools.cache
def _small_catalog() -> bytes:
    catalog = databases.small_catalog()
    return database_to_bytes(catalog.connection)


def _catalogs() -> tuple[bytes, ...]:
    return (_small_catalog(), *_sample_objects(ObjectKind.CATALOG, 2)())


def _public_keys() -> tuple[bytes, ...]:
    return (strategies.private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),)


def _private_keys() -> tuple[bytes, ...]:
    return (strategies.private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),)


_SHA1 = b"0123456789abcdef0123456789abcdef01234567"
_FRESHNESS = (
    b"Foutcrop-freshness-1\nNsoftware.example.org\nS8\nO7\nC" + _SHA1 + b"\nT1700000000\nE1700604800\nX" + _SHA1 + b"\n"
)
_CONFIGURATIONS = (
    b'CVMFS_HTTP_PROXY="http://a:3128|http://b:3128;DIRECT" # one\nexport CVMFS_QUOTA_LIMIT=$((4 * 1024))\n',
    b'if [ "$CVMFS_USE_CDN" = yes ]; then CVMFS_SERVER_URL=http://s/@fqrn@; else CVMFS_SERVER_URL="@org@"; fi\n',
    b": ${CVMFS_TIMEOUT:=5}; A=$CVMFS_FQRN\nA=$A${A}; readonly A; eval 'B=\"b c\"'; unset B\n",
)
_EMPTY_STREAM = zlib.compress(b"")

TARGETS: Mapping[str, Target] = {
    "catalog": Target(_catalog, _catalogs),
    "catalog-edit": Target(_catalog_edit, _catalogs),
    "certificate": Target(_certificate, lambda: (strategies.certificate().pem,)),
    "chunking": Target(_chunking, _constant(bytes(100), b"\xff" * 200)),
    "client-configuration": Target(_configuration, _constant(*_CONFIGURATIONS)),
    "digest": Target(_digest, _constant(_SHA1, _SHA1 + b"-rmd160", _SHA1 + b"-shake128")),
    "entry": Target(
        _entry,
        lambda: tuple(
            _entry_seed(encode_entry(entry)) for entry in (databases.ROOT_ENTRY, databases.FILE, databases.CHUNKED)
        ),
    ),
    "fields": Target(_fields, _constant(b"18446744073709551615", b"20261121020956", b"yes")),
    "freshness-record": Target(_freshness, _constant(_FRESHNESS)),
    "history": Target(_history, _sample_objects(ObjectKind.HISTORY, 2)),
    "inflate": Target(_inflate, _constant(_EMPTY_STREAM, zlib.compress(b"stored " * 9))),
    "inflate-exactly": Target(_inflate_exactly, _constant(bytes(8) + _EMPTY_STREAM)),
    "manifest": Target(_manifest, _signed_parts(MANIFEST_NAME)),
    "metainfo": Target(_metainfo, _constant(b'{"administrator": "A", "recommended-stratum1s": [], "custom": {}}')),
    "object-name": Target(_object_name, _constant(b"data/01/" + _SHA1[2:] + b"C")),
    "private-key": Target(lambda data: load_private_key(data, "a key"), _private_keys),
    "public-key": Target(lambda data: load_public_key(data, "a key"), _public_keys),
    "reflog": Target(_reflog, _sample_files(REFLOG_NAME)),
    "repository-name": Target(lambda data: repository_name(_text(data)), _constant(b"software.example.org")),
    "repository-path": Target(_repository_path, _constant(b"/versions/2026.06", b"./a//b/")),
    "signatures": Target(_signatures, _constant(bytes(256))),
    "signed-text": Target(_signed_text, _sample_files(MANIFEST_NAME)),
    "tag-name": Target(lambda data: tag_name(_text(data)), _constant(b"generic-2026-11-21T02:09:56Z")),
    "variant": Target(_variant, _constant(b"a/$(NAME)/$(OTHER:-default)")),
    "whitelist": Target(_whitelist, _signed_parts(WHITELIST_NAME)),
    "xattrs": Target(_xattrs, _constant(b"\1\2\6\0user.a\6\1user.b2")),
}
