"""A tarball as a tree to publish, streamed: nothing is unpacked to disk.

Every member is judged before anything of it is used. Refused, with its name and the reason: `..`, absolute names, names
without a component, members below something that is no directory, hard links to what was not in the archive before,
members that appear twice and disagree in type, truncated or damaged archives.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import zstandard

from outcrop.cvmfs.chunking import ByteSource
from outcrop.cvmfs.entry import NANOSECONDS
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors
from outcrop.cvmfs.xattrs import NO_XATTRS
from outcrop.errors import FormatError, InvalidValue, storage_error
from outcrop.storage.interface import PIECE_BYTES
from outcrop.stratum0.contents import ContentResult, ContentWriter
from outcrop.stratum0.incoming import Attributes, Incoming, kept_xattrs

IMPLIED_DIRECTORY_MODE = stat.S_IFDIR | 0o755


def _gunzipped(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file)


def _unzstd(file: IO[bytes]) -> zstandard.ZstdDecompressionReader:
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)


_DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": _gunzipped,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _unzstd,
}
"""How archives are packed, by the bytes that they begin with."""
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, UnicodeError, ValueError)
_LONGEST_MAGIC = max(map(len, _DECOMPRESSORS))
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
    """The members of the tarball at `path`: plain, or compressed by gzip, bzip2, xz or zstd."""

    def __init__(self, path: Path, *, with_xattrs: bool = True) -> None:
        self._path = path
        self._with_xattrs = with_xattrs
        self._notes: list[str] = []

    @property
    def address(self) -> str:
        return str(self._path)

    def notes(self) -> list[str]:
        return self._notes

    def entries(self) -> Iterator[Incoming]:
        with _damage_border(self._path), self._path.open("rb") as file, _opened_archive(file) as archive:
            yield from self._members(archive)

    def _members(self, archive: tarfile.TarFile) -> Iterator[Incoming]:
        kinds: dict[RepositoryPath, int] = {}
        for member in archive:
            path = self._judged_path(member)
            kind = _TYPES.get(member.type)
            link_to = None
            if member.islnk():
                link_to = self._path_of(member, member.linkname, "links to")
                kind = kinds.get(link_to)
                if kind is None or kind == stat.S_IFDIR:
                    raise self._refusal(member, f"is a hard link to {member.linkname!r}, which is no file before it")
            if kind is None:
                raise self._refusal(member, f"has the unknown type {member.type!r}")
            for directory in ancestors(path):
                if directory not in kinds:
                    kinds[directory] = stat.S_IFDIR
                    yield Incoming(directory, Attributes(IMPLIED_DIRECTORY_MODE, int(member.mtime)))
                elif kinds[directory] != stat.S_IFDIR:
                    above = directory.decode(errors="replace")
                    raise self._refusal(member, f"lies below {above}, which is no directory")
            if kinds.setdefault(path, kind) != kind:
                raise self._refusal(member, "stands twice in the archive, as different things")
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
            if not target:
                raise self._refusal(member, "is a symbolic link to nothing")
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
    magic = file.read(_LONGEST_MAGIC)
    file.seek(0)
    openers = [opener for start, opener in _DECOMPRESSORS.items() if magic.startswith(start)]
    plain: IO[bytes] = openers[0](file) if openers else file
    with tarfile.open(
        fileobj=plain, mode="r|", tarinfo=_StrictMember, errorlevel=2, encoding="utf-8", errors="surrogateescape"
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
        result = writer.add_stream(source)
        if result.value_size() != size:
            raise tarfile.ReadError(f"{size - result.value_size()} bytes of a member are missing")
    return result


@contextmanager
def _damage_border(path: Path) -> Iterator[None]:
    """What archives and their compression find wrong within the block comes out as FormatError."""
    try:
        yield
    except _DAMAGE as error:
        raise FormatError(
            what=f"the tarball {path}",
            field="a member",
            problem=f"cannot be read ({error})",
            hint="the archive is truncated, damaged or no tarball; nothing was published",
        ) from error
    except OSError as error:
        raise storage_error(error, str(path)) from error
