"""What a Debian package holds, read from the file itself: entries, and the script that its maintainer wrote.

A package is an `ar` archive of three members: `debian-binary`, and two tarballs, `control.tar` and `data.tar`, each
compressed in one of several ways. Nothing of a package is ever run. Source: deb(5).
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import zstandard

from outcrop.errors import IntegrityError, storage_error

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_HEADER_END = b"`\n"
_SCRIPT = "postinst"
_GZIP = 31
"""How zlib is told to expect gzip's header."""
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError, ValueError)


@dataclass(frozen=True, slots=True)
class OpenPackage:
    """A package that is being read. `script` is what its maintainer wants to be run when it is installed."""

    archive: tarfile.TarFile
    script: str

    def entries(self) -> Iterator[tuple[str, tarfile.TarInfo]]:
        """Every entry with its path, in the package's order. A path has neither `./` at its beginning nor a slash at
        its end."""
        for entry in self.archive:
            path = entry.name.removeprefix("./").rstrip("/")
            if path not in ("", "."):
                yield path, entry


@contextmanager
def open_package(path: Path) -> Iterator[OpenPackage]:
    """The package at `path`. IntegrityError for one that is damaged, StorageError where it cannot be read."""
    try:
        with path.open("rb") as file:
            members = dict(_members(path, file))
            control, data = _part(path, members, "control"), _part(path, members, "data")
            with tarfile.open(fileobj=control, mode="r|") as archive:
                script = _script(archive)
            with tarfile.open(fileobj=data, mode="r|") as archive:
                yield OpenPackage(archive, script)
    except _DAMAGE as error:
        _damaged(path, str(error))
    except OSError as error:
        raise storage_error(error, str(path)) from error


def _members(path: Path, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    if file.read(len(_MAGIC)) != _MAGIC:
        _damaged(path, "it is no archive")
    while header := file.read(_HEADER_BYTES):
        if len(header) < _HEADER_BYTES or not header.endswith(_HEADER_END):
            _damaged(path, "a header in it is broken")
        size = int(header[48:58])
        data = file.read(size)
        if len(data) < size:
            _damaged(path, "it is cut off")
        file.read(size % 2)
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), data


def _part(path: Path, members: dict[str, bytes], name: str) -> IO[bytes]:
    """The tarball `name` of a package with these `members`, as it is read without compression."""
    suffix = next((member.removeprefix(name) for member in members if member.startswith(f"{name}.tar")), None)
    data = io.BytesIO(members.get(f"{name}{suffix}", b""))
    if suffix == ".tar":
        return data
    if suffix == ".tar.gz":
        return io.BytesIO(zlib.decompress(data.read(), wbits=_GZIP))
    if suffix == ".tar.xz":
        return lzma.LZMAFile(data)
    if suffix != ".tar.zst":
        _damaged(path, f"it has no {name}.tar in a form that is known")
    return zstandard.ZstdDecompressor().stream_reader(data)


def _script(archive: tarfile.TarFile) -> str:
    for entry in archive:
        if entry.name.removeprefix("./") == _SCRIPT and entry.isfile():
            file = archive.extractfile(entry)
            assert file is not None
            return file.read().decode("utf-8", "replace")
    return ""


def _damaged(path: Path, problem: str) -> NoReturn:
    raise IntegrityError(what=str(path), problem=f"it is no Debian package that can be read ({problem})")
