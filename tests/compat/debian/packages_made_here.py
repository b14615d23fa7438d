"""Debian packages, good and bad ones, made without Debian's tools. Source: deb(5)."""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import zstandard

MTIME = 1_700_000_000
FORMAT_VERSION = b"2.0\n"

XZ = ".xz"
GZIP = ".gz"
ZSTANDARD = ".zst"
BZIP2 = ".bz2"
NONE = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a tarball. A plain name gets the `./` that dpkg-deb writes; one that begins with `/` or `.` stays as
    it is. `target` is a link's."""

    name: str
    kind: bytes = tarfile.REGTYPE
    data: bytes = b""
    mode: int = 0o644
    target: str = ""
    mtime: int = MTIME

    def header(self) -> tarfile.TarInfo:
        header = tarfile.TarInfo(self.name if self.name.startswith(("/", ".")) else f"./{self.name}")
        header.type, header.mode, header.mtime = self.kind, self.mode, self.mtime
        header.size, header.linkname = len(self.data), self.target
        header.uname = header.gname = "root"
        if self.kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            header.devmajor, header.devminor = 1, 3
        return header


def file(name: str, data: bytes = b"", mode: int = 0o644, mtime: int = MTIME) -> Entry:
    return Entry(name, data=data, mode=mode, mtime=mtime)


def directory(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str) -> Entry:
    return Entry(name, tarfile.SYMTYPE, mode=0o777, target=target)


def hard_link(name: str, target: str) -> Entry:
    """`target` is a name in the same tarball, as dpkg-deb writes it: with `./`, unless it begins with `/` or `.`."""
    return Entry(name, tarfile.LNKTYPE, target=target if target.startswith(("/", ".")) else f"./{target}")


def tarball(entries: Iterable[Entry]) -> bytes:
    """An uncompressed tarball."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry.header(), io.BytesIO(entry.data))
    return buffer.getvalue()


def compressed(data: bytes, compression: str) -> bytes:
    """`data` in the form that the suffix `compression` stands for; the same bytes each time."""
    match compression:
        case ".xz":
            return lzma.compress(data, preset=0)
        case ".gz":
            packer = zlib.compressobj(wbits=31)
            return packer.compress(data) + packer.flush()
        case ".zst":
            return zstandard.ZstdCompressor().compress(data)
        case ".bz2":
            return bz2.compress(data)
        case _:
            return data


def ar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """An `ar` archive as deb(5) wants it: no slash after a name, every member at an even place."""
    parts = [b"!<arch>\n"]
    for name, data in members:
        parts.append(ar_header(name, str(len(data))) + data + b"\n" * (len(data) % 2))
    return b"".join(parts)


def ar_header(name: str, size: str) -> bytes:
    return f"{name:<16}{MTIME:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode()


def deb(control: bytes, data: bytes, compression: str = XZ, version: bytes = FORMAT_VERSION) -> bytes:
    """A package of the two tarballs `control` and `data`, both uncompressed."""
    return ar(
        (
            ("debian-binary", version),
            (f"control.tar{compression}", compressed(control, compression)),
            (f"data.tar{compression}", compressed(data, compression)),
        )
    )


@dataclass(frozen=True)
class MadePackage:
    """A binary package. `fields` are further ones of its control file, such as Depends; `script` is its postinst,
    `preinst` what is run before it is unpacked, `triggers` what it sets off."""

    name: str
    version: str = "1.0-1"
    architecture: str = "amd64"
    fields: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    script: str = ""
    compression: str = XZ
    preinst: str = ""
    triggers: str = ""

    @property
    def filename(self) -> str:
        """Where it is below the archive's root."""
        upstream = self.version.partition(":")[2] or self.version
        return f"pool/main/{self.name[0]}/{self.name}/{self.name}_{upstream}_{self.architecture}.deb"

    @cached_property
    def data(self) -> bytes:
        """The package's file."""
        control = [file("control", self.control.encode())]
        texts = {"postinst": self.script, "preinst": self.preinst, "triggers": self.triggers}
        control += [file(name, text.encode(), 0o755) for name, text in texts.items() if text]
        return deb(tarball(control), tarball(self.entries), self.compression)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def control(self) -> str:
        """Its control file."""
        installed = sum(len(entry.data) for entry in self.entries) // 1024 + 1
        own = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Nobody <nobody@example.org>",
            "Installed-Size": str(installed),
            "Description": f"{self.name}, made by a test",
        }
        return written({**own, **self.fields})

    def paragraph(self, **changed: str) -> str:
        """Its paragraph in an index, with the fields `changed` (`_` for `-`) other than they should be; an empty value
        leaves a field out."""
        own = {"Filename": self.filename, "Size": str(len(self.data)), "SHA256": self.sha256}
        replaced = {name.replace("_", "-"): value for name, value in changed.items()}
        head = dict(line.split(": ", 1) for line in self.control.splitlines())
        return written({name: value for name, value in {**head, **own, **replaced}.items() if value})


def written(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items())
