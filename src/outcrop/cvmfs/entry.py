"""Entries of a catalog: directories, files, links and special files, as rows and as values.

The `flags` column says the type a second time, and more:

| bits | meaning |
|---|---|
| 1, 4, 4+8, 4+16 | directory, regular file, symbolic link, special file |
| 2, 32 | nested catalog's mountpoint (in the parent), nested catalog's root (in the child) |
| 64, 128, 0x10000 | chunked, external, direct I/O (regular files) |
| 0x700 | digest algorithm: 0 sha1, 1 rmd160, 2 shake128 |
| 0x3800 | compression: 0 zlib, 1 none |
| 0x4000, 0x8000 | bind mountpoint, hidden from listings |

`hardlinks` holds a group in its upper and the link count in its lower 32 bits. A device's number is kept as its size.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from enum import Enum, IntFlag
from functools import lru_cache
from typing import NamedTuple

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import DIGEST_BYTES, Algorithm, Digest
from outcrop.cvmfs.xattrs import NO_XATTRS, Xattrs
from outcrop.errors import FormatError

MAXIMUM_UINT32 = 2**32 - 1
NANOSECONDS = 10**9


class EntryKind(Enum):
    """What an entry is; the value is the file type within its mode."""

    DIRECTORY = stat.S_IFDIR
    FILE = stat.S_IFREG
    SYMLINK = stat.S_IFLNK
    FIFO = stat.S_IFIFO
    SOCKET = stat.S_IFSOCK
    CHARACTER_DEVICE = stat.S_IFCHR
    BLOCK_DEVICE = stat.S_IFBLK

    @property
    def is_special(self) -> bool:
        return self not in (EntryKind.DIRECTORY, EntryKind.FILE, EntryKind.SYMLINK)

    @property
    def is_device(self) -> bool:
        return self in (EntryKind.CHARACTER_DEVICE, EntryKind.BLOCK_DEVICE)


class Mark(IntFlag):
    """What an entry is besides its kind; the values are the bits of `flags`."""

    NONE = 0
    NESTED_MOUNTPOINT = 2
    NESTED_ROOT = 32
    CHUNKED = 64
    EXTERNAL = 128
    BIND_MOUNTPOINT = 0x4000
    HIDDEN = 0x8000
    DIRECT_IO = 0x10000


_DIRECTORY_BIT, _FILE_BIT, _LINK_BIT, _SPECIAL_BIT = 1, 4, 8, 16
_KIND_BITS = _DIRECTORY_BIT | _FILE_BIT | _LINK_BIT | _SPECIAL_BIT
_ALGORITHM_SHIFT, _COMPRESSION_SHIFT = 8, 11
_THREE_BITS = 7
_MARK_BITS = sum(Mark)
_ALL_BITS = _KIND_BITS | _MARK_BITS | _THREE_BITS << _ALGORITHM_SHIFT | _THREE_BITS << _COMPRESSION_SHIFT
_FILE_MARKS = Mark.CHUNKED | Mark.EXTERNAL | Mark.DIRECT_IO
_DIRECTORY_MARKS = Mark.NESTED_MOUNTPOINT | Mark.NESTED_ROOT | Mark.BIND_MOUNTPOINT
_ALGORITHMS = (Algorithm.SHA1, Algorithm.RMD160, Algorithm.SHAKE128)
_COMPRESSIONS = (Compression.ZLIB, Compression.NONE)
_KINDS = {kind.value: kind for kind in EntryKind}
_BITS_OF_KIND = {
    EntryKind.DIRECTORY: _DIRECTORY_BIT,
    EntryKind.FILE: _FILE_BIT,
    EntryKind.SYMLINK: _FILE_BIT | _LINK_BIT,
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a chunked file: where it begins, how long it is (bytes, uncompressed), its object."""

    offset: int
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Entry:
    """What a catalog says of one path.

    `mode` has the file type, `size` is in bytes (for devices the device number, for links the length of the target),
    `mtime` in seconds since 1970 and `mtime_ns` its nanoseconds where they are known. `digest` is None for all
    that is no file and for chunked files; `algorithm` is then that of the chunks.
    """

    name: bytes
    mode: int
    size: int = 0
    mtime: int = 0
    mtime_ns: int | None = None
    uid: int = 0
    gid: int = 0
    linkcount: int = 1
    hardlink_group: int = 0
    digest: Digest | None = None
    symlink: bytes = b""
    xattrs: Xattrs = NO_XATTRS
    marks: Mark = Mark.NONE
    algorithm: Algorithm = Algorithm.SHA1
    compression: Compression = Compression.ZLIB

    @property
    def kind(self) -> EntryKind:
        return _KINDS[stat.S_IFMT(self.mode)]

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def permissions(self) -> int:
        """The mode without the file type."""
        return stat.S_IMODE(self.mode)

    @property
    def is_chunked(self) -> bool:
        return Mark.CHUNKED in self.marks

    @property
    def is_external(self) -> bool:
        return Mark.EXTERNAL in self.marks

    @property
    def is_hidden(self) -> bool:
        return Mark.HIDDEN in self.marks

    @property
    def is_nested_mountpoint(self) -> bool:
        return Mark.NESTED_MOUNTPOINT in self.marks

    @property
    def is_nested_root(self) -> bool:
        return Mark.NESTED_ROOT in self.marks

    @property
    def is_bind_mountpoint(self) -> bool:
        return Mark.BIND_MOUNTPOINT in self.marks

    @property
    def flags(self) -> int:
        """The `flags` column."""
        algorithm = self.digest.algorithm if self.digest else self.algorithm if self.is_chunked else Algorithm.SHA1
        return flags_of(stat.S_IFMT(self.mode), self.marks, algorithm, self.compression)


