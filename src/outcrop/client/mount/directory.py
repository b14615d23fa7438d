"""Directories as the kernel wants them: ready-made replies, read from a catalog's rows in one go.

A directory is one run of READDIRPLUS records: the visible entries and then the hidden ones, each part sorted by name.
Every reply about an entry is a slice of its record, a listing is a slice of the run, and a name is found by bisection.
An entry costs about 200 bytes.

Nearly all rows are plain files and directories; these become records without a detour. All others, and all that look
wrong in any way, go through `decode_entry`, which knows every rule and names what is broken.
"""

from __future__ import annotations

import os
import stat
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import TypeVar

from outcrop.client.contents import Piece
from outcrop.client.mount import protocol
from outcrop.client.mount.listing import Listing, ListingRow
from outcrop.client.mount.protocol import Attributes
from outcrop.client.mount.tree import MountedTree
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.digest import DIGEST_BYTES, Algorithm, Digest
from outcrop.cvmfs.entry import ENTRY_COLUMNS, NANOSECONDS, Entry, EntryRow, Mark, decode_entry
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import PathHash
from outcrop.cvmfs.variant import is_variant
from outcrop.cvmfs.xattrs import NO_XATTRS, Xattrs
from outcrop.errors import FormatError

T = TypeVar("T")

_DOTS = 2
"""`.` and `..` come before all entries in a listing."""

_NO_DIGEST = bytes(DIGEST_BYTES)
_HOW_STORED = tuple((algorithm, compression) for algorithm in Algorithm for compression in Compression)
_STORED_NUMBER = {pair: number for number, pair in enumerate(_HOW_STORED)}
_DIRECTORY_MODE = 0o040755

LinkTarget = Callable[[Entry], bytes]
"""Says where a link leads on this machine."""

Likeness = tuple[object, ...]
"""What two entries have in common that are the same: attributes, digest, link, extended attributes, marks."""


