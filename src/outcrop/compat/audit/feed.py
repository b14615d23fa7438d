"""Advisories from files, directories and addresses: the tracker's document, compressed or not, or records of OSV: one,
or a directory or a zip archive of them. What it is, its bytes say.

Nothing is extracted: an archive's records are read one after the other, and only those that concern a lock are kept.
What an archive says of its own sizes is not believed.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

import zstandard

from outcrop.compat.audit.advisories import Advisories, Interest
from outcrop.compat.audit.osv import OsvRecord, is_record, packages_named, parse_record
from outcrop.compat.audit.tracker import parse_tracker
from outcrop.errors import FormatError, NotFound, storage_error
from outcrop.software.sources.download import Fetcher

_SCHEMES = ("http://", "https://")
_RECORD_SUFFIX = ".json"
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_DAMAGED_HINT = "it may have been cut off or damaged on its way: fetch it once more"
_HINT = "give the tracker's file `data/json`, OSV's `all.zip` or a directory of its records, or their address"


@dataclass(frozen=True, slots=True)
class Limits:
    """How big advisories can be before they are taken for an attack, in bytes. The tracker's document has 80 MB; OSV's
    records of all of Debian are 75,000, in an archive of some 100 MB."""

    file: int = 1 << 30
    document: int = 2 << 30
    record: int = 64 << 20
    list: int = 64 << 20
    records: int = 1_000_000
    all_records: int = 8 << 30


_LIMITS = Limits()


def read_advisories(
    places: Sequence[str], interest: Interest, fetcher: Fetcher, limits: Limits = _LIMITS
) -> Advisories:
    """What `places`, paths or addresses, say together of what is of `interest`. NotFound, NetworkError, StorageError,
    FormatError."""
    found = Advisories()
    for place in places:
        found = found.joined(_read(place, interest, fetcher, limits))
    return found


def _read(place: str, interest: Interest, fetcher: Fetcher, limits: Limits) -> Advisories:
    if place.startswith(_SCHEMES):
        return _from_file(io.BytesIO(fetcher.read(place, limit=limits.file)), place, interest, limits)
    path = Path(place)
    try:
        if path.is_dir():
            return _of_records(_in_directory(path, limits), place, interest, limits)
        if path.exists() and not path.is_file():
            raise FormatError(what=place, field="the advisories", problem="are no file", hint=_HINT)
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > limits.file:
                _refuse_size(place, "the advisories", limits.file)
            return _from_file(file, place, interest, limits)
    except FileNotFoundError:
        raise NotFound(what=place, hint=_HINT) from None
    except OSError as error:
        raise storage_error(error, place) from error


def _refuse_size(what: str, field: str, limit: int) -> NoReturn:
    raise FormatError(what=what, field=field, problem=f"cannot have more than {limit:,} bytes", hint=_HINT)


def _from_file(file: BinaryIO, what: str, interest: Interest, limits: Limits) -> Advisories:
    start = file.read(4)
    file.seek(0)
    if start.startswith(_ZIP_STARTS):
        return _of_records(_in_archive(file, what, limits), what, interest, limits)
    data = unpacked(file.read(), what, limits.document)
    try:
        return Advisories(parse_tracker(data, what))
    except FormatError:
        if not is_record(data):
            raise
    return _of_records(iter([("", data)]), what, interest, limits)


def _of_records(found: Iterator[tuple[str, bytes]], what: str, interest: Interest, limits: Limits) -> Advisories:
    """Of the records by their names that are of `interest`; each of them must be one."""
    records: list[OsvRecord] = []
    ecosystems: set[str] = set()
    number = size = 0
    for name, data in found:
        number, size = number + 1, size + len(data)
        if size > limits.all_records:
            _refuse_size(what, "its records", limits.all_records)
        named = packages_named(data, where := f"{name} in {what}" if name else what)
        ecosystems.update(ecosystem for ecosystem, _ in named)
        if any(interest.concerned(*one) for one in named):
            records.append(parse_record(data, where))
    if not number:
        raise FormatError(what=what, field="the advisories", problem="have no record of OSV among them", hint=_HINT)
    return Advisories(None, tuple(records), frozenset(ecosystems))


def _in_directory(directory: Path, limits: Limits) -> Iterator[tuple[str, bytes]]:
    number = 0
    for place, names, files in os.walk(directory):
        names.sort()
        for name in sorted(files):
            path = Path(place, name)
            if not name.endswith(_RECORD_SUFFIX) or not path.is_file():
                continue
            number += 1
            if number > limits.records:
                _refuse_number(str(directory), limits)
            with path.open("rb") as file:
                yield str(path.relative_to(directory)), _bounded(file, str(path), limits)


def _in_archive(file: BinaryIO, what: str, limits: Limits) -> Iterator[tuple[str, bytes]]:
    name = ""
    try:
        if _list_bytes(file) > limits.list:
            _refuse_size(what, "its list of records", limits.list)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > limits.records:
                _refuse_number(what, limits)
            for entry in entries:
                name = entry.filename
                if name.endswith(_RECORD_SUFFIX):
                    with archive.open(entry) as member:
                        data = _bounded(member, f"{name} in {what}", limits)
                    yield name, data
    except _UNZIPPING as error:
        where = f", at {name!r}" if name else ""
        raise FormatError(
            what=what,
            field="the archive",
            problem=f"cannot be unpacked{where} ({error})",
            hint=_DAMAGED_HINT,
        ) from error


_UNZIPPING = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ArithmeticError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises for archives that are damaged, encrypted, or compressed in ways that it does not know."""