@lru_cache(maxsize=1024)
def flags_of(file_type: int, marks: Mark, algorithm: Algorithm, compression: Compression) -> int:
    """The `flags` column of an entry of this type. The last two speak of a regular file's content alone."""
    kind = _KINDS[file_type]
    flags = _BITS_OF_KIND.get(kind, _FILE_BIT | _SPECIAL_BIT) | int(marks)
    if kind is EntryKind.FILE:
        flags |= compression << _COMPRESSION_SHIFT | _ALGORITHMS.index(algorithm) << _ALGORITHM_SHIFT
    return flags


class EntryRow(NamedTuple):
    """The columns of a catalog row that make an entry, in the order of `ENTRY_COLUMNS`."""

    name: object
    mode: object
    size: object
    mtime: object
    mtimens: object
    uid: object
    gid: object
    hardlinks: object
    hash: object
    symlink: object
    xattr: object
    flags: object


ENTRY_COLUMNS = EntryRow._fields


class SoundRow(NamedTuple):
    """A row as this module writes it, in the order of `ENTRY_COLUMNS`."""

    name: bytes
    mode: int
    size: int
    mtime: int
    mtimens: int | None
    uid: int
    gid: int
    hardlinks: int
    hash: bytes | None
    symlink: bytes
    xattr: bytes | None
    flags: int


def encode_entry(entry: Entry) -> SoundRow:
    """The row that says what `entry` says."""
    return SoundRow(
        name=entry.name,
        mode=entry.mode,
        size=entry.size,
        mtime=entry.mtime,
        mtimens=entry.mtime_ns,
        uid=entry.uid,
        gid=entry.gid,
        hardlinks=entry.hardlink_group << 32 | entry.linkcount,
        hash=entry.digest.raw if entry.digest else None,
        symlink=entry.symlink,
        xattr=entry.xattrs.encode(),
        flags=entry.flags,
    )


def algorithm_of(flags: int) -> Algorithm:
    """The digest algorithm that the sound `flags` of a file say."""
    return _ALGORITHMS[flags >> _ALGORITHM_SHIFT & _THREE_BITS]


class FlagMeaning(NamedTuple):
    """What the `flags` column says of an entry of a known kind."""

    marks: Mark
    algorithm: Algorithm
    compression: Compression