class Directory:
    """One directory's entries. `first` is the number of the first one, `node` that of the directory itself, `parent`
    that of the directory which holds it. `tree` is the earlier revision that still knows the entries, None while the
    mounted one does."""

    __slots__ = (
        "_digests", "_marks", "_offsets", "_raw_targets", "_run", "_stored", "_targets", "_visible", "_xattrs",
        "first", "node", "parent", "tree",
    )  # fmt: skip

    def __init__(self, records: _Records) -> None:
        self.first = records.first
        self.node = self.parent = protocol.NO_NODE
        self.tree: MountedTree | None = None
        offsets = array("I", (0,))
        end = 0
        for record in records.records:
            end += len(record)
            offsets.append(end)
        self._offsets = offsets
        self._run = b"".join(records.records)
        self._digests = b"".join(records.digests)
        self._stored = bytes(records.stored)
        self._visible = records.visible
        self._targets: Mapping[int, bytes] = records.targets or _NO_BYTES
        self._raw_targets: Mapping[int, bytes] = records.raw_targets or _NO_BYTES
        self._xattrs: Mapping[int, Xattrs] = records.xattrs or _NO_XATTRS
        self._marks: Mapping[int, Mark] = records.marks or _NO_MARKS

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def listing(self, cookie: int, size: int) -> bytes:
        """The whole records behind `cookie` that fit into `size` bytes; hidden entries are left out."""
        if cookie >= _DOTS:
            return self._entries(cookie - _DOTS, size)
        found = b""
        for record in self._dots()[cookie:]:
            if len(found) + len(record) > size:
                return found
            found += record
        return found + self._entries(0, size - len(found))

    def _entries(self, begin: int, size: int) -> bytes:
        offsets, last = self._offsets, self._visible
        if not 0 <= begin < last:
            return b""
        start = offsets[begin]
        end = bisect_right(offsets, start + size, begin, last + 1) - 1
        return self._run[start : offsets[end]]

    def _dots(self) -> tuple[bytes, bytes]:
        return (
            protocol.dot_record(self.node, _DIRECTORY_MODE, b".", 1),
            protocol.dot_record(self.parent, _DIRECTORY_MODE, b"..", _DOTS),
        )

    def plain_listing(self, cookie: int, size: int) -> bytes:
        """As `listing`, but in the records of READDIR."""
        found: list[bytes] = []
        for position in range(max(cookie, 0), self._visible + _DOTS):
            index = position - _DOTS
            record = self._dots()[position] if index < 0 else self._run[self._offsets[index] : self._offsets[index + 1]]
            plain = protocol.plain_record(record)
            size -= len(plain)
            if size < 0:
                break
            found.append(plain)
        return b"".join(found)

    def index(self, name: bytes) -> int | None:
        """The position of the entry called `name`."""
        for begin, end in ((0, self._visible), (self._visible, len(self))):
            index = bisect_left(range(end), name, begin, end, key=self.name)
            if index < end and self.name(index) == name:
                return index
        return None

    def name(self, index: int) -> bytes:
        """The name of the entry at `index`."""
        start = self._offsets[index] + protocol.NAME_OFFSET
        (length,) = _NAME_LENGTH.unpack_from(self._run, start - _NAME_LENGTH_BEFORE_NAME)
        return self._run[start : start + length]

    def reply(self, index: int) -> bytes:
        """The body of the reply to LOOKUP of the entry at `index`."""
        start = self._offsets[index]
        return self._run[start : start + protocol.ENTRY_OUT.size]

    def number(self, index: int) -> int:
        """The number of the entry at `index`, which may be older than this directory."""
        (number,) = _NUMBER.unpack_from(self._run, self._offsets[index])
        return int(number)

    @property
    def visible(self) -> int:
        """How many entries a listing shows."""
        return self._visible

    def likeness(self, index: int) -> Likeness:
        """What makes the entry at `index` the one that it is, wherever it stands in its directory. Chunks are not
        part of it: the catalog has them."""
        start = self._offsets[index]
        return (
            self._run[start + _BEHIND_NUMBER : start + protocol.ENTRY_OUT.size],
            self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES],
            self._stored[index],
            self._targets.get(index),
            self._raw_targets.get(index),
            self.xattrs(index),
            self.marks(index),
        )

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """Gives entries the numbers that `numbers` has for theirs. Only for a directory that nobody has seen."""
        run = bytearray(self._run)
        for index in range(len(self)):
            kept = numbers.get(self.number(index))
            if kept is not None:
                for offset in _NUMBER_OFFSETS:
                    _NUMBER.pack_into(run, self._offsets[index] + offset, kept)
        self._run = bytes(run)

    def part(self, index: int) -> Directory:
        """A directory that holds nothing but the entry at `index`."""
        records = _Records(self.number(index), lambda link: link.symlink)
        records.add_record(
            self._run[self._offsets[index] : self._offsets[index + 1]],
            self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES],
            self._stored[index],
        )
        records.targets, records.raw_targets = _only(self._targets, index), _only(self._raw_targets, index)
        records.xattrs, records.marks = _only(self._xattrs, index), _only(self._marks, index)
        part = Directory(records)
        part.node, part.parent = self.node, self.parent
        return part

    def mode(self, index: int) -> int:
        """The mode of the entry at `index`."""
        (mode,) = _MODE.unpack_from(self._run, self._offsets[index] + _MODE_OFFSET)
        return int(mode)

    def target(self, index: int) -> bytes | None:
        """Where the link at `index` leads; None if it is none."""
        return self._targets.get(index)

    def xattrs(self, index: int) -> Xattrs:
        """The attributes that the catalog has for the entry at `index`."""
        return self._xattrs.get(index, NO_XATTRS)

    def marks(self, index: int) -> Mark:
        """What the entry at `index` is besides its kind."""
        return self._marks.get(index, Mark.NONE)

    def whole_file(self, index: int) -> Piece | None:
        """All bytes of the file at `index` as one piece; None for a file that is chunked or external."""
        if index in self._marks:
            return None
        raw = self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
        if raw == _NO_DIGEST:
            return None
        algorithm, compression = _HOW_STORED[self._stored[index]]
        (size,) = _SIZE.unpack_from(self._run, self._offsets[index] + _SIZE_OFFSET)
        return Piece(0, size, ObjectName(Digest(algorithm, raw), ObjectKind.FILE), compression)

    def entry(self, index: int) -> Entry:
        """The entry at `index`: name, mode, a file's size and digest, a link's raw target, attributes and marks."""
        algorithm, compression = _HOW_STORED[self._stored[index]]
        raw = self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
        (size,) = _SIZE.unpack_from(self._run, self._offsets[index] + _SIZE_OFFSET)
        return Entry(
            name=self.name(index),
            mode=self.mode(index),
            size=size,
            digest=None if raw == _NO_DIGEST else Digest(algorithm, raw),
            symlink=self._raw_targets.get(index) or self._targets.get(index, b""),
            xattrs=self.xattrs(index),
            marks=self.marks(index),
            algorithm=algorithm,
            compression=compression,
        )


_NO_BYTES: Mapping[int, bytes] = MappingProxyType({})
_NO_XATTRS: Mapping[int, Xattrs] = MappingProxyType({})
_NO_MARKS: Mapping[int, Mark] = MappingProxyType({})


def _only(values: Mapping[int, T], index: int) -> dict[int, T]:
    """What `values` says of `index`, said of 0."""
    return {0: values[index]} if index in values else {}


