"""Generated values of every type of the format, for property tests and for the seeds of fuzzing."""

from __future__ import annotations

import functools
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from hypothesis import strategies as st

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.chunking import ChunkLimits
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import DIGEST_BYTES, Algorithm, Digest
from outcrop.cvmfs.entry import MAXIMUM_UINT32, NANOSECONDS, Chunk, Entry, Mark
from outcrop.cvmfs.fields import MAXIMUM_UINT64, MAXIMUM_UNIX_TIME
from outcrop.cvmfs.history import Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, join
from outcrop.cvmfs.reflog import Reference, ReferenceType
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.cvmfs.xattrs import Xattrs

MAXIMUM_INT64 = 2**63 - 1

algorithms = st.sampled_from(Algorithm)
digests = st.builds(Digest, algorithms, st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES))
object_names = st.builds(ObjectName, digests, st.sampled_from(ObjectKind))
repository_names = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,8}[a-z0-9])?(\.[a-z]{1,8}){1,3}", fullmatch=True).map(
    RepositoryName
)
unix_times = st.integers(0, MAXIMUM_UNIX_TIME)
moments = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))


def _is_file_name(name: bytes) -> bool:
    return name not in (b".", b"..") and b"/" not in name and b"\0" not in name


file_names = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.text(min_size=1, max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b".cvmfscatalog", b"a b", b"\xe9t\xe9", b"...", b"\n", b"-", b"\xff\xfe", b"n" * 255]),
).filter(_is_file_name)
"""Any bytes that a directory can hold, UTF-8 or not."""

paths = st.lists(file_names, max_size=5).map(lambda names: functools.reduce(join, names, ROOT))
link_targets = st.one_of(
    st.binary(min_size=1, max_size=40).filter(lambda target: b"\0" not in target),
    st.sampled_from([b"../x", b"$(HOST):-/opt", b"$(EESSI_HOST_INJECTIONS:-/opt/eessi)", b"/", b"\xff"]),
)
variant_targets = st.lists(
    st.one_of(
        st.sampled_from([b"$(", b")", b":-", b"$", b"(", b"NAME", b"$(NAME)", b"$(NAME:-default)", b"$(:-)"]),
        st.binary(max_size=4),
    ),
    max_size=12,
).map(b"".join)

xattrs = st.dictionaries(
    st.binary(min_size=1, max_size=255), st.binary(max_size=255), max_size=4
).map(Xattrs.of)  # fmt: skip

manifests = st.builds(
    Manifest,
    repository=repository_names,
    revision=st.integers(0, MAXIMUM_UINT64).map(Revision),
    root_catalog=digests,
    root_catalog_size=st.integers(0, MAXIMUM_UINT64),
    certificate=digests,
    ttl=st.integers(0, MAXIMUM_UINT64),
    published_at=st.none() | unix_times,
    history=st.none() | digests,
    metainfo=st.none() | digests,
    reflog=st.none() | digests,
    micro_catalog=st.none() | digests,
    garbage_collectable=st.booleans(),
    alternative_paths=st.booleans(),
)

whitelists = st.builds(
    Whitelist,
    repository=repository_names,
    issued=moments,
    expires=moments,
    fingerprints=st.lists(digests, max_size=4).map(tuple),
    demands_pkcs7=st.booleans(),
    demands_certificate_chain=st.booleans(),
)

tags = st.builds(
    Tag,
    name=st.from_regex(r"[A-Za-z0-9_.:+@-]{1,30}", fullmatch=True),
    root_catalog=digests,
    revision=st.integers(0, MAXIMUM_INT64),
    timestamp=unix_times,
    description=st.text(max_size=40).filter(lambda text: "\0" not in text),
    size=st.integers(0, MAXIMUM_INT64),
)
references = st.builds(Reference, digests, st.sampled_from(ReferenceType), unix_times)

_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
metainfos = st.builds(
    Metainfo,
    administrator=st.text(),
    email=st.text(),
    organisation=st.text(),
    description=st.text(),
    url=st.text(),
    recommended_stratum0=st.text(),
    recommended_stratum1s=st.lists(st.text(), max_size=3).map(tuple),
    custom=st.dictionaries(st.text(max_size=8), _json_values, max_size=3),
)


@st.composite
def chunk_limits(draw: st.DrawFn, largest: int = 4096) -> ChunkLimits:
    """Limits small enough that a few kilobytes make several chunks."""
    minimum, average, maximum = sorted(draw(st.tuples(*[st.integers(32, largest)] * 3)))
    return ChunkLimits(minimum, average, maximum)


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with the chunks that it has in a catalog."""

    entry: Entry
    chunks: tuple[Chunk, ...] = ()


def _permissions() -> st.SearchStrategy[int]:
    return st.integers(0, 0o7777)


def _numbers() -> st.SearchStrategy[dict[str, int | None]]:
    return st.fixed_dictionaries(
        {
            "mtime": st.integers(-MAXIMUM_INT64 - 1, MAXIMUM_INT64),
            "mtime_ns": st.none() | st.integers(0, NANOSECONDS - 1),
            "uid": st.integers(0, MAXIMUM_UINT32),
            "gid": st.integers(0, MAXIMUM_UINT32),
            "linkcount": st.integers(1, MAXIMUM_UINT32),
        }
    )


def _flagged(*marks: Mark) -> st.SearchStrategy[Mark]:
    return st.sets(st.sampled_from(marks)).map(lambda chosen: functools.reduce(Mark.__or__, chosen, Mark.NONE))


@st.composite
def directories(draw: st.DrawFn, name: bytes | None = None) -> StoredEntry:
    """A directory, plain or with what a directory can be marked as."""
    marks = draw(_flagged(Mark.NESTED_MOUNTPOINT, Mark.NESTED_ROOT, Mark.BIND_MOUNTPOINT, Mark.HIDDEN))
    return StoredEntry(
        Entry(
            name=draw(file_names) if name is None else name,
            mode=stat.S_IFDIR | draw(_permissions()),
            size=4096,
            xattrs=draw(xattrs),
            marks=marks,
            **draw(_numbers()),  # type: ignore[arg-type]
        )
    )


@st.composite
def symlinks(draw: st.DrawFn, name: bytes | None = None) -> StoredEntry:
    target = draw(link_targets)
    return StoredEntry(
        Entry(
            name=draw(file_names) if name is None else name,
            mode=stat.S_IFLNK | 0o777,
            size=len(target),
            symlink=target,
            xattrs=draw(xattrs),
            marks=draw(_flagged(Mark.HIDDEN)),
            **draw(_numbers()),  # type: ignore[arg-type]
        )
    )


@st.composite
def specials(draw: st.DrawFn, name: bytes | None = None) -> StoredEntry:
    """A FIFO, a socket or a device; a device's number is its size."""
    file_type = draw(st.sampled_from([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK]))
    is_device = file_type in (stat.S_IFCHR, stat.S_IFBLK)
    return StoredEntry(
        Entry(
            name=draw(file_names) if name is None else name,
            mode=file_type | draw(_permissions()),
            size=draw(st.integers(0, MAXIMUM_INT64)) if is_device else 0,
            xattrs=draw(xattrs),
            **draw(_numbers()),  # type: ignore[arg-type]
        )
    )


