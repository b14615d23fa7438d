"""A tarball as a tree to publish, streamed: nothing is unpacked to disk, and it is read only once.

Every member is judged before anything of it is used. Refused here, with its name and the reason: `..`, absolute names,
names without a component, members of an unknown type, truncated or damaged archives. What needs the other members is
judged where they are collected (`staging`): hard links to what was not in the archive before, members that stand twice
and disagree, members below something that is no directory.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, Self, cast

from outcrop.cvmfs.chunking import ByteSource
from outcrop.cvmfs.entry import MAXIMUM_UINT32, NANOSECONDS
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors
from outcrop.cvmfs.xattrs import NO_XATTRS
from outcrop.errors import FormatError, InvalidValue, storage_error
from outcrop.storage.interface import PIECE_BYTES
from outcrop.stratum0.publishing.contents import ContentResult, ContentWriter
from outcrop.stratum0.publishing.incoming import Attributes, Incoming, kept_xattrs
from outcrop.stratum0.publishing.packed_archive import DAMAGE, PlainBytes

FORMATS = ".tar, .tar.gz, .tar.bz2, .tar.xz and .tar.zst"
"""What is read, for people; what an archive is called does not matter."""

IMPLIED_DIRECTORY_MODE = stat.S_IFDIR | 0o755

_DAMAGE = (
    *DAMAGE,  # among them ValueError: numbers and texts that are none
    tarfile.TarError,
    OverflowError,
    RecursionError,  # headers of headers of headers
)
_XATTR_PREFIX = "SCHILY.xattr."
_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.CONTTYPE: stat.S_IFREG,
    tarfile.GNUTYPE_SPARSE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}


class TarballTree:
    """The members of the tarball at `path`: plain, or compressed by gzip, bzip2, xz or zstd.

    Where `stream` is given the tarball is read from there, which can be done only once, and `path` is what people call
    it. A pipe that has a path can be read only once too."""

    def __init__(self, path: Path, *, stream: IO[bytes] | None = None, with_xattrs: bool = True) -> None:
        self._path = path
        self._stream = stream
        self._with_xattrs = with_xattrs
        self._notes: list[str] = []

    @property
    def address(self) -> str:
        return str(self._path)

    def notes(self) -> list[str]:
        return self._notes

    def entries(self) -> Iterator[Incoming]:
        with _damage_border(self._path), self._opened() as file, _opened_archive(file) as archive:
            yield from self._members(archive)

    def _opened(self) -> AbstractContextManager[IO[bytes]]:
        return self._path.open("rb") if self._stream is None else nullcontext(self._stream)

    def _members(self, archive: tarfile.TarFile) -> Iterator[Incoming]:
        directories: set[RepositoryPath] = set()
        for member in archive:
            # The archive object remembers every member it has read.
            archive.members.clear()  # type: ignore[attr-defined]
            path = self._judged_path(member)
            kind = stat.S_IFREG if member.islnk() else _TYPES.get(member.type)
            if kind is None:
                raise self._refusal(member, f"has the unknown type {member.type!r}")
            for directory in ancestors(path):
                if directory not in directories:
                    directories.add(directory)
                    yield Incoming(directory, Attributes(IMPLIED_DIRECTORY_MODE, int(member.mtime)), implied=True)
            if kind == stat.S_IFDIR:
                directories.add(path)
            link_to = self._path_of(member, member.linkname, "links to") if member.islnk() else None
            yield self._entry(archive, member, path, kind, link_to)

    def _entry(
        self,
        archive: tarfile.TarFile,
        member: tarfile.TarInfo,
        path: RepositoryPath,
        kind: int,
        link_to: RepositoryPath | None,
    ) -> Incoming:
        attributes = self._attributes(member, path, kind)
        if link_to is not None:
            return Incoming(path, attributes, link_to=link_to)
        if kind == stat.S_IFLNK:
            target = member.linkname.encode("utf-8", "surrogateescape")
            if not target or b"\0" in target:
                raise self._refusal(member, "is a symbolic link to nothing that could be")
            return Incoming(path, attributes, symlink=target)
        if kind == stat.S_IFREG:
            content = archive.extractfile(member)
            if content is None:
                raise self._refusal(member, "has no content that can be read")
            return Incoming(path, attributes, store=partial(_store_stream, self._path, content, member.size))
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            return Incoming(path, attributes, device=_device_number(member))
        return Incoming(path, attributes)

    def _attributes(self, member: tarfile.TarInfo, path: RepositoryPath, kind: int) -> Attributes:
        seconds, nanoseconds = _moment(member)
        for number in (member.uid, member.gid):
            if not 0 <= number <= MAXIMUM_UINT32:
                raise self._refusal(member, f"belongs to the user or group {number}, which is no such number")
        if not -(2**63) <= seconds < 2**63:
            raise self._refusal(member, f"is of {seconds} seconds after 1970, which is no time")
        xattrs = {
            key.removeprefix(_XATTR_PREFIX).encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR_PREFIX)
        }
        return Attributes(
            mode=kind | stat.S_IMODE(member.mode),
            mtime=seconds,
            mtime_ns=nanoseconds,
            uid=member.uid,
            gid=member.gid,
            xattrs=kept_xattrs(xattrs, path, self._notes) if self._with_xattrs and xattrs else NO_XATTRS,
        )

    def _judged_path(self, member: tarfile.TarInfo) -> RepositoryPath:
        path = self._path_of(member, member.name, "is called")
        if path == ROOT and not member.isdir():
            raise self._refusal(member, "has no name")
        return path

    def _path_of(self, member: tarfile.TarInfo, name: str, verb: str) -> RepositoryPath:
        raw = name.encode("utf-8", "surrogateescape")
        if not raw:
            raise self._refusal(
                member, "is a hard link to nothing" if member.islnk() and member.name else "has no name"
            )
        parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
        if raw.startswith(b"/"):
            raise self._refusal(member, f"{verb} {name!r}, an absolute path")
        if b".." in parts or b"\0" in raw:
            raise self._refusal(member, f"{verb} {name!r}, which leads out of the tree")
        return RepositoryPath(b"".join(b"/" + part for part in parts))

    def _refusal(self, member: tarfile.TarInfo, problem: str) -> InvalidValue:
        return InvalidValue(
            what=f"the member {member.name!r} of {self._path.name}",
            problem=problem,
            hint="nothing was published; make the archive again without it",
        )


class _StrictMember(tarfile.TarInfo):
    """A member of an archive that ends as archives do.

    Python's reader takes a missing or damaged header in the middle of an archive for its end. Only a block of zeros is.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} where a member or the end should be") from error