class _Records:
    """The entries of a directory that is being read; the first one has the number `first`."""

    __slots__ = (
        "_groups", "_target", "digests", "first", "marks", "raw_targets", "records", "stored", "targets", "visible",
        "xattrs",
    )  # fmt: skip

    def __init__(self, first: int, target: LinkTarget) -> None:
        self.first = first
        self.records: list[bytes] = []
        self.digests: list[bytes] = []
        self.stored: list[int] = []
        self.visible = 0
        self.targets: dict[int, bytes] = {}
        self.raw_targets: dict[int, bytes] = {}
        self.xattrs: dict[int, Xattrs] = {}
        self.marks: dict[int, Mark] = {}
        self._groups: dict[int, int] = {}
        self._target = target

    def add(self, entry: Entry) -> int:
        """Any entry, the next in order; returns its number."""
        index = len(self.records)
        target = b""
        if entry.is_symlink:
            target = self.targets[index] = self._target(entry)
            if is_variant(entry.symlink):
                self.raw_targets[index] = entry.symlink
        if entry.xattrs:
            self.xattrs[index] = entry.xattrs
        if entry.marks:
            self.marks[index] = entry.marks
        node = self.first + index
        if entry.hardlink_group:
            node = self._groups.setdefault(entry.hardlink_group, node)
        record = protocol.directory_record(node, attributes_of(entry, target), entry.name, index + _DOTS + 1)
        digest = entry.digest.raw if entry.digest else _NO_DIGEST
        self.add_record(record, digest, _STORED_NUMBER[entry.algorithm, entry.compression])
        return node

    def add_record(self, record: bytes, digest: bytes, stored: int) -> None:
        """An entry without anything special, as its record."""
        self.records.append(record)
        self.digests.append(digest)
        self.stored.append(stored)


def attributes_of(entry: Entry, target: bytes = b"") -> Attributes:
    """What `stat` shows of `entry`. A link is as long as its `target` on this machine; a device has no size."""
    device = 0
    size = entry.size
    if entry.kind.is_special:
        size = 0
        if entry.kind.is_device:
            device = protocol.device_number(os.major(entry.size), os.minor(entry.size))
    elif entry.is_symlink:
        size = len(target)
    return Attributes(entry.mode, size, entry.mtime, entry.mtime_ns or 0, entry.linkcount, entry.uid, entry.gid, device)


def single_directory(entry: Entry, first: int) -> Directory:
    """A directory that holds nothing but `entry`, under the number `first`."""
    records = _Records(first, lambda link: link.symlink)
    records.add(entry)
    records.visible = 1
    return Directory(records)


def empty_directory(node: int, parent: int) -> Directory:
    """The directory `node` in the directory `parent`, with nothing in it."""
    directory = Directory(_Records(protocol.NO_NODE, lambda link: link.symlink))
    directory.node, directory.parent = node, parent
    return directory


@dataclass(frozen=True, slots=True)
class ReadCatalog:
    """The directories of one catalog that hold anything, by the hashes of their paths and in the order of their
    numbers; the numbers of all directories but the catalog's root. `next` is the first number that was not given."""

    directories: Mapping[PathHash, Directory]
    numbers: Mapping[PathHash, int]
    next: int


def read_catalog(listing: Listing, first: int, target: LinkTarget) -> ReadCatalog:
    """All directories of `listing`; its entries get the numbers from `first` on. `target` says where a link leads.

    FormatError names what is malformed.
    """
    reader = _CatalogReader(listing, first, target)
    with sqlite_border(listing.what):
        for parent, rows in groupby(listing.rows, key=_PARENT):
            reader.read_directory(parent, rows)
    return ReadCatalog(reader.directories, reader.numbers, reader.next)


class _CatalogReader:
    """Makes directories of rows."""

    def __init__(self, listing: Listing, first: int, target: LinkTarget) -> None:
        self.directories: dict[PathHash, Directory] = {}
        self.numbers: dict[PathHash, int] = {}
        self.next = first
        self._root = listing.root
        self._what = listing.what
        self._target = target

    def read_directory(self, parent: PathHash, rows: Iterable[ListingRow]) -> None:
        """The directory `parent`, whose entries are `rows`."""
        first = number = self.next
        records = _Records(first, self._target)
        # What stands in this loop is done for every entry of a repository.
        add_record, add_digest, add_stored = records.records.append, records.digests.append, records.stored.append
        cookie = _DOTS + 1 - first
        hidden: list[tuple[PathHash, Entry]] = []
        previous = b""
        for row in rows:
            record = plain_record(row, number, number + cookie)
            if record is not None:
                name, flags = row[_NAME_COLUMN], row[_FLAGS_COLUMN]
                add_record(record)
                add_stored(_PLAIN_FLAGS[flags])
                if flags == _DIRECTORY_FLAGS:
                    add_digest(_NO_DIGEST)
                    self.numbers[_OWN(row)] = number
                else:
                    add_digest(row[_HASH_COLUMN])
                number += 1
            else:
                own = _OWN(row)
                if own == self._root:
                    # The catalog above says the same of it. It is never plain: it has no name, or a mark.
                    continue
                entry = decode_entry(EntryRow(*row[_KEY_COLUMNS:]), self._what)
                name = entry.name
                if entry.is_hidden:
                    hidden.append((own, entry))
                else:
                    self._add(records, own, entry)
                    number += 1
            if name == previous:
                problem = f"is one of two called {name[:80]!r}" if name else "has no name"
                raise FormatError(what=self._what, field="an entry", problem=problem)
            previous = name
        records.visible = len(records.records)
        for own, entry in hidden:
            self._add(records, own, entry)
        if records.records:
            self.next = first + len(records.records)
            self.directories[parent] = Directory(records)

    def _add(self, records: _Records, own: PathHash, entry: Entry) -> None:
        node = records.add(entry)
        if entry.is_directory:
            self.numbers[own] = node


