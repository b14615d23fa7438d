"""The smallest EROFS image: an empty directory, for trying whether the kernel mounts such images.

One block. The superblock stands at byte 1,024, the root's inode at byte 1,152 with its two entries, `.` and `..`,
behind it. Source: the kernel's `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`.
"""

from __future__ import annotations

import stat
import struct

_BLOCK_BITS = 12
_MAGIC = 0xE0F5E1E2
_SUPERBLOCK_OFFSET = 1024
_SLOT_BYTES = 32
"""An inode's number is its place in slots of this size."""

_ROOT_NUMBER = 36
_DIRECTORY_TYPE = 2
_INLINE_TAIL = 2 << 1
"""The layout `EROFS_INODE_FLAT_INLINE` of a compact inode: what is in the directory stands right behind it."""


def erofs_image() -> bytes:
    """The image. The superblock has no checksum, which is allowed."""
    names = b".", b".."
    entries = b"".join(
        struct.pack("<QHBB", _ROOT_NUMBER, 12 * len(names) + offset, _DIRECTORY_TYPE, 0)
        for offset in (0, len(names[0]))
    ) + b"".join(names)
    root = struct.pack("<HHHHIIIIHHI", _INLINE_TAIL, 0, stat.S_IFDIR | 0o755, 2, len(entries), 0, 0, 1, 0, 0, 0)
    superblock = struct.pack("<IIIBBHQQIIII", _MAGIC, 0, 0, _BLOCK_BITS, 0, _ROOT_NUMBER, 1, 0, 0, 1, 0, 0)
    image = bytearray(1 << _BLOCK_BITS)
    image[_SUPERBLOCK_OFFSET : _SUPERBLOCK_OFFSET + len(superblock)] = superblock
    start = _ROOT_NUMBER * _SLOT_BYTES
    image[start : start + len(root) + len(entries)] = root + entries
    return bytes(image)
