"""What a layer of metadata holds: every entry of a revision, and for each file where its bytes are found.

Inodes are numbered from 0, the root. Each directory has a listing; names that share a number are one file. No bytes of
any file are here: a file that has some says by its `redirect` where they lie in the layers below.

| redirect | what lies there |
|---|---|
| `/ab/cdef…` | an object as the cache names it; the layer of missing files has it, too |
| `/served/<n>` | a file that only the layer of missing files can put together |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from outcrop.errors import MissingCapability

SERVED_DIRECTORY = b"served"
"""Where files lie that are no object of the cache. No directory of the cache is called so."""

DATA_NAME, ENTRIES_NAME, IMAGE_NAME = b"files", b"entries", b"image"
"""What the layer of missing files has at its root: the layer of data, one of metadata, and the image of metadata."""


class Inode(NamedTuple):
    """An entry without its name: `mode` with the type, `size` in bytes, `mtime` in seconds since 1970 with its
    nanoseconds, `device` as the kernel's 32-bit number, a link's `target`."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    mtime_ns: int = 0
    nlink: int = 1
    size: int = 0
    device: int = 0
    target: bytes = b""
    redirect: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Listing(NamedTuple):
    """What the directory `inode`, which is in the directory `parent`, holds: names, sorted, and the number of each.

    The root is its own parent."""

    inode: int
    parent: int
    names: Sequence[bytes]
    inodes: Sequence[int]


@dataclass(frozen=True, slots=True)
class Metadata:
    """A whole layer. Listings come in an order in which no directory stands before the one that holds it."""

    inodes: Sequence[Inode]
    listings: Sequence[Listing]


class AttributeSpace(Enum):
    """Where overlayfs keeps its own attributes: root's mounts and those of user namespaces differ in that."""

    TRUSTED = b"trusted.overlay."
    USER = b"user.overlay."

    @property
    def metacopy(self) -> bytes:
        """The attribute that says: here is metadata only."""
        return self.value + b"metacopy"

    @property
    def redirect(self) -> bytes:
        """The attribute that says where the bytes are."""
        return self.value + b"redirect"

    def escaped(self, name: bytes) -> bytes:
        """`name` as the layer must have it, so that overlayfs shows it and does not take it for its own.

        Source: the kernel's `Documentation/filesystems/overlayfs.rst`, "Nesting overlayfs mounts"."""
        return self.value + b"overlay." + name.removeprefix(self.value) if name.startswith(self.value) else name


def not_representable(what: str) -> MissingCapability:
    """The error for an entry that a layer cannot show as it is."""
    return MissingCapability(
        what=what,
        problem="it cannot be shown by layers of metadata",
        hint="a mount shows it: `outcrop run --way fuse`",
    )
