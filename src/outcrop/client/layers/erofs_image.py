"""An EROFS image of metadata alone, as bytes: the same metadata makes the same bytes.

What stands where, in blocks of 4,096 bytes:

- The superblock is at byte 1,024. Behind it, at byte 1,152, is the one attribute that all files share.
- Inodes follow, 64 bytes each, at multiples of 32: that multiple is their number. The root is the first, since the
  superblock has 16 bits for it. An inode's attributes stand right behind it, and then what is short enough: the
  target of a link, or the last block of a directory. That part must not cross the end of a block.
- Blocks of long directories and targets come last.

A directory's block is an array of 12-byte records, sorted by name, `.` and `..` among them, and the names behind it. No
entry is split over two blocks. The kernel searches blocks, then records, by bisection.

A file has no blocks: its map has one chunk that covers all of it, and says that nothing is there. Overlayfs never reads
it, since the attribute `metacopy` sends it to another layer.

Source: the kernel's `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from outcrop.client.layers.metadata import AttributeSpace, Inode, Listing, Metadata, not_representable

_BLOCK_BITS = 12
BLOCK_BYTES = 1 << _BLOCK_BITS
_MAGIC = 0xE0F5E1E2
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16x16sI")
_SUPERBLOCK_OFFSET = 1024
_CHUNKED_FILES = 4
"""`EROFS_FEATURE_INCOMPAT_CHUNKED_FILE`."""
_LABEL = b"outcrop"

_SLOT_BYTES = 32
_SHARED_OFFSET = 1152
_FIRST_INODE = _SHARED_OFFSET + _SLOT_BYTES
_INODE = struct.Struct("<HHHHQIIIIQII16x")
_EXTENDED, _PLAIN, _INLINE, _CHUNKED = 1, 0 << 1, 2 << 1, 4 << 1
"""The form of an inode that has nanoseconds, and the three ways in which what belongs to it can lie."""

_ONE_CHUNK = 31
"""The largest chunk: 2 to the power of 31 blocks, more than any file has."""
_NOWHERE = struct.pack("<I", 0xFFFFFFFF)
_XATTR_HEADER_BYTES = 12
_XATTR_ENTRY = struct.Struct("<BBH")
_SHARED_REFERENCE = struct.Struct("<I").pack(_SHARED_OFFSET // 4)
_PREFIXES = (
    (b"user.", 1), (b"system.posix_acl_access", 2), (b"system.posix_acl_default", 3), (b"trusted.", 4),
    (b"security.", 6),
)  # fmt: skip
_LONGEST_ATTRIBUTE_NAME = 255
_RECORD = struct.Struct("<QHBB")
_TYPES = {
    stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}  # fmt: skip
_UINT64 = 2**64 - 1
_Block = Sequence[tuple[bytes, int]]
"""The entries of one block of a directory: names, and the inodes that they stand for."""


def erofs_image(metadata: Metadata, space: AttributeSpace = AttributeSpace.TRUSTED) -> bytes:
    """The image. MissingCapability for an attribute that EROFS has no way to keep."""
    return _Writer(metadata, space).image()


@dataclass(slots=True)
class _Place:
    """Where an inode and what belongs to it lie: bytes from the beginning, blocks from `first_block` on."""

    offset: int
    layout: int
    attributes: bytes
    first_block: int = 0


@dataclass(slots=True)
class _Space:
    """The part for inodes, and how many blocks come behind it."""

    end: int = _FIRST_INODE
    blocks: int = 0
    places: list[_Place] = field(default_factory=list)


class _Writer:
    def __init__(self, metadata: Metadata, space: AttributeSpace) -> None:
        self._metadata = metadata
        self._attribute_space = space
        self._directories = {listing.inode: _blocks_of(listing) for listing in metadata.listings}
        self._parents = {listing.inode: listing.parent for listing in metadata.listings}

    def image(self) -> bytes:
        space = _Space()
        for number, inode in enumerate(self._metadata.inodes):
            space.places.append(self._placed(space, inode, self._length(number, inode)))
        data = -(-space.end // BLOCK_BYTES)
        numbers = [place.offset // _SLOT_BYTES for place in space.places]
        image = bytearray((data + space.blocks) * BLOCK_BYTES)
        shared = _attribute(self._attribute_space.metacopy, b"")
        image[_SHARED_OFFSET : _SHARED_OFFSET + len(shared)] = shared
        for number, inode in enumerate(self._metadata.inodes):
            self._write(image, space.places[number], data, number, inode, numbers)
        root = numbers[0]
        superblock = _SUPERBLOCK.pack(
            _MAGIC, 0, 0, _BLOCK_BITS, 0, root, len(numbers), 0, 0, data + space.blocks, 0, 0, _LABEL, _CHUNKED_FILES
        )
        image[_SUPERBLOCK_OFFSET : _SUPERBLOCK_OFFSET + len(superblock)] = superblock
        return bytes(image)

    def _length(self, number: int, inode: Inode) -> int:
        """How many bytes belong to the inode besides its attributes."""
        blocks = self._directories.get(number)
        if blocks is not None:
            return (len(blocks) - 1) * BLOCK_BYTES + sum(_RECORD.size + len(name) for name, _ in blocks[-1])
        return len(inode.target)

    def _placed(self, space: _Space, inode: Inode, length: int) -> _Place:
        attributes = self._attributes(inode)
        head = _INODE.size + len(attributes)
        start = space.end
        layout, tail, blocks = _PLAIN, 0, 0
        if length:
            # What fills its last block, or nearly, has that block for itself.
            blocks, tail = divmod(length, BLOCK_BYTES)
            if 0 < tail <= BLOCK_BYTES - _SLOT_BYTES:
                layout = _INLINE
                if (start + head) % BLOCK_BYTES + tail > BLOCK_BYTES:
                    boundary = -(-(start + head) // BLOCK_BYTES) * BLOCK_BYTES
                    start = _aligned(boundary - head)
            elif tail:
                blocks, tail = blocks + 1, 0
        elif stat.S_ISREG(inode.mode) and inode.size:
            layout, tail = _CHUNKED, len(_NOWHERE)
        place = _Place(start, layout, attributes, space.blocks)
        space.blocks += blocks
        space.end = _aligned(start + head + tail)
        return place

    def _attributes(self, inode: Inode) -> bytes:
        if not inode.redirect and not inode.xattrs:
            return b""
        space, entries, shared = self._attribute_space, b"", b""
        if inode.redirect:
            shared = _SHARED_REFERENCE
            entries = _attribute(space.redirect, inode.redirect)
        for name, value in inode.xattrs:
            entries += _attribute(space.escaped(name), value)
        return struct.pack("<IB7x", 0, len(shared) // 4) + shared + entries

    def _write(
        self, image: bytearray, place: _Place, data: int, number: int, inode: Inode, numbers: Sequence[int]
    ) -> None:
        blocks = self._directories.get(number)
        own = 0
        body = b""
        if blocks is not None:
            body = self._directory(number, blocks, numbers)
        elif inode.target:
            body = inode.target
        size = len(body) or inode.size
        if place.layout == _CHUNKED:
            own, tail = _ONE_CHUNK, _NOWHERE
        elif place.layout == _INLINE:
            whole = len(body) - len(body) % BLOCK_BYTES
            own = data + place.first_block if whole else 0
            body, tail = body[:whole], body[whole:]
        else:
            own, tail = (data + place.first_block if body else 0), b""
        if inode.device:
            own = inode.device
        count = 0 if not place.attributes else (len(place.attributes) - _XATTR_HEADER_BYTES) // 4 + 1
        head = _INODE.pack(
            _EXTENDED | place.layout, count, inode.mode, 0, size, own, number + 1 & 0xFFFFFFFF, inode.uid, inode.gid,
            inode.mtime & _UINT64, inode.mtime_ns, inode.nlink,
        )  # fmt: skip
        whole_head = head + place.attributes + tail
        image[place.offset : place.offset + len(whole_head)] = whole_head
        if body:
            start = (data + place.first_block) * BLOCK_BYTES
            image[start : start + len(body)] = body

    def _directory(self, number: int, blocks: Sequence[_Block], numbers: Sequence[int]) -> bytes:
        inodes, parent = self._metadata.inodes, self._parents[number]
        found = []
        for block in blocks:
            offset = _RECORD.size * len(block)
            records, names = [], []
            for name, child in block:
                target = parent if child == _ABOVE else number if child == _ITSELF else child
                records.append(_RECORD.pack(numbers[target], offset, _TYPES[stat.S_IFMT(inodes[target].mode)], 0))
                names.append(name)
                offset += len(name)
            found.append(b"".join(records) + b"".join(names))
        return b"".join([block.ljust(BLOCK_BYTES, b"\0") for block in found[:-1]]) + found[-1]


_ITSELF, _ABOVE = -1, -2


def _blocks_of(listing: Listing) -> list[_Block]:
    """The entries of a directory, in blocks; `.` and `..` stand where their names belong."""
    entries = sorted([(b".", _ITSELF), (b"..", _ABOVE), *zip(listing.names, listing.inodes, strict=True)])
    blocks: list[list[tuple[bytes, int]]] = [[]]
    room = BLOCK_BYTES
    for entry in entries:
        needed = _RECORD.size + len(entry[0])
        if needed > room:
            blocks.append([])
            room = BLOCK_BYTES
        blocks[-1].append(entry)
        room -= needed
    return list(blocks)


def _attribute(name: bytes, value: bytes) -> bytes:
    """An attribute as it stands behind an inode, or in the part that inodes share."""
    for prefix, index in _PREFIXES:
        if name.startswith(prefix) and len(name) - len(prefix) <= _LONGEST_ATTRIBUTE_NAME:
            rest = name[len(prefix) :]
            entry = _XATTR_ENTRY.pack(len(rest), index, len(value)) + rest + value
            return entry + bytes(-len(entry) % 4)
    raise not_representable(f"the attribute {name[:80]!r}")


def _aligned(offset: int) -> int:
    return -(-offset // _SLOT_BYTES) * _SLOT_BYTES
