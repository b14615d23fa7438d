"""What a Debian package holds, read from the file itself: entries, and the scripts that its maintainer wrote.

A package is an `ar` archive of three members: `debian-binary`, and two tarballs, `control.tar` and `data.tar`, each
compressed in one of several ways. Nothing of a package is ever run. Source: deb(5).
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import zstandard

from outcrop.errors import IntegrityError, storage_error

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_HEADER_END = b"`\n"
_SCRIPTS = ("preinst", "postinst", "triggers")
_CONTROL = "control"
_VERSION = re.compile(rb"2\.[0-9]+\n.*", re.DOTALL)
_READ_BYTES = 1 << 20
_END_BYTES = 1024
_GZIP = 31
"""How zlib is told to expect gzip's header."""
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError, ValueError, OSError)


@dataclass(frozen=True, slots=True)
class OpenPackage:
    """A package that is being read. `scripts` is what its maintainer wants to be run when it is installed, by the names
    of the scripts, and the triggers that it sets off."""

    path: Path
    scripts: Mapping[str, str]
    _archive: tarfile.TarFile
    _data: bytes

    def entries(self) -> Iterator[tuple[str, tarfile.TarInfo]]:
        """Every entry with its path, in the package's order. A path has neither `./` at its beginning nor a slash at
        its end. IntegrityError where the package is damaged."""
        while True:
            with _damage_told(self.path):
                entry = self._archive.next()
                if entry is None:
                    _require_end(self._archive, self._data)
                    return
            path = entry.name.removeprefix("./").rstrip("/")
            if path not in ("", "."):
                yield path, entry

    def contents(self, entry: tarfile.TarInfo) -> Iterator[bytes]:
        """The contents of the file `entry`, which is the one that `entries` gave last. IntegrityError."""
        file = self._archive.extractfile(entry)
        assert file is not None
        left = entry.size
        while left:
            with _damage_told(self.path):
                data = file.read(min(left, _READ_BYTES))
                if not data:
                    raise EOFError(f"{entry.name} is cut off")
            left -= len(data)
            yield data


@contextmanager
def open_package(path: Path) -> Iterator[OpenPackage]:
    """The package at `path`. IntegrityError for one that is damaged, StorageError where it cannot be read."""
    try:
        with path.open("rb") as file, _damage_told(path):
            members = dict(_members(path, file))
    except OSError as error:
        raise storage_error(error, str(path)) from error
    with _damage_told(path):
        if not _VERSION.fullmatch(members.get("debian-binary", b"")):
            _damaged(path, "it is of a version that is not known")
        scripts = _scripts(_part(path, members, _CONTROL))
        data = _part(path, members, "data")
        archive = tarfile.open(fileobj=io.BytesIO(data), mode="r:")  # noqa: SIM115
    with archive:
        yield OpenPackage(path, scripts, archive, data)


def read_scripts(path: Path) -> dict[str, str]:
    """The scripts and triggers of the package at `path`, of which no more is read. IntegrityError, StorageError."""
    try:
        with path.open("rb") as file, _damage_told(path):
            members = ({name: data} for name, data in _members(path, file) if name.startswith(f"{_CONTROL}.tar"))
            return _scripts(_part(path, next(members, {}), _CONTROL))
    except OSError as error:
        raise storage_error(error, str(path)) from error


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        _damaged(path, str(error))


def _require_end(archive: tarfile.TarFile, data: bytes) -> None:
    """Raises EOFError unless what is behind the last entry of `archive` is the end of a tarball: two blocks of zeros,
    or more."""
    rest = data[archive.offset :] if archive.offset < len(data) else b""
    before = data[max(0, archive.offset - tarfile.BLOCKSIZE) : archive.offset]
    if any(rest) or (any(before) and len(rest) < _END_BYTES) or len(before) + len(rest) < _END_BYTES:
        raise EOFError("a tarball in it is cut off, or damaged in its middle")


def _members(path: Path, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    if file.read(len(_MAGIC)) != _MAGIC:
        _damaged(path, "it is no archive")
    while header := file.read(_HEADER_BYTES):
        digits = header[48:58].strip()
        if len(header) < _HEADER_BYTES or not header.endswith(_HEADER_END) or not digits.isdigit():
            _damaged(path, "a header in it is broken")
        size = int(digits)
        data = file.read(size)
        if len(data) < size:
            _damaged(path, "it is cut off")
        file.read(size % 2)
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), data


def _part(path: Path, members: dict[str, bytes], name: str) -> bytes:
    """The tarball `name` of a package with these `members`, without compression."""
    suffix = next((member.removeprefix(name) for member in members if member.startswith(f"{name}.tar")), None)
    data = members.get(f"{name}{suffix}", b"")
    if suffix == ".tar":
        return data
    if suffix == ".tar.gz":
        return zlib.decompress(data, wbits=_GZIP)
    if suffix == ".tar.xz":
        return lzma.decompress(data)
    if suffix != ".tar.zst":
        _damaged(path, f"it has no {name}.tar in a form that is known")
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    whole = decompressor.decompress(data)
    if not decompressor.eof:
        raise EOFError("a tarball in it is cut off")
    return whole


def _scripts(control: bytes) -> dict[str, str]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(control), mode="r:") as archive:
        for entry in archive:
            name = entry.name.removeprefix("./")
            if name in _SCRIPTS and entry.isfile():
                file = archive.extractfile(entry)
                assert file is not None
                found[name] = file.read().decode("utf-8", "replace")
        _require_end(archive, control)
    return found


def _damaged(path: Path, problem: str) -> NoReturn:
    raise IntegrityError(what=str(path), problem=f"it is no Debian package that can be read ({problem})")