@st.composite
def whole_files(draw: st.DrawFn, name: bytes | None = None) -> StoredEntry:
    """A regular file in one object."""
    digest = draw(digests)
    return StoredEntry(
        Entry(
            name=draw(file_names) if name is None else name,
            mode=stat.S_IFREG | draw(_permissions()),
            size=draw(st.integers(0, MAXIMUM_UINT32)),
            digest=digest,
            algorithm=digest.algorithm,
            compression=draw(st.sampled_from(Compression)),
            hardlink_group=draw(st.integers(0, 2**31 - 1)),
            xattrs=draw(xattrs),
            marks=draw(_flagged(Mark.EXTERNAL, Mark.DIRECT_IO, Mark.HIDDEN)),
            **draw(_numbers()),  # type: ignore[arg-type]
        )
    )


@st.composite
def chunked_files(draw: st.DrawFn, name: bytes | None = None) -> StoredEntry:
    """A regular file in several objects, with or without one for the whole."""
    algorithm = draw(algorithms)
    raw = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
    chunks: list[Chunk] = []
    for size in draw(st.lists(st.integers(1, 2**24), min_size=2, max_size=4)):
        offset = chunks[-1].offset + chunks[-1].size if chunks else 0
        chunks.append(Chunk(offset, size, Digest(algorithm, draw(raw))))
    whole = draw(st.none() | raw)
    return StoredEntry(
        Entry(
            name=draw(file_names) if name is None else name,
            mode=stat.S_IFREG | draw(_permissions()),
            size=sum(chunk.size for chunk in chunks),
            digest=Digest(algorithm, whole) if whole is not None else None,
            algorithm=algorithm,
            compression=draw(st.sampled_from(Compression)),
            xattrs=draw(xattrs),
            marks=Mark.CHUNKED | draw(_flagged(Mark.EXTERNAL, Mark.DIRECT_IO)),
            **draw(_numbers()),  # type: ignore[arg-type]
        ),
        tuple(chunks),
    )


_KINDS: list[Callable[[bytes | None], st.SearchStrategy[StoredEntry]]] = [
    directories,
    symlinks,
    specials,
    whole_files,
    chunked_files,
]


def stored_entries(name: bytes | None = None) -> st.SearchStrategy[StoredEntry]:
    """An entry of any kind."""
    return st.one_of(*(kind(name) for kind in _KINDS))


catalog_references = st.builds(
    CatalogReference, paths.filter(bool), digests, st.integers(0, MAXIMUM_INT64)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CatalogContent:
    """What one catalog holds: where it is mounted, every row with its path (the first is its root), what is nested."""

    mountpoint: RepositoryPath
    rows: dict[RepositoryPath, StoredEntry]
    nested: dict[RepositoryPath, CatalogReference]


@st.composite
def catalog_contents(draw: st.DrawFn, maximum_rows: int = 12) -> CatalogContent:
    """A tree of entries below a root directory."""
    mountpoint = draw(st.just(ROOT) | paths)
    root_name = mountpoint.rpartition(b"/")[2]
    rows: dict[RepositoryPath, StoredEntry] = {mountpoint: draw(directories(root_name))}
    holders = [mountpoint]
    for _ in range(draw(st.integers(0, maximum_rows))):
        path = join(draw(st.sampled_from(holders)), draw(file_names))
        if path in rows:
            continue
        rows[path] = draw(stored_entries(path.rpartition(b"/")[2]))
        if rows[path].entry.is_directory:
            holders.append(path)
    nested = draw(st.lists(catalog_references, max_size=3, unique_by=lambda one: one.path))
    return CatalogContent(mountpoint, rows, {one.path: one for one in nested})


def private_key(number: int = 0) -> rsa.RSAPrivateKey:
    """An RSA key, the same for the same number; made once in a run, since it takes a tenth of a second."""
    return _private_key(number)


@functools.cache
def _private_key(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(number: int = 0) -> Certificate:
    """A self-signed certificate of `private_key(number)`, the same for the same number."""
    return _certificate(number)


@functools.cache
def _certificate(number: int) -> Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test.example.org")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return Certificate(
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key(number).public_key())
        .serial_number(1 + number)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365))
        .sign(private_key(number), hashes.SHA256())
    )
