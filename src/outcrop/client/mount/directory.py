"""Directories as the kernel wants them: ready-made replies, read from a catalog's rows in one go.

A directory is one run of READDIRPLUS records: the visible entries and then the hidden ones, each part sorted by name.
Every reply about an entry is a slice of its record, a listing is a slice of the run, and a name is found by bisection.
An entry costs about 200 bytes.

`rows` turns a catalog's rows into columns, `records` turns columns into records, thousands at a time.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import numpy as np

from outcrop.client.contents import Piece
from outcrop.client.mount import protocol
from outcrop.client.mount.listing import Listing
from outcrop.client.mount.records import pack_records
from outcrop.client.mount.rows import (
    HOW_STORED,
    NO_DIGEST,
    STORED_NUMBER,
    LinkTarget,
    ReadRows,
    attributes_of,
    read_rows,
    whole_directories,
)
from outcrop.client.mount.tree import MountedTree
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.digest import DIGEST_BYTES, Digest
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import PathHash
from outcrop.cvmfs.variant import is_variant
from outcrop.cvmfs.xattrs import NO_XATTRS, Xattrs
from outcrop.errors import FormatError

T = TypeVar("T")

_DOTS = 2
"""`.` and `..` come before all entries in a listing."""

_DIRECTORY_MODE = 0o040755

Likeness = tuple[object, ...]
"""What two entries have in common that are the same: attributes, digest, link, extended attributes, marks."""


class Directory:
    """One directory's entries. `first` is the number of the first one, `node` that of the directory itself, `parent`
    that of the directory which holds it. `tree` is the earlier revision that still knows the entries, None while the
    mounted one does."""

    __slots__ = (
        "_besides", "_digests", "_offsets", "_run", "_stored", "_visible", "first", "node", "parent", "tree",
    )  # fmt: skip

    def __init__(
        self,
        first: int,
        run: bytes,
        offsets: array[int],
        digests: bytes,
        stored: bytes,
        visible: int,
        besides: Besides | None = None,
    ) -> None:
        """The entries whose records are in `run`, numbered from `first` on. `offsets` say where in `run` each begins,
        the last one where it ends; `digests` are 20 bytes for each, `stored` one of the numbers of `STORED_NUMBER`."""
        self.first = first
        self.node = self.parent = protocol.NO_NODE
        self.tree: MountedTree | None = None
        self._run, self._offsets = run, offsets
        self._digests, self._stored = digests, stored
        self._visible = visible
        self._besides = besides or _NOTHING

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
            self._digest(index),
            self._stored[index],
            self._besides.targets.get(index),
            self._besides.raw_targets.get(index),
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
        record = self._run[self._offsets[index] : self._offsets[index + 1]]
        part = Directory(
            self.number(index),
            record,
            array("I", (0, len(record))),
            self._digest(index),
            self._stored[index : index + 1],
            1,
            self._besides.part(index),
        )
        part.node, part.parent = self.node, self.parent
        return part

    def mode(self, index: int) -> int:
        """The mode of the entry at `index`."""
        (mode,) = _MODE.unpack_from(self._run, self._offsets[index] + _MODE_OFFSET)
        return int(mode)

    def target(self, index: int) -> bytes | None:
        """Where the link at `index` leads; None if it is none."""
        return self._besides.targets.get(index)

    def xattrs(self, index: int) -> Xattrs:
        """The attributes that the catalog has for the entry at `index`."""
        return self._besides.xattrs.get(index, NO_XATTRS)

    def marks(self, index: int) -> Mark:
        """What the entry at `index` is besides its kind."""
        return self._besides.marks.get(index, Mark.NONE)

    def whole_file(self, index: int) -> Piece | None:
        """All bytes of the file at `index` as one piece; None for a file that is chunked or external."""
        if index in self._besides.marks:
            return None
        raw = self._digest(index)
        if raw == NO_DIGEST:
            return None
        algorithm, compression = HOW_STORED[self._stored[index]]
        (size,) = _SIZE.unpack_from(self._run, self._offsets[index] + _SIZE_OFFSET)
        return Piece(0, size, ObjectName(Digest(algorithm, raw), ObjectKind.FILE), compression)

    def _digest(self, index: int) -> bytes:
        return self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    def entry(self, index: int) -> Entry:
        """The entry at `index`: name, mode, a file's size and digest, a link's raw target, attributes and marks."""
        algorithm, compression = HOW_STORED[self._stored[index]]
        raw = self._digest(index)
        (size,) = _SIZE.unpack_from(self._run, self._offsets[index] + _SIZE_OFFSET)
        return Entry(
            name=self.name(index),
            mode=self.mode(index),
            size=size,
            digest=None if raw == NO_DIGEST else Digest(algorithm, raw),
            symlink=self._besides.raw_targets.get(index) or self._besides.targets.get(index, b""),
            xattrs=self.xattrs(index),
            marks=self.marks(index),
            algorithm=algorithm,
            compression=compression,
        )


@dataclass(frozen=True, slots=True)
class Besides:
    """What few entries of a directory have besides their attributes and digests, by position."""

    targets: Mapping[int, bytes]
    raw_targets: Mapping[int, bytes]
    xattrs: Mapping[int, Xattrs]
    marks: Mapping[int, Mark]

    @classmethod
    def of(cls, entries: Mapping[int, Entry], targets: Mapping[int, bytes]) -> Besides:
        """What the `entries` say, of which those that are links lead to `targets`."""
        return cls(
            targets=targets,
            raw_targets={index: entry.symlink for index, entry in entries.items() if is_variant(entry.symlink)},
            xattrs={index: entry.xattrs for index, entry in entries.items() if entry.xattrs},
            marks={index: entry.marks for index, entry in entries.items() if entry.marks},
        )

    def part(self, index: int) -> Besides:
        """What is said of `index`, said of 0."""
        return Besides(
            _only(self.targets, index),
            _only(self.raw_targets, index),
            _only(self.xattrs, index),
            _only(self.marks, index),
        )


_NOTHING = Besides({}, {}, {}, {})


def _only(values: Mapping[int, T], index: int) -> Mapping[int, T]:
    return {0: values[index]} if index in values else {}


def single_directory(entry: Entry, first: int) -> Directory:
    """A directory that holds nothing but `entry`, which is no link, under the number `first`."""
    record = protocol.directory_record(first, attributes_of(entry), entry.name, _DOTS + 1)
    return Directory(
        first,
        record,
        array("I", (0, len(record))),
        entry.digest.raw if entry.digest else NO_DIGEST,
        bytes((STORED_NUMBER[entry.algorithm, entry.compression],)),
        1,
        Besides.of({0: entry}, {}),
    )


def empty_directory(node: int, parent: int) -> Directory:
    """The directory `node` in the directory `parent`, with nothing in it."""
    directory = Directory(protocol.NO_NODE, b"", array("I", (0,)), b"", b"", 0)
    directory.node, directory.parent = node, parent
    return directory


@dataclass(slots=True)
class ReadCatalog:
    """The directories of one catalog that hold anything, by the hashes of their paths and in the order of their
    numbers; the numbers of all directories but the catalog's root. `next` is the first number that was not given."""

    next: int
    directories: dict[PathHash, Directory] = field(default_factory=dict)
    numbers: dict[PathHash, int] = field(default_factory=dict)


