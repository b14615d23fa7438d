"""A layer of metadata answered request by request, for the few entries that cannot be planted. No device in sight."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence

from outcrop.client.layers.metadata import AttributeSpace, Inode, Metadata
from outcrop.client.mount import protocol
from outcrop.client.mount.protocol import Attributes

_SPACE = AttributeSpace.USER
_FIRST_COOKIE = 3
"""Behind `.` and `..`."""


class ShownEntries:
    """The entries of `metadata`, all of which belong to `uid` and `gid`. Their nodes are their numbers from `first`
    on."""

    def __init__(self, metadata: Metadata, first: int, uid: int, gid: int) -> None:
        self._inodes = metadata.inodes
        self._first = first
        self._owner = uid, gid
        self._listings: Mapping[int, Sequence[tuple[bytes, int]]] = {
            listing.inode: list(zip(listing.names, listing.inodes, strict=True)) for listing in metadata.listings
        }
        self._parents = {listing.inode: listing.parent for listing in metadata.listings}

    def has(self, node: int) -> bool:
        """Whether `node` is one of these."""
        return 0 <= node - self._first < len(self._inodes)

    def child(self, node: int, name: bytes) -> int | None:
        """The node of what is called `name` in the directory `node`; None if nothing is."""
        for other, number in self._listings.get(node - self._first, ()):
            if other == name:
                return self._first + number
        return None

    def record(self, node: int, name: bytes = b"", cookie: int = 0) -> bytes:
        """The record of READDIRPLUS; it begins with the reply to LOOKUP."""
        inode = self._inode(node)
        uid, gid = self._owner
        attributes = Attributes(
            inode.mode, inode.size, inode.mtime, inode.mtime_ns, inode.nlink, uid, gid, inode.device
        )  # fmt: skip
        return protocol.directory_record(node, attributes, name, cookie)

    def records(self, node: int, cookie: int, size: int) -> list[bytes]:
        """The records of READDIRPLUS behind `cookie` in the directory `node` that fit into `size` bytes."""
        number = node - self._first
        mode = self._inode(node).mode
        parent = self._first + self._parents[number]
        found = [protocol.dot_record(node, mode, b".", 1), protocol.dot_record(parent, mode, b"..", 2)]
        for position, (name, child) in enumerate(self._listings[number]):
            found.append(self.record(self._first + child, name, _FIRST_COOKIE + position))
        fitting = []
        for record in found[cookie:]:
            size -= len(record)
            if size < 0:
                break
            fitting.append(record)
        return fitting

    def target(self, node: int) -> bytes | None:
        """Where the link `node` leads; None if it is none."""
        inode = self._inode(node)
        return inode.target if stat.S_ISLNK(inode.mode) else None

    def attributes(self, node: int) -> Mapping[bytes, bytes]:
        """The extended attributes of `node`, as the layer must have them."""
        return {_SPACE.escaped(name): value for name, value in self._inode(node).xattrs}

    def redirect(self, node: int) -> bytes:
        """Where the bytes of the file `node` lie. Overlayfs follows redirects in its last layer of metadata only, and
        this is not the last one, so these files are read by way of us."""
        return self._inode(node).redirect

    def _inode(self, node: int) -> Inode:
        return self._inodes[node - self._first]
