"""The rows of a catalog as columns of attributes.

Nearly all rows are plain files and directories: all their numbers are in range, and nothing about them is special. What
is plain is decided for thousands of rows at once. Every other row, and every row that looks wrong in any way, goes
through `decode_entry`, which knows all rules and names what is broken.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import cast

import numpy as np
import numpy.typing as npt

from outcrop.client.mount import protocol
from outcrop.client.mount.listing import KEY_COLUMNS, KEY_NAMES, Listing, ListingRow
from outcrop.client.mount.owners import AS_PUBLISHED, Owners, owned
from outcrop.client.mount.protocol import Attributes
from outcrop.client.mount.records import Columns, Integers
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import DIGEST_BYTES, Algorithm, Digest
from outcrop.cvmfs.entry import ENTRY_COLUMNS, MAXIMUM_UINT32, NANOSECONDS, Entry, EntryRow, Mark, decode_entry
from outcrop.cvmfs.paths import PathHash
from outcrop.cvmfs.table_scan import ScannedRows, TableScan
from outcrop.errors import FormatError

BLOCK_ROWS = 8192
"""How many rows are in memory at once, unless a directory has more: 7 MB."""

Truths = npt.NDArray[np.bool_]
LinkTarget = Callable[[Entry], bytes]
"""Says where a link leads on this machine."""

NO_DIGEST = bytes(DIGEST_BYTES)
HOW_STORED = tuple((algorithm, compression) for algorithm in Algorithm for compression in Compression)
STORED_NUMBER = {pair: number for number, pair in enumerate(HOW_STORED)}
"""How a file's object is stored, as one byte."""

_DIRECTORY_FLAGS = Entry(b"", stat.S_IFDIR).flags
_STORED_BY_FLAGS = {
    Entry(b"", stat.S_IFREG, digest=Digest(algorithm, NO_DIGEST), algorithm=algorithm, compression=compression).flags:
    number
    for (algorithm, compression), number in STORED_NUMBER.items()
}  # fmt: skip
_FILE_FLAGS = np.array(sorted(_STORED_BY_FLAGS))
"""What plain files have as `flags`, to be bisected."""
_FILE_STORED = np.array([_STORED_BY_FLAGS[flags] for flags in _FILE_FLAGS.tolist()], np.uint8)
"""How their objects are stored: numbers of `STORED_NUMBER`."""

_FILE_TYPE, _DIRECTORY_TYPE = stat.S_IFREG >> 12, stat.S_IFDIR >> 12
_DOT_NAMES = frozenset({b"", b".", b".."})
INTEGER_COLUMNS = ("mode", "size", "mtime", "mtimens", "uid", "gid", "hardlinks", "flags")
_PARENT, _OWN = slice(0, 2), slice(2, KEY_COLUMNS)


@dataclass(slots=True)
class RawRows:
    """The rows of whole directories, one of which begins at each of `begins`. `usual` are those with the types that
    columns nearly always have: a name, integers, no link, no extended attributes. What else stands there, and is no
    name or no integer, is empty or 0 here; `row` gives it as it is. `digests` are 20 bytes for each row."""

    names: list[bytes]
    numbers: dict[str, Integers]
    usual: Truths
    digests: npt.NDArray[np.uint8]
    has_digest: Truths
    begins: list[int]
    parents: list[PathHash]
    own_hashes: list[PathHash]
    row: Callable[[int], EntryRow]


@dataclass(slots=True)
class ReadRows:
    """Entries of whole directories, one of which begins at each of `begins`; `parents` are the hashes of these
    directories. `columns` have no numbers and cookies yet. `digests` are 20 bytes for each entry, `stored` a byte that
    says which of `HOW_STORED`. `entries` are those that are more than their attributes and their digest, by position,
    `targets` what the links among them lead to."""

    names: list[bytes]
    columns: Columns
    digests: bytes
    stored: bytes
    entries: dict[int, Entry]
    targets: dict[int, bytes]
    begins: list[int]
    parents: list[PathHash]
    own_hashes: list[PathHash]


def whole_directories(listing: Listing) -> Iterator[RawRows]:
    """The rows of `listing` in pieces that end where a directory ends, without the row of the catalog's own root: the
    catalog above says the same of that. FormatError for a broken record."""
    ordered = None if listing.scan is None else order_scan(listing.scan, listing.root)
    if ordered is not None:
        yield from ordered.blocks(listing.what)
        return
    rows = (row for row in listing.rows if row[_OWN] != listing.root)
    waiting: list[ListingRow] = []
    wanted = BLOCK_ROWS
    while block := list(islice(rows, wanted)):
        waiting += block
        last = waiting[-1][_PARENT]
        end = len(waiting)
        while end and waiting[end - 1][_PARENT] == last:
            end -= 1
        if end:
            yield _raw_rows(waiting[:end])
            del waiting[:end]
        # One directory that fills everything is looked through a few times only.
        wanted = max(BLOCK_ROWS, len(waiting))
    if waiting:
        yield _raw_rows(waiting)