@lru_cache(maxsize=1024)
def _flag_meaning(flags: int, file_type: int) -> FlagMeaning:
    """What `flags` say of an entry of the type `file_type`; a repository has a dozen combinations."""
    kind = _KINDS[file_type]
    marks = _marks(flags, kind, "")
    # Algorithm and compression speak of a file's contents; on anything else they say nothing.
    if kind is not EntryKind.FILE:
        return FlagMeaning(marks, Algorithm.SHA1, Compression.ZLIB)
    return FlagMeaning(
        marks,
        _ALGORITHMS[flags >> _ALGORITHM_SHIFT & _THREE_BITS],
        _COMPRESSIONS[flags >> _COMPRESSION_SHIFT & _THREE_BITS],
    )


def decode_entry(row: EntryRow | SoundRow, what: str) -> Entry:
    """The entry that `row` says; FormatError names `what` (the catalog), the name and the column that is wrong."""
    try:
        entry = _decode_plain_entry(row)
    except (LookupError, FormatError, TypeError, ValueError):
        entry = None
    # Whatever is out of the ordinary is looked at column by column.
    return entry if entry is not None else _decode_entry(row, what)


def _decode_plain_entry(row: EntryRow | SoundRow) -> Entry | None:
    """The entry that `row` says if nothing about it is unusual: nearly every row of nearly every catalog."""
    name, mode, size, mtime, mtime_ns, uid, gid, hardlinks, raw, symlink, xattr, flags = row
    if not (
        type(name) is type(symlink) is bytes
        and type(mode) is type(size) is type(mtime) is type(uid) is type(gid) is type(hardlinks) is type(flags) is int
        and 0 <= mode <= MAXIMUM_UINT32
        and size >= 0
        and 0 <= uid <= MAXIMUM_UINT32
        and 0 <= gid <= MAXIMUM_UINT32
        and hardlinks & MAXIMUM_UINT32
        and hardlinks > 0
        and (mtime_ns is None or (type(mtime_ns) is int and 0 <= mtime_ns < NANOSECONDS))
        and b"/" not in name
        and b"\0" not in name
        and b"\0" not in symlink
        and name not in (b".", b"..")
        and 0 <= flags <= _ALL_BITS
    ):
        return None
    file_type = stat.S_IFMT(mode)
    marks, algorithm, compression = _flag_meaning(flags, file_type)
    digest = None
    if file_type == stat.S_IFREG:
        if type(raw) is bytes:
            digest = Digest(algorithm, raw)
        elif raw is not None or not flags & Mark.CHUNKED:
            return None
    if (file_type == stat.S_IFLNK) != bool(symlink):
        return None
    return Entry(
        name,
        mode,
        size,
        mtime,
        mtime_ns,
        uid,
        gid,
        hardlinks & MAXIMUM_UINT32,
        hardlinks >> 32,
        digest,
        symlink,
        NO_XATTRS if xattr is None else Xattrs.parse(xattr if type(xattr) is bytes else b""),
        marks,
        algorithm,
        compression,
    )


def _decode_entry(row: EntryRow | SoundRow, what: str) -> Entry:
    """As `decode_entry`, column by column."""
    name = _text(row.name, what, "a name")
    if b"/" in name or name in (b".", b".."):
        raise FormatError(what=what, field=f"the name {name[:80]!r}", problem="is no name of an entry")
    where = f"{what}, entry {name.decode('utf-8', 'backslashreplace')!r}"
    mode = _integer(row.mode, where, "mode", 0, MAXIMUM_UINT32)
    kind = _KINDS.get(stat.S_IFMT(mode))
    if kind is None:
        raise FormatError(what=where, field="mode", problem=f"has no known file type: {mode:#o}")
    flags = _integer(row.flags, where, "flags", 0, _ALL_BITS)
    marks = _marks(flags, kind, where)
    algorithm_number = flags >> _ALGORITHM_SHIFT & _THREE_BITS
    compression_number = flags >> _COMPRESSION_SHIFT & _THREE_BITS
    if algorithm_number >= len(_ALGORITHMS):
        raise FormatError(what=where, field="flags", problem=f"name an unknown digest algorithm ({algorithm_number})")
    if compression_number >= len(_COMPRESSIONS):
        raise FormatError(what=where, field="flags", problem=f"name an unknown compression ({compression_number})")
    # Both speak of a file's contents; on anything else they say nothing.
    algorithm = _ALGORITHMS[algorithm_number] if kind is EntryKind.FILE else Algorithm.SHA1
    compression = _COMPRESSIONS[compression_number] if kind is EntryKind.FILE else Compression.ZLIB
    hardlinks = _integer(row.hardlinks, where, "hardlinks", 1)
    if not hardlinks & MAXIMUM_UINT32:
        raise FormatError(what=where, field="hardlinks", problem="counts no link")
    symlink = _text(row.symlink, where, "symlink")
    if bool(symlink) != (kind is EntryKind.SYMLINK):
        raise FormatError(what=where, field="symlink", problem="does not fit the type of the entry")
    return Entry(
        name=name,
        mode=mode,
        size=_integer(row.size, where, "size", 0),
        mtime=_integer(row.mtime, where, "mtime"),
        mtime_ns=None if row.mtimens is None else _integer(row.mtimens, where, "mtimens", 0, NANOSECONDS - 1),
        uid=_integer(row.uid, where, "uid", 0, MAXIMUM_UINT32),
        gid=_integer(row.gid, where, "gid", 0, MAXIMUM_UINT32),
        linkcount=hardlinks & MAXIMUM_UINT32,
        hardlink_group=hardlinks >> 32,
        digest=_content_digest(row.hash, kind, marks, algorithm, where),
        symlink=symlink,
        xattrs=Xattrs.parse(_blob(row.xattr, where, "xattr"), f"{where}, xattr"),
        marks=marks,
        algorithm=algorithm,
        compression=compression,
    )