_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_END_BYTES, _LONGEST_COMMENT = 22 + 20 + 56, 0xFFFF


def _list_bytes(file: BinaryIO) -> int:
    """How many bytes the list of an archive's entries says that it has, at most: `zipfile` reads all of it at once."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LONGEST_COMMENT - _END_BYTES))
    tail = file.read()
    file.seek(0)
    short = [int.from_bytes(tail[place + 12 : place + 16], "little") for place in _places(tail, _END)]
    long = [int.from_bytes(tail[place + 40 : place + 48], "little") for place in _places(tail, _END_64)]
    told = [one for one in short if one != _IN_THE_LONG_FORM or not long]
    return max((*told, *long), default=0)


_IN_THE_LONG_FORM = 0xFFFFFFFF


def _places(data: bytes, text: bytes) -> Iterator[int]:
    place = data.find(text)
    while place >= 0:
        yield place
        place = data.find(text, place + 1)


def _refuse_number(what: str, limits: Limits) -> NoReturn:
    raise FormatError(
        what=what,
        field="the advisories",
        problem=f"cannot have more than {limits.records:,} records",
        hint=_HINT,
    )


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _bounded(file: _Readable, what: str, limits: Limits) -> bytes:
    data = file.read(limits.record + 1)
    if len(data) > limits.record:
        _refuse_size(what, "its contents", limits.record)
    return data


def unpacked(data: bytes, what: str, limit: int = _LIMITS.document) -> bytes:
    """`data` without compression, whatever it is compressed by; at most `limit` bytes. FormatError."""
    opened = next((opened for start, opened in _COMPRESSIONS.items() if data.startswith(start)), None)
    if opened is None:
        return data
    try:
        with opened(io.BytesIO(data)) as file:
            found: bytes = file.read(limit + 1)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, zstandard.ZstdError) as error:
        raise FormatError(
            what=what, field="the compressed data", problem=f"cannot be unpacked ({error})", hint=_DAMAGED_HINT
        ) from error
    if len(found) > limit:
        _refuse_size(what, "the compressed data", limit)
    return found


_COMPRESSIONS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
    b"\x28\xb5\x2f\xfd": lambda file: zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True),
}
"""What opens a file that begins with these bytes."""
