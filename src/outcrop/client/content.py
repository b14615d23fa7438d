"""What a cache holds and a server sends: the plain bytes of one object."""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectName

BLOCK_BYTES = 4096
"""What nearly every file system gives out at once."""


@dataclass(frozen=True, slots=True)
class ExternalPlace:
    """Where bytes of an external file come from: the file's path, and how far in they begin (bytes)."""

    path: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class Content:
    """The plain bytes of one object: how it is stored, how many plain bytes it has (None where nobody says)."""

    object: ObjectName
    compression: Compression
    size: int | None
    external: ExternalPlace | None = None

    @property
    def key(self) -> bytes:
        """What tells one content from all others. The same object read as zlib and as plain bytes is two contents."""
        digest = self.object.digest
        return digest.raw + digest.algorithm.value.encode() + bytes((self.compression,))

    @property
    def shown(self) -> str:
        """The name by which errors call it."""
        if self.external is None:
            return f"the object {self.object}"
        return f"the external file {self.external.path.decode('utf-8', 'surrogateescape')}"


def disk_bytes(size: int) -> int:
    """What a file of `size` bytes counts as where room on disk is counted: whole blocks, at least one."""
    return max(-(-size // BLOCK_BYTES), 1) * BLOCK_BYTES


def new_checksum(compression: Compression) -> blake3:
    """The checksum kept beside a plain file. It depends on the way the object is stored, so that a file kept for one
    reading of a digest is never taken for the other."""
    return blake3(key=_KEYS[compression])


_KEYS = {one: one.name.encode().ljust(blake3.key_size, b"\0") for one in Compression}
"""No secrets: a key is what makes one BLAKE3 differ from another."""