def _raw_rows(rows: Sequence[ListingRow]) -> RawRows:
    values = list(zip(*rows, strict=True))
    # Plain tuples, which equal the hashes that they stand for.
    own_hashes = cast("list[PathHash]", list(zip(*values[_OWN], strict=True)))
    parents = cast("list[PathHash]", list(zip(*values[_PARENT], strict=True)))
    begins = [0, *(index for index in range(1, len(rows)) if parents[index] != parents[index - 1])]
    by_name = dict(zip(ENTRY_COLUMNS, values[KEY_COLUMNS:], strict=True))
    names = [name if type(name) is bytes else b"" for name in by_name["name"]]
    hashes = [raw if type(raw) is bytes and len(raw) == DIGEST_BYTES else NO_DIGEST for raw in by_name["hash"]]
    usual = [
        type(name) is bytes and symlink == b"" and xattr is None
        for name, symlink, xattr in zip(by_name["name"], by_name["symlink"], by_name["xattr"], strict=True)
    ]
    numbers = {name: _integers(by_name[name], usual, may_lack=name == "mtimens") for name in INTEGER_COLUMNS}
    return RawRows(
        names=names,
        numbers=numbers,
        usual=np.array(usual),
        digests=np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, DIGEST_BYTES).copy(),
        has_digest=np.array([raw is not NO_DIGEST for raw in hashes]),
        begins=begins,
        parents=[parents[begin] for begin in begins],
        own_hashes=own_hashes,
        row=lambda index: EntryRow(*rows[index][KEY_COLUMNS:]),
    )


def _integers(values: Sequence[object], usual: list[bool], *, may_lack: bool) -> Integers:
    """`values` as integers; for others the row is not usual, unless it may lack one."""
    found = np.zeros(len(values), np.int64)
    for index, value in enumerate(values):
        if type(value) is int and -(2**63) <= value < 2**63:
            found[index] = value
        elif value is not None or not may_lack:
            usual[index] = False
    return found


def read_rows(raw: RawRows, listing: Listing, target: LinkTarget) -> ReadRows:
    """What the rows `raw` of `listing` say; `target` says where a link leads. FormatError names what is malformed."""
    count = len(raw.names)
    plain = _plain(raw)
    numbers = raw.numbers
    files = plain & (numbers["flags"] != _DIRECTORY_FLAGS)
    digests = np.where(files[:, np.newaxis], raw.digests, np.uint8(0))
    stored = np.zeros(count, np.uint8)
    stored[files] = _FILE_STORED[np.searchsorted(_FILE_FLAGS, numbers["flags"][files])]
    nothing = np.zeros(count, np.int64)
    columns = Columns(
        node=nothing, cookie=nothing, mode=numbers["mode"], size=numbers["size"], mtime=numbers["mtime"],
        mtime_ns=numbers["mtimens"], links=numbers["hardlinks"], uid=numbers["uid"], gid=numbers["gid"],
        device=np.zeros(count, np.int64),
    )  # fmt: skip
    if listing.owners is not AS_PUBLISHED:
        _change_owners(columns, listing.owners)
    entries: dict[int, Entry] = {}
    targets: dict[int, bytes] = {}
    for index in np.flatnonzero(~plain).tolist():
        entry = entries[index] = owned(decode_entry(raw.row(index), listing.what), listing.owners)
        if entry.is_symlink:
            targets[index] = target(entry)
        _set(columns, index, attributes_of(entry, targets.get(index, b"")))
        digests[index] = np.frombuffer(entry.digest.raw if entry.digest else NO_DIGEST, np.uint8)
        stored[index] = STORED_NUMBER[entry.algorithm, entry.compression]
    return ReadRows(
        raw.names, columns, digests.tobytes(), stored.tobytes(), entries, targets, raw.begins, raw.parents,
        raw.own_hashes,
    )  # fmt: skip


def _plain(raw: RawRows) -> Truths:
    """Which rows are plain files or directories that break no rule."""
    joined = b"".join(raw.names)
    if b"/" in joined or b"\0" in joined:
        return np.zeros(len(raw.names), np.bool_)
    numbers = raw.numbers
    flags, links = numbers["flags"], numbers["hardlinks"]
    kind = numbers["mode"] >> 12
    is_directory = (flags == _DIRECTORY_FLAGS) & (kind == _DIRECTORY_TYPE)
    is_file = np.isin(flags, _FILE_FLAGS) & (kind == _FILE_TYPE) & raw.has_digest
    plain: Truths = raw.usual & (is_directory | is_file)
    plain &= (numbers["size"] >= 0) & (links >= 1) & (links <= MAXIMUM_UINT32)
    for name in ("uid", "gid"):
        plain &= (numbers[name] >= 0) & (numbers[name] <= MAXIMUM_UINT32)
    plain &= (numbers["mtimens"] >= 0) & (numbers["mtimens"] < NANOSECONDS)
    plain &= np.fromiter([name not in _DOT_NAMES for name in raw.names], np.bool_, len(raw.names))
    return plain