def plain_record(row: ListingRow, node: int, cookie: int) -> bytes | None:
    """The record of a plain file or directory; None for a row that is anything else, or that breaks any rule."""
    _, _, _, _, name, mode, size, mtime, mtime_ns, uid, gid, hardlinks, digest, symlink, xattr, flags = row
    try:
        if xattr is not None or symlink != b"" or b"/" in name or b"\0" in name or name in _DOT_NAMES:
            return None
        kind = mode >> 12
        if flags == _DIRECTORY_FLAGS:
            if kind != _DIRECTORY_TYPE or hardlinks >> 32:
                return None
        elif flags not in _PLAIN_FLAGS or kind != _FILE_TYPE or hardlinks >> 32 or len(digest) != DIGEST_BYTES:
            return None
        nanoseconds = mtime_ns or 0
        if hardlinks < 1 or nanoseconds >= NANOSECONDS:
            return None
        seconds = mtime & _UINT64
        length = len(name)
        head = _PACK_RECORD(
            node, 0, protocol.LONGEST, protocol.LONGEST, 0, 0,
            node, size, size + 511 >> 9, seconds, seconds, seconds, nanoseconds, nanoseconds, nanoseconds,
            mode, hardlinks, uid, gid, 0, 4096, 0,
            node, cookie, length, kind,
        )  # fmt: skip
    except (TypeError, struct.error):
        # A column is NULL, of the wrong type or out of range.
        return None
    record: bytes = head + name + _PADDING[length & 7]
    return record


_PACK_RECORD = protocol.DIRENTPLUS.pack
_UINT64 = 2**64 - 1
_DOT_NAMES = frozenset({b"", b".", b".."})
_FILE_TYPE, _DIRECTORY_TYPE = stat.S_IFREG >> 12, stat.S_IFDIR >> 12
_PADDING = tuple(bytes(-length % protocol.RECORD_ALIGNMENT) for length in range(protocol.RECORD_ALIGNMENT))
_KEY_COLUMNS = 4
_NAME_COLUMN, _HASH_COLUMN, _FLAGS_COLUMN = (
    _KEY_COLUMNS + ENTRY_COLUMNS.index(name) for name in ("name", "hash", "flags")
)
_PARENT, _OWN = itemgetter(0, 1), itemgetter(2, 3)
"""The hashes of a row's parent and of its own path: tuples that equal the `PathHash` they stand for."""

_DIRECTORY_FLAGS = Entry(b"", stat.S_IFDIR).flags
_PLAIN_FLAGS = {_DIRECTORY_FLAGS: 0} | {
    Entry(b"", stat.S_IFREG, digest=Digest(algorithm, _NO_DIGEST), algorithm=algorithm, compression=compression).flags:
    number
    for (algorithm, compression), number in _STORED_NUMBER.items()
}  # fmt: skip
"""What plain rows have as `flags`, and which of `_HOW_STORED` it says."""

_NAME_LENGTH = struct.Struct("=I")
_NAME_LENGTH_BEFORE_NAME = 8
"""A record has the length of the name and the type, four bytes each, in front of the name."""
_NUMBER = struct.Struct("=Q")
_NUMBER_OFFSETS = (0, protocol.ATTRIBUTES_OFFSET, protocol.DIRENT_OFFSET)
"""Where a record has the number: as the node, in the attributes, in the directory entry."""
_BEHIND_NUMBER = protocol.ATTRIBUTES_OFFSET + _NUMBER.size
_SIZE = struct.Struct("=Q")
_SIZE_OFFSET = protocol.ATTRIBUTES_OFFSET + 8
_MODE = struct.Struct("=I")
_MODE_OFFSET = protocol.ATTRIBUTES_OFFSET + 6 * 8 + 3 * 4
"""Six fields of eight bytes and three of four bytes stand in front of the mode."""