def read_catalog(listing: Listing, first: int, target: LinkTarget) -> ReadCatalog:
    """All directories of `listing`; its entries get the numbers from `first` on. `target` says where a link leads.

    FormatError names what is malformed.
    """
    catalog = ReadCatalog(first)
    with sqlite_border(listing.what):
        for block in whole_directories(listing):
            _add_directories(catalog, read_rows(block, listing, target), listing.what)
    return catalog


def _add_directories(catalog: ReadCatalog, rows: ReadRows, what: str) -> None:
    """Makes directories of `rows`, and numbers their entries."""
    _check_names(rows, what)
    first, count = catalog.next, len(rows.names)
    begins = [*rows.begins, count]
    ends = np.array(begins[1:])
    sizes = np.diff(begins)
    rows.columns.cookie = np.arange(_DOTS + 1, _DOTS + 1 + count) - np.repeat(begins[:-1], sizes)
    rows.columns.node = np.arange(first, first + count)
    entries: dict[int, dict[int, Entry]] = {}
    groups: dict[tuple[int, int], int] = {}
    for place, entry in rows.entries.items():
        ordinal = int(np.searchsorted(ends, place, "right"))
        entries.setdefault(ordinal, {})[place - begins[ordinal]] = entry
        if entry.hardlink_group:
            rows.columns.node[place] = groups.setdefault((ordinal, entry.hardlink_group), first + place)
    run = pack_records(rows.columns, rows.names)
    relative = array("I")
    relative.frombytes((run.offsets[:-1] - np.repeat(run.offsets[begins[:-1]], sizes)).astype(np.uint32).tobytes())
    bounds = run.offsets[begins].tolist()
    for ordinal, begin in enumerate(rows.begins):
        end = begins[ordinal + 1]
        offsets = relative[begin:end]
        offsets.append(bounds[ordinal + 1] - bounds[ordinal])
        special = entries.get(ordinal)
        besides, hidden = None, 0
        if special:
            targets = {index: rows.targets[begin + index] for index in special if begin + index in rows.targets}
            besides = Besides.of(special, targets)
            hidden = sum(entry.is_hidden for entry in special.values())
        catalog.directories[rows.parents[ordinal]] = Directory(
            first + begin,
            run.data[bounds[ordinal] : bounds[ordinal + 1]],
            offsets,
            rows.digests[begin * DIGEST_BYTES : end * DIGEST_BYTES],
            rows.stored[begin:end],
            end - begin - hidden,
            besides,
        )
    for place in np.flatnonzero(rows.columns.mode >> _FILE_TYPE_SHIFT == _DIRECTORY_TYPE).tolist():
        catalog.numbers[rows.own_hashes[place]] = int(rows.columns.node[place])
    catalog.next += count


def _check_names(rows: ReadRows, what: str) -> None:
    """FormatError for an entry without a name, and for two of one name in a directory."""
    for begin, end in pairwise([*rows.begins, len(rows.names)]):
        names = rows.names[begin:end]
        if len(set(names)) < len(names) or b"" in names:
            double = b"" if b"" in names else next(name for name in names if names.count(name) > 1)
            problem = f"is one of two called {double[:80]!r}" if double else "has no name"
            raise FormatError(what=what, field="an entry", problem=problem)


_FILE_TYPE_SHIFT = 12
_DIRECTORY_TYPE = _DIRECTORY_MODE >> _FILE_TYPE_SHIFT
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
