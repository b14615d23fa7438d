"""The answer to every request of the kernel about one revision. No device in sight: bodies in, bodies out.

A handler answers at once, or says `Later` when the answer may need the network. It refuses with a `Refusal`.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from outcrop.client.contents import Piece
from outcrop.client.mount import protocol
from outcrop.client.mount.activity import Activity, Tally
from outcrop.client.mount.directory import Directory
from outcrop.client.mount.information import INFORMATION_PREFIXES, Asked, information, takes_long
from outcrop.client.mount.inodes import Nodes
from outcrop.client.mount.open_files import OpenFile, OpenFiles
from outcrop.client.mount.protocol import InitFlag, Opcode, Room
from outcrop.client.mount.read_ahead import BATCH_FILES, ReadAhead, Submit
from outcrop.client.mount.requests import Request
from outcrop.client.mount.succession import Place
from outcrop.client.mount.tree import MountedTree
from outcrop.errors import IntegrityError

LARGEST_XATTR_BYTES = 65536
"""XATTR_SIZE_MAX of Linux: larger values cannot be handed out."""

_REMEMBERED_LAYOUTS = 512
"""Chunked files whose pieces are kept at hand."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that says only an errno."""

    errno: int


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that has to wait for `prepare`, which may raise OutcropError.

    Requests with the same `key` need the same preparation, so it is done once for all of them.
    """

    key: object
    prepare: Callable[[], object]
    answer: Callable[[], Answer]


Answer = bytes | memoryview | Refusal | Later
Handler = Callable[[int, memoryview, "Reader"], Answer]

_DONE = b""
_NOT_A_DIRECTORY = Refusal(errno.ENOTDIR)
_NO_ATTRIBUTE = Refusal(errno.ENODATA)
_TOO_LONG_FOR_BUFFER = Refusal(errno.ERANGE)
_TOO_LONG = Refusal(errno.E2BIG)
_READ_ONLY = Refusal(errno.EROFS)
NOT_SUPPORTED = Refusal(errno.ENOSYS)
STALE = Refusal(errno.ESTALE)


class Reader:
    """What one thread that answers requests has for itself: a buffer, the files it reads from, its tally."""

    def __init__(self, files: int, tally: Tally) -> None:
        self.buffer = memoryview(bytearray(protocol.MAXIMUM_READ_BYTES))
        self.files = OpenFiles(files)
        self.tally = tally


@dataclass(frozen=True, slots=True)
class _Layout:
    """The pieces of a file that may have more than one."""

    offsets: Sequence[int]
    pieces: Sequence[Piece]


def _nowhere(_work: Callable[[], None]) -> None:
    """Where read-ahead goes when there are no threads for it."""


class FileSystem:
    """Answers for `tree`, and for the revisions that `nodes` moves on to. Any number of threads may ask, each with a
    `Reader` of its own. `submit` has work done in other threads: what will probably be read next is fetched there,
    `batch` files at once."""

    def __init__(
        self,
        tree: MountedTree,
        activity: Activity | None = None,
        *,
        submit: Submit = _nowhere,
        batch: int = BATCH_FILES,
    ) -> None:
        self.nodes = Nodes(tree)
        self.activity = activity or Activity()
        self._ahead = ReadAhead(self.nodes, submit, batch)
        self._layouts: dict[int, _Layout] = {}

    @property
    def tree(self) -> MountedTree:
        """The revision that shows now."""
        return self.nodes.tree

    def handlers(self, agreed: InitFlag) -> Mapping[int, Handler]:
        """What to call for each opcode, for a kernel that agreed to the flags of INIT."""
        handlers: dict[int, Handler] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.GETATTR: self._getattr,
            Opcode.READLINK: self._readlink,
            Opcode.READ: self._read,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.STATFS: self._statfs,
            Opcode.OPEN: _opened,
            Opcode.OPENDIR: _opened,
        }
        if InitFlag.NO_OPEN_SUPPORT in agreed:
            handlers[Opcode.OPEN] = _unsupported
        if InitFlag.NO_OPENDIR_SUPPORT in agreed:
            handlers[Opcode.OPENDIR] = _unsupported
        handlers |= dict.fromkeys((Opcode.RELEASE, Opcode.RELEASEDIR, Opcode.DESTROY), _done)
        handlers |= dict.fromkeys(_WRITING, _refuse_to_write)
        return handlers

    def _lookup(self, node: int, body: memoryview, _reader: Reader) -> Answer:
        name = bytes(body[:-1])
        directory = self.nodes.known(node)
        if directory is not None:
            return self._found(directory, name)
        return self._with_directory(node, lambda known: self._found(known, name))

    def _found(self, directory: Directory, name: bytes) -> Answer:
        index = directory.index(name)
        if index is not None:
            return directory.reply(index)
        # Only a server of NFS asks for these.
        if name == b".":
            return self.nodes.reply(directory.node)
        if name == b"..":
            return self.nodes.reply(directory.parent)
        return protocol.NEGATIVE_ENTRY

    def _with_directory(self, node: int, answer: Callable[[Directory], Answer]) -> Answer:
        """The answer that needs the directory `node`, which may need a catalog that is not here."""
        directory, index = self.nodes.place(node)
        if not stat.S_ISDIR(directory.mode(index)):
            return _NOT_A_DIRECTORY
        if self.nodes.is_near(node):
            return answer(self.nodes.directory(node))
        return Later(
            ("directory", node), lambda: self.nodes.directory(node), lambda: answer(self.nodes.directory(node))
        )

    def _getattr(self, node: int, _body: memoryview, _reader: Reader) -> Answer:
        return protocol.attributes_reply(self.nodes.reply(node))

    def _readlink(self, node: int, _body: memoryview, _reader: Reader) -> Answer:
        directory, index = self.nodes.place(node)
        target = directory.target(index)
        return Refusal(errno.EINVAL) if target is None else target

    def _readdirplus(self, node: int, body: memoryview, _reader: Reader) -> Answer:
        _, cookie, size, *_ = protocol.READ_IN.unpack_from(body)
        directory = self.nodes.known(node)
        if directory is not None:
            return directory.listing(cookie, size)
        return self._with_directory(node, lambda known: known.listing(cookie, size))

    def _readdir(self, node: int, body: memoryview, _reader: Reader) -> Answer:
        _, cookie, size, *_ = protocol.READ_IN.unpack_from(body)
        return self._with_directory(node, lambda known: known.plain_listing(cookie, size))

    def _statfs(self, _node: int, _body: memoryview, _reader: Reader) -> Answer:
        counts = self.tree.catalog(b"").counters.total
        return protocol.statfs_reply(Room(counts.file_size, counts.entries))

    def ready(self, node: int, body: memoryview) -> memoryview | None:
        """The answer to READ where it is ready in memory, so that giving it takes no time."""
        _, offset, size, *_ = protocol.READ_IN.unpack_from(body)
        return self._ahead.ready(node, offset, size)

    def comes(self, request: Request) -> bool:
        """Whether another thread is getting ready what READ asks for, and will be given `request` to answer."""
        return self._ahead.comes(request)

    def prepare(self, node: int) -> Sequence[Request]:
        """READ of `node` has been answered: gets ready what will probably be asked next. Who has asked for it
        meanwhile, to be answered now."""
        return self._ahead.prepare(node)

    def _read(self, node: int, body: memoryview, reader: Reader) -> Answer:
        _, offset, size, *_ = protocol.READ_IN.unpack_from(body)
        file = reader.files.get(node)
        if file is not None:
            return _pread(file, offset, reader.buffer[:size])
        place = self.nodes.place(node)
        whole = place.directory.whole_file(place.position)
        if whole is not None:
            return self._read_whole(node, place, whole, offset, size, reader)
        layout = self._layouts.get(node) or self._layout(node)
        return self._read_pieces(node, layout, offset, size, reader)

    def _read_whole(self, node: int, place: Place, piece: Piece, offset: int, size: int, reader: Reader) -> Answer:
        if offset == 0 and size >= piece.size:
            # The kernel will have all of it, and need not come back.
            data = self.tree.read_cached(piece, reader.buffer)
            if data is not None:
                self._ahead.read(node, *place)
                return data
        else:
            descriptor = self.tree.open_cached(piece)
            if descriptor is not None:
                if offset == 0:
                    self._ahead.read(node, *place)
                file = OpenFile(descriptor, piece.size)
                reader.files.add(node, file)
                return _pread(file, offset, reader.buffer[:size])
        self._ahead.missed(node, *place)
        return self._read_later([piece], piece.offset, offset, size)

    def _layout(self, node: int) -> _Layout:
        file = self.nodes.node(node)
        pieces = file.tree.pieces(file.path, file.entry)
        if len(self._layouts) >= _REMEMBERED_LAYOUTS:
            self._layouts.clear()
        layout = self._layouts[node] = _Layout([piece.offset for piece in pieces], pieces)
        return layout

    def _read_pieces(self, node: int, layout: _Layout, offset: int, size: int, reader: Reader) -> Answer:
        first = max(bisect_right(layout.offsets, offset) - 1, 0)
        last = bisect_right(layout.offsets, offset + size - 1)
        filled = 0
        for number in range(first, last):
            piece = layout.pieces[number]
            file = reader.files.get((node, number))
            if file is None:
                descriptor = self.tree.open_cached(piece)
                if descriptor is None:
                    self._ahead.missed_piece(layout.pieces, last - 1)
                    return self._read_later(layout.pieces[first:last], layout.offsets[first], offset, size)
                file = OpenFile(descriptor, piece.size)
                reader.files.add((node, number), file)
            filled += len(_pread(file, offset + filled - piece.offset, reader.buffer[filled:size]))
        return reader.buffer[:filled]

    def _read_later(self, pieces: Sequence[Piece], begin: int, offset: int, size: int) -> Later:
        """READ of bytes within `pieces`, the first of which begins at `begin`, when some must be fetched."""

        def fetch() -> None:
            for piece in pieces:
                os.close(self.tree.open_piece(piece))

        def read() -> bytes:
            found = bytearray()
            for piece in pieces:
                descriptor = self.tree.open_piece(piece)
                try:
                    start = max(offset - piece.offset, 0)
                    wanted = memoryview(bytearray(size - len(found)))
                    found += _pread(OpenFile(descriptor, piece.size), start, wanted)
                finally:
                    os.close(descriptor)
            return bytes(found)

        return Later(tuple(piece.content.key for piece in pieces), fetch, read)

    def _listxattr(self, node: int, body: memoryview, _reader: Reader) -> Answer:
        directory, index = self.nodes.place(node)
        names = b"".join(key + b"\0" for key, _ in directory.xattrs(index))
        return _fitted(names, body)

    def _getxattr(self, node: int, body: memoryview, _reader: Reader) -> Answer:
        name = bytes(body[protocol.GETXATTR_IN.size : -1])
        directory, index = self.nodes.place(node)
        value = directory.xattrs(index).get(name)
        if value is not None:
            return _fitted(value, body)
        if not name.startswith(INFORMATION_PREFIXES):
            return _NO_ATTRIBUTE
        size = bytes(body[: protocol.GETXATTR_IN.size])
        asked = Asked(self.tree, self.nodes.node(node), self.activity, self.nodes.highest)

        def answer() -> Answer:
            found = information(asked, name)
            return _NO_ATTRIBUTE if found is None else _fitted(found, memoryview(size))

        if takes_long(name):
            return Later((name, node), lambda: information(asked, name), answer)
        return answer()


def _pread(file: OpenFile, offset: int, into: memoryview) -> memoryview:
    """The bytes of `file` from `offset` on that fit into `into`; IntegrityError when the file is shorter than it was
    when it was checked."""
    expected = max(min(len(into), file.size - offset), 0)
    found = os.preadv(file.descriptor, [into[:expected]], offset) if expected else 0
    if found < expected:
        raise IntegrityError(what="a file in the cache", problem=f"ends after {offset + found} of {file.size} bytes")
    return into[:found]


def _fitted(value: bytes, body: memoryview) -> Answer:
    """The answer to GETXATTR or LISTXATTR: the value, or its size if that was asked for."""
    (size, _) = protocol.GETXATTR_IN.unpack_from(body)
    if len(value) > LARGEST_XATTR_BYTES:
        return _TOO_LONG
    if size == 0:
        return protocol.GETXATTR_OUT.pack(len(value), 0)
    return value if len(value) <= size else _TOO_LONG_FOR_BUFFER


_WRITING = (
    Opcode.SETATTR, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME,
    Opcode.LINK, Opcode.WRITE, Opcode.SETXATTR, Opcode.REMOVEXATTR, Opcode.CREATE, Opcode.FALLOCATE,
    Opcode.RENAME2, Opcode.COPY_FILE_RANGE, Opcode.TMPFILE,
)  # fmt: skip


def _opened(_node: int, _body: memoryview, _reader: Reader) -> Answer:
    return protocol.OPENED


def _unsupported(_node: int, _body: memoryview, _reader: Reader) -> Answer:
    return NOT_SUPPORTED


def _done(_node: int, _body: memoryview, _reader: Reader) -> Answer:
    return _DONE


def _refuse_to_write(_node: int, _body: memoryview, _reader: Reader) -> Answer:
    return _READ_ONLY