@contextmanager
def _opened_archive(file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """The archive in `file`, read once from front to back, and to its very end, where checksums are."""
    plain = PlainBytes(file)
    with tarfile.open(
        fileobj=cast(IO[bytes], plain),
        mode="r|",
        tarinfo=_StrictMember,
        errorlevel=2,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        yield archive
        while plain.read(PIECE_BYTES):
            pass


def _moment(member: tarfile.TarInfo) -> tuple[int, int | None]:
    """Seconds and nanoseconds of the time of change, exactly as a PAX header spells it where there is one."""
    text = member.pax_headers.get("mtime", "")
    whole, _, fraction = text.partition(".")
    if fraction.isdigit() and whole.isdigit():
        return int(whole), int(fraction[:9].ljust(9, "0"))
    seconds, rest = divmod(member.mtime, 1)
    return int(seconds), int(rest * NANOSECONDS) if rest else None


def _device_number(member: tarfile.TarInfo) -> int:
    return os.makedev(member.devmajor, member.devminor)


def _store_stream(path: Path, content: IO[bytes], size: int, writer: ContentWriter) -> ContentResult:
    source: ByteSource = content
    with _damage_border(path):
        return writer.add_stream(source, size)


@contextmanager
def _damage_border(path: Path) -> Iterator[None]:
    """What archives and their compression find wrong within the block comes out as FormatError."""
    try:
        yield
    except _DAMAGE as error:
        raise _damage(path, error) from error
    except OSError as error:
        if error.errno is None:  # gzip and bzip2 say so that checksums do not fit
            raise _damage(path, error) from error
        raise storage_error(error, str(path)) from error


def _damage(path: Path, error: Exception) -> FormatError:
    return FormatError(
        what=f"the tarball {path}",
        field="a member",
        problem=f"cannot be read ({error})",
        hint=f"the archive is truncated, damaged or none of {FORMATS}; nothing was published. To publish "
        "a single file, put it into a directory",
    )
