"""Archives that tests publish: members in any order and of any kind, compressed in every way that is read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import zstandard

COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": lambda data: gzip.compress(data, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
"""By the ending of the archive's name. Each has a checksum of its contents but `tar`, which has one of its headers."""


class Member(tarfile.TarInfo):
    """A member of an archive, a regular file unless told otherwise."""

    def __init__(
        self,
        name: str,
        data: bytes = b"",
        *,
        kind: bytes = tarfile.REGTYPE,
        mode: int = 0o644,
        target: str = "",
        mtime: float = 1_600_000_000,
        uid: int = 0,
        device: tuple[int, int] = (0, 0),
        pax: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name)
        self.data = data
        self.type, self.mode, self.linkname, self.uid = kind, mode, target, uid
        self.mtime = mtime  # a fraction goes into a PAX header
        self.size = len(data)
        self.devmajor, self.devminor = device
        self.pax_headers = dict(pax or {})


def directory(name: str, mode: int = 0o755, mtime: float = 1_600_000_000) -> Member:
    return Member(name, kind=tarfile.DIRTYPE, mode=mode, mtime=mtime)


def symlink(name: str, target: str) -> Member:
    return Member(name, kind=tarfile.SYMTYPE, mode=0o777, target=target)


def hard_link(name: str, target: str, mode: int = 0o644) -> Member:
    return Member(name, kind=tarfile.LNKTYPE, mode=mode, target=target)


def packed(members: Iterable[Member], ending: str = "tar") -> bytes:
    """The archive of `members`, in this order."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(member.data))
    return COMPRESSIONS[ending](plain.getvalue())


def write_archive(path: Path, *members: Member) -> Path:
    """Writes the archive of `members` to `path`, compressed as its name says."""
    path.write_bytes(packed(members, path.name.partition(".")[2]))
    return path
