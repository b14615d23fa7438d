"""The layer of missing files, without a device in sight: requests of the kernel in, answers out.

It has every file of a revision under the name by which the metadata redirects to it. Overlayfs asks only for what the
layer of objects does not have at that moment. Such a file is fetched and verified, and lies in the cache from then on,
where the next program finds it without asking.

| path | what is there |
|---|---|
| `files/ab/cdef…`, `files/served/<n>` | the layer of data; see `outcrop.client.layers.metadata` |
| `entries` | a layer of metadata, for entries that cannot be planted |
| `image` | the image of the metadata, for kernels that do not take it from the file system that it lies on |

The numbers of all files are fixed, so nothing has to be remembered of what the kernel knows, and it may keep everything
for as long as it likes.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from outcrop.client.cache.layout import PREFIXES
from outcrop.client.contents import Piece
from outcrop.client.layers.ahead import Ahead
from outcrop.client.layers.metadata import DATA_NAME, ENTRIES_NAME, IMAGE_NAME, SERVED_DIRECTORY
from outcrop.client.layers.objects import Needed, PlainObject, ServedFile
from outcrop.client.layers.shown_entries import ShownEntries
from outcrop.client.mount import protocol
from outcrop.client.mount.protocol import Attributes, Opcode, Room
from outcrop.errors import IntegrityError

_DATA_NODE = protocol.ROOT_NODE + 1
_FIRST_DIRECTORY = _DATA_NODE + 1
_SERVED_NODE = _FIRST_DIRECTORY + len(PREFIXES)
_IMAGE_NODE = _SERVED_NODE + 1
_FIRST_OBJECT = 4096
"""Numbers below are directories, and the image."""

FIRST_ENTRY = 1 << 40
"""Entries have numbers that no object reaches."""

_DIRECTORY_MODE, _FILE_MODE = stat.S_IFDIR | 0o555, stat.S_IFREG | 0o444


class Contents(Protocol):
    """Where bytes come from; see `outcrop.client.contents.Contents`."""

    def open(self, piece: Piece) -> int: ...

    def open_cached(self, piece: Piece) -> int | None: ...

    def ensure(self, pieces: Sequence[Piece]) -> None: ...


PiecesOf = Callable[[bytes], Sequence[Piece]]
"""The pieces of the file at a path of the repository."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that says only an errno."""

    errno: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A READ that has to wait for `pieces`; `ahead` may come along. `offset` and `size` are of the file, in bytes."""

    pieces: Sequence[Piece]
    ahead: Sequence[PlainObject]
    objects: Sequence[PlainObject]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Asking:
    """An answer about an attribute that may take as long as the network does."""

    answer: Callable[[], bytes | Refused]


@dataclass(frozen=True, slots=True)
class Reading:
    """A READ of which even the pieces may have to come over the network."""

    answer: Callable[[], bytes]


Answer = bytes | Refused | Wanted | Asking | Reading
Told = bytes | None | Callable[[], bytes | None]
Tell = Callable[[bytes], Told]
"""The value of an attribute of the root of the entries, None where there is none; where that may take as long as the
network does, what finds it out. May raise OutcropError."""
_NOT_SUPPORTED = Refused(errno.ENOSYS)
_READ_ONLY = Refused(errno.EROFS)
_NO_ATTRIBUTE = Refused(errno.ENODATA)
_TOO_LONG = Refused(errno.ERANGE)


class MissingFiles:
    """The files that a revision has `needed`, from `contents`; `pieces_of` knows those of served files. `fetched`
    hears of objects that have come into the cache. `image` is a descriptor of the image of the metadata, -1 where
    there is none; `entries` are those that could not be planted, from `FIRST_ENTRY` on, the root of which tells what
    `tell` says of attributes that it has not. Any number of threads may ask."""

    def __init__(
        self,
        needed: Needed,
        contents: Contents,
        pieces_of: PiecesOf,
        fetched: Callable[[Sequence[PlainObject]], None] = lambda _objects: None,
        image: int = -1,
        entries: ShownEntries | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._objects = needed.objects
        self._served = needed.served
        self._first_served = _FIRST_OBJECT + len(needed.objects)
        self._positions = {one.name: position for position, one in enumerate(needed.objects)}
        self._contents = contents
        self._pieces_of = pieces_of
        self._fetched = fetched
        self._image = image
        self._entries = entries
        self._tell = tell
        self._ahead = Ahead(needed.objects)
        self._layouts: dict[int, Sequence[Piece]] = {}
        self._handlers: Mapping[int, Callable[[int, memoryview], Answer]] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.GETATTR: self._getattr,
            Opcode.READ: self._read,
            Opcode.STATFS: lambda _node, _body: protocol.statfs_reply(Room(0, 0)),
            Opcode.READDIR: lambda node, body: self._listing(node, body, plain=True),
            Opcode.READDIRPLUS: lambda node, body: self._listing(node, body, plain=False),
            Opcode.READLINK: self._readlink,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.RELEASE: _nothing,
            Opcode.RELEASEDIR: _nothing,
            Opcode.DESTROY: _nothing,
            Opcode.SETATTR: lambda _node, _body: _READ_ONLY,
        }

    def close(self) -> None:
        """Lets go of the image. Nobody may ask any more."""
        if self._image >= 0:
            os.close(self._image)
            self._image = -1

    def answer(self, opcode: int, node: int, body: memoryview) -> Answer:
        """The answer to a request. Raises OutcropError and OSError where the cache fails."""
        handler = self._handlers.get(opcode)
        return _NOT_SUPPORTED if handler is None else handler(node, body)

    def fetch(self, wanted: Wanted) -> bytes:
        """The bytes that `wanted` waits for, fetched and verified. Raises OutcropError as the network does."""
        self._contents.ensure(wanted.pieces)
        found = _bytes_of(wanted, self._contents.open)
        self._fetched(wanted.objects)
        return found

    def fetch_ahead(self, wanted: Wanted) -> None:
        """Fetches what will probably be read next; raises as `fetch` does."""
        self._contents.ensure([one.piece for one in wanted.ahead])
        self._fetched(wanted.ahead)

    def _lookup(self, node: int, body: memoryview) -> Answer:
        name = bytes(body[:-1])
        found = self._number(node, name)
        return protocol.NEGATIVE_ENTRY if found is None else self._entry(found)

    def _number(self, directory: int, name: bytes) -> int | None:
        if directory == protocol.ROOT_NODE:
            if name == IMAGE_NAME and self._image < 0:
                return None
            if name == ENTRIES_NAME and self._entries is None:
                return None
            return _TOP.get(name)
        if self._entries is not None and self._entries.has(directory):
            return self._entries.child(directory, name)
        if directory == _DATA_NODE:
            if name == SERVED_DIRECTORY:
                return _SERVED_NODE
            return _FIRST_DIRECTORY + _PREFIX_NUMBERS[name] if name in _PREFIX_NUMBERS else None
        if directory == _SERVED_NODE:
            number = int(name) if name.isdigit() else len(self._served)
            return self._first_served + number if number < len(self._served) else None
        if not _FIRST_DIRECTORY <= directory < _SERVED_NODE:
            return None
        prefix = PREFIXES[directory - _FIRST_DIRECTORY].encode()
        position = self._positions.get(b"%b/%b" % (prefix, name))
        return None if position is None else _FIRST_OBJECT + position

    def _getattr(self, node: int, _body: memoryview) -> Answer:
        return protocol.attributes_reply(self._entry(node))

    def _entry(self, node: int) -> bytes:
        """The body of the reply to LOOKUP. KeyError for a number that nothing has."""
        if self._entries is not None and self._entries.has(node):
            return self._entries.record(node)[: protocol.ENTRY_OUT.size]
        if node <= _SERVED_NODE:
            attributes = Attributes(_DIRECTORY_MODE, nlink=2)
        elif node == _IMAGE_NODE:
            attributes = Attributes(_FILE_MODE, os.fstat(self._image).st_size)
        else:
            attributes = Attributes(_FILE_MODE, self._file(node).size)
        return protocol.directory_record(node, attributes, b"", 0)[: protocol.ENTRY_OUT.size]

    def _file(self, node: int) -> PlainObject | ServedFile:
        if _FIRST_OBJECT <= node < self._first_served:
            return self._objects[node - _FIRST_OBJECT]
        number = node - self._first_served
        if not 0 <= number < len(self._served):
            raise KeyError(node)
        return self._served[number]

    def _listing(self, node: int, body: memoryview, *, plain: bool) -> Answer:
        if self._entries is None or not self._entries.has(node):
            return b""
        _, cookie, size, *_ = protocol.READ_IN.unpack_from(body)
        records = self._entries.records(node, cookie, size)
        return b"".join(map(protocol.plain_record, records) if plain else records)

    def _readlink(self, node: int, _body: memoryview) -> Answer:
        target = self._entries.target(node) if self._entries is not None and self._entries.has(node) else None
        return Refused(errno.EINVAL) if target is None else target

    def _attributes(self, node: int) -> Mapping[bytes, bytes]:
        return self._entries.attributes(node) if self._entries is not None and self._entries.has(node) else {}

    def _getxattr(self, node: int, body: memoryview) -> Answer:
        if self._entries is None:
            return _NOT_SUPPORTED  # for good: the kernel does not ask again
        name = bytes(body[protocol.GETXATTR_IN.size : -1])
        value = self._attributes(node).get(name)
        if value is None and node == FIRST_ENTRY and self._tell is not None:
            told = self._tell(name)
            if callable(told):
                asked, kept = told, memoryview(bytes(body))
                return Asking(lambda: _attribute(asked(), kept))
            value = told
        return _attribute(value, body)

    def _listxattr(self, node: int, body: memoryview) -> Answer:
        return _fitted(b"".join(name + b"\0" for name in self._attributes(node)), body)

    def _read(self, node: int, body: memoryview) -> Answer:
        _, offset, size, *_ = protocol.READ_IN.unpack_from(body)
        if node == _IMAGE_NODE:
            return os.pread(self._image, size, offset)
        if self._entries is not None and self._entries.has(node):
            node = self._behind_redirect(self._entries.redirect(node))
        file = self._file(node)
        if offset >= file.size:
            return b""
        size = min(size, file.size - offset)
        objects: list[PlainObject] = []
        ahead: list[PlainObject] = []
        if isinstance(file, PlainObject):
            pieces: Sequence[Piece] = (file.piece,)
            objects = [file]
        elif node not in self._layouts:
            served, wanted_size = file, size
            return Reading(lambda: self._read_unplanned(node, served, offset, wanted_size))
        else:
            pieces = _within(self._layouts[node], offset, size)
        wanted = Wanted(pieces, ahead, objects, offset, size)
        descriptors: list[int] = []
        try:
            for piece in pieces:
                descriptor = self._contents.open_cached(piece)
                if descriptor is None:
                    if isinstance(file, PlainObject):
                        ahead += self._ahead.behind(node - _FIRST_OBJECT)
                    return wanted
                descriptors.append(descriptor)
            remaining = iter(descriptors)
            return _bytes_of(wanted, lambda _piece: os.dup(next(remaining)))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _behind_redirect(self, redirect: bytes) -> int:
        node: int | None = _DATA_NODE
        for name in redirect.split(b"/")[1:]:
            node = None if node is None else self._number(node, name)
        if node is None:
            raise KeyError(redirect)
        return node

    def _read_unplanned(self, node: int, file: ServedFile, offset: int, size: int) -> bytes:
        pieces = self._layouts[node] = self._pieces_of(file.path)
        return self.fetch(Wanted(_within(pieces, offset, size), (), (), offset, size))


_TOP = {DATA_NAME: _DATA_NODE, ENTRIES_NAME: FIRST_ENTRY, IMAGE_NAME: _IMAGE_NODE}
_PREFIX_NUMBERS = {prefix.encode(): number for number, prefix in enumerate(PREFIXES)}


def _within(pieces: Sequence[Piece], offset: int, size: int) -> Sequence[Piece]:
    """Those of `pieces` that have some of the `size` bytes from `offset` on."""
    first = max(bisect_right(pieces, offset, key=_offset) - 1, 0)
    return pieces[first : bisect_right(pieces, offset + size - 1, key=_offset)]


def _attribute(value: bytes | None, body: memoryview) -> bytes | Refused:
    return _NO_ATTRIBUTE if value is None else _fitted(value, body)


def _offset(piece: Piece) -> int:
    return piece.offset


def _fitted(value: bytes, body: memoryview) -> bytes | Refused:
    """The answer to GETXATTR or LISTXATTR: the value, or its size if that was asked for."""
    (size, _) = protocol.GETXATTR_IN.unpack_from(body)
    if size == 0:
        return protocol.GETXATTR_OUT.pack(len(value), 0)
    return value if len(value) <= size else _TOO_LONG


def _nothing(_node: int, _body: memoryview) -> Answer:
    return b""


def _bytes_of(wanted: Wanted, opened: Callable[[Piece], int]) -> bytes:
    """The bytes that `wanted` asks for, from files that `opened` opens. IntegrityError for a file that is too short."""
    found = bytearray()
    for piece in wanted.pieces:
        descriptor = opened(piece)
        try:
            start = max(wanted.offset - piece.offset, 0)
            length = min(wanted.size - len(found), piece.size - start)
            part = os.pread(descriptor, length, start)
        finally:
            os.close(descriptor)
        if len(part) < length:
            raise IntegrityError(what="a file in the cache", problem=f"ends after {start + len(part)} bytes")
        found += part
    return bytes(found)