def _change_owners(columns: Columns, owners: Owners) -> None:
    for values, change in ((columns.uid, owners.uid), (columns.gid, owners.gid)):
        published, places = np.unique(values, return_inverse=True)
        # Rows that are out of range are not plain, and are refused later.
        values[:] = np.array(
            [change(one) if 0 <= one <= MAXIMUM_UINT32 else one for one in published.tolist()], np.int64
        )[places]  # fmt: skip


def _set(columns: Columns, index: int, attributes: Attributes) -> None:
    columns.mode[index], columns.size[index] = attributes.mode, attributes.size
    columns.mtime[index], columns.mtime_ns[index] = attributes.mtime, attributes.mtime_ns
    columns.links[index], columns.device[index] = attributes.nlink, attributes.device
    columns.uid[index], columns.gid[index] = attributes.uid, attributes.gid


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


@dataclass(frozen=True, slots=True)
class OrderedScan:
    """The rows of a scan by directories: `cells` in that order; `bounds` are where directories begin, and the end."""

    scan: TableScan
    cells: Integers
    bounds: Integers

    def blocks(self, what: str) -> Iterator[RawRows]:
        """The rows in pieces of whole directories, each directory in the order of a `Listing`; FormatError for a broken
        record of `what`."""
        first = 0
        while first < len(self.bounds) - 1:
            enough = int(np.searchsorted(self.bounds, self.bounds[first] + BLOCK_ROWS, "right")) - 1
            last = max(enough, first + 1)
            bounds = self.bounds[first : last + 1]
            rows = self.scan.rows(self.cells[bounds[0] : bounds[-1]])
            if rows is None:
                raise FormatError(what=what, field="the database", problem="holds a record that is malformed")
            yield _scanned_rows(rows, (bounds - bounds[0]).tolist())
            first = last


def order_scan(scan: TableScan, root: PathHash) -> OrderedScan | None:
    """The rows of `scan` by directories, without the row of the path `root`; None where SQLite has to be asked."""
    keys = scan.rows(scan.cells, KEY_NAMES)
    if keys is None or not all(np.all(keys.is_integer(name)) for name in KEY_NAMES):
        return None
    parent_1, parent_2, own_1, own_2 = (keys.integers(name) for name in KEY_NAMES)
    kept = np.flatnonzero((own_1 != root.part1) | (own_2 != root.part2))
    order = kept[np.lexsort((parent_2[kept], parent_1[kept]))]
    parent_1, parent_2 = parent_1[order], parent_2[order]
    is_other = (parent_1[1:] != parent_1[:-1]) | (parent_2[1:] != parent_2[:-1])
    bounds = np.concatenate(([0], np.flatnonzero(is_other) + 1, [len(order)] if len(order) else []))
    return OrderedScan(scan, scan.cells[order], bounds.astype(np.int64))


def _scanned_rows(rows: ScannedRows, bounds: list[int]) -> RawRows:
    names = rows.texts("name")
    hidden = (rows.integers("flags") & Mark.HIDDEN).astype(np.bool_).tolist()
    order: list[int] = []
    for begin, end in pairwise(bounds):
        places = sorted(range(begin, end), key=names.__getitem__)
        if True in hidden[begin:end]:
            places.sort(key=hidden.__getitem__)
        order += places
    rows = rows.taken(np.array(order))
    numbers = {name: rows.integers(name) for name in INTEGER_COLUMNS}
    usual = rows.is_bytes("name") & rows.is_bytes("symlink") & (rows.lengths("symlink") == 0) & rows.is_null("xattr")
    for name in INTEGER_COLUMNS:
        usual &= rows.is_integer(name) | (rows.is_null(name) if name == "mtimens" else False)
    has_digest = rows.lengths("hash") == DIGEST_BYTES
    parent_1, parent_2, own_1, own_2 = (rows.integers(name).tolist() for name in KEY_NAMES)
    return RawRows(
        names=[names[place] for place in order],
        numbers=numbers,
        usual=usual,
        digests=rows.blobs("hash", DIGEST_BYTES, has_digest),
        has_digest=has_digest,
        begins=bounds[:-1],
        parents=[PathHash(parent_1[begin], parent_2[begin]) for begin in bounds[:-1]],
        own_hashes=cast("list[PathHash]", list(zip(own_1, own_2, strict=True))),
        row=lambda index: EntryRow(*(rows.value(name, index) for name in ENTRY_COLUMNS)),
    )