def decode_chunk(offset: object, size: object, digest: object, algorithm: Algorithm, what: str) -> Chunk:
    """The chunk that a row says; FormatError names `what` and the column that is wrong."""
    raw = _blob(digest, what, "a chunk's hash")
    if raw is None or len(raw) != DIGEST_BYTES:
        raise FormatError(what=what, field="a chunk's hash", problem=f"is not {DIGEST_BYTES} bytes")
    return Chunk(
        _integer(offset, what, "a chunk's offset", 0), _integer(size, what, "a chunk's size", 1), Digest(algorithm, raw)
    )


def _marks(flags: int, kind: EntryKind, where: str) -> Mark:
    unknown = flags & ~_ALL_BITS
    if unknown:
        raise FormatError(what=where, field="flags", problem=f"have unknown bits: {unknown:#x}")
    if flags & _KIND_BITS != _BITS_OF_KIND.get(kind, _FILE_BIT | _SPECIAL_BIT):
        raise FormatError(what=where, field="flags", problem=f"({flags:#x}) do not fit the type {kind.name.lower()}")
    marks = Mark(flags & _MARK_BITS)
    if marks & _FILE_MARKS and kind is not EntryKind.FILE:
        raise FormatError(what=where, field="flags", problem="mark a file's properties on something else")
    if marks & _DIRECTORY_MARKS and kind is not EntryKind.DIRECTORY:
        raise FormatError(what=where, field="flags", problem="mark a catalog on something that is no directory")
    return marks


def _content_digest(value: object, kind: EntryKind, marks: Mark, algorithm: Algorithm, where: str) -> Digest | None:
    raw = _blob(value, where, "hash")
    if kind is not EntryKind.FILE:
        return None
    if raw is None:
        if Mark.CHUNKED not in marks:
            raise FormatError(what=where, field="hash", problem="is missing on a regular file")
        return None
    if len(raw) != DIGEST_BYTES:
        raise FormatError(what=where, field="hash", problem=f"has {len(raw)} bytes, not {DIGEST_BYTES}")
    return Digest(algorithm, raw)


def _integer(value: object, what: str, field: str, minimum: int | None = None, maximum: int | None = None) -> int:
    if not isinstance(value, int):
        raise FormatError(what=what, field=field, problem=f"is not a number: {value!r:.80}")
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        raise FormatError(what=what, field=field, problem=f"is out of range: {value}")
    return value


def _text(value: object, what: str, field: str) -> bytes:
    if not isinstance(value, bytes):
        raise FormatError(what=what, field=field, problem=f"is not a text: {value!r:.80}")
    if b"\0" in value:
        raise FormatError(what=what, field=field, problem="holds a NUL byte")
    return value


def _blob(value: object, what: str, field: str) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    raise FormatError(what=what, field=field, problem=f"is neither a blob nor NULL: {value!r:.80}")
