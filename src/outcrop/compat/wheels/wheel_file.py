"""A wheel's file, read after it has been looked at: nothing in it leaves its place, and all is what its list says.

- No path is absolute, goes up, or stands twice; there are no links and no compiled code.
- `RECORD` lists every file and no other, each with a digest that is SHA-256 or better, and the digests are right.
- Name and version are those of the file's name.
- It does not unpack to more than a layer can hold.

Source: "Binary distribution format" and "Core metadata", Python Packaging User Guide.
"""

from __future__ import annotations

import configparser
import csv
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from installer.exceptions import InstallerError
from installer.records import InvalidRecordEntry, RecordEntry, parse_record_file
from installer.sources import WheelFile
from packaging.metadata import RawMetadata, parse_email
from packaging.utils import canonicalize_name, canonicalize_version

from outcrop.compat.wheels.names import wheel_name
from outcrop.errors import FormatError, storage_error

MAXIMUM_BYTES = 500_000_000
"""What a wheel may unpack to: twice what a whole layer without compilers may have."""

_DIGESTS = frozenset({"sha256", "sha384", "sha512"})
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_LICENCE_CLASSIFIER = "License :: OSI Approved :: "

_TROUBLES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    InstallerError,
    InvalidRecordEntry,
    configparser.Error,
    csv.Error,
    ValueError,
    AssertionError,  # installer's word for an entry point that is none
    KeyError,
    NotImplementedError,
    RuntimeError,
)
"""What reading a rubbish archive raises."""


@dataclass(frozen=True, slots=True)
class WheelFacts:
    """What a wheel's metadata say: the versions of Python it works with, the distributions it needs (both as written
    there), its licences."""

    python: str
    needs: tuple[str, ...]
    licences: tuple[str, ...]


@contextmanager
def open_wheel(path: Path, file: str) -> Iterator[WheelFile]:
    """The wheel at `path`, whose name is `file`. FormatError for one that breaks a rule, also while it is read;
    StorageError."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.filename = file  # in a mirror it has another
            _check_entries(archive, file)
            wheel = WheelFile(archive)
            _check_record(wheel, archive, file)
            _check_name(wheel, file)
            yield wheel
    except _TROUBLES as error:
        issues = getattr(error, "issues", None) or [error]
        said = str(next(iter(issues))).removeprefix(f"In {file}, ") or type(error).__name__
        raise FormatError(what=f"the wheel {file}", field="the archive", problem=f"is not accepted: {said}") from error
    except OSError as error:
        raise storage_error(error, str(path)) from error


def read_wheel(path: Path, file: str) -> WheelFacts:
    """What the wheel at `path`, whose name is `file`, says of itself. FormatError, StorageError."""
    with open_wheel(path, file) as wheel:
        metadata = _metadata(wheel)
    return WheelFacts(
        metadata.get("requires_python", ""), tuple(metadata.get("requires_dist", ())), tuple(_licences(metadata))
    )


def _metadata(wheel: WheelFile) -> RawMetadata:
    return parse_email(wheel.read_dist_info("METADATA"))[0]


def _licences(metadata: RawMetadata) -> Iterable[str]:
    if expression := metadata.get("license_expression"):
        return (expression,)
    text = metadata.get("license", "").strip()
    if text and "\n" not in text:
        return (text,)
    classifiers = metadata.get("classifiers", ())
    return (one.removeprefix(_LICENCE_CLASSIFIER) for one in classifiers if one.startswith(_LICENCE_CLASSIFIER))


def _refuse(file: str, field: str, problem: str) -> NoReturn:
    raise FormatError(what=f"the wheel {file}", field=field, problem=problem)


def _check_entries(archive: zipfile.ZipFile, file: str) -> None:
    seen: set[str] = set()
    for entry in archive.infolist():
        field = f"the path {entry.filename!r}"
        parts = entry.filename.removesuffix("/").split("/")
        if "\\" in entry.filename or any(part in ("", ".", "..") for part in parts):
            _refuse(file, field, "leaves its place")
        if entry.filename in seen:
            _refuse(file, field, "is there twice")
        if stat.S_ISLNK(entry.external_attr >> 16):
            _refuse(file, field, "is a link")
        if "__pycache__" in parts or parts[-1].endswith(".pyc"):
            _refuse(file, field, "is compiled code, which nobody can read")
        seen.add(entry.filename)
    size = sum(entry.file_size for entry in archive.infolist())
    if size > MAXIMUM_BYTES:
        _refuse(file, "the archive", f"unpacks to {size:,} bytes; at most {MAXIMUM_BYTES:,} are accepted")


def _check_record(wheel: WheelFile, archive: zipfile.ZipFile, file: str) -> None:
    wheel.validate_record()
    there = {name for name in archive.namelist() if not name.endswith("/")}
    listed: set[str] = set()
    for row in parse_record_file(wheel.read_dist_info("RECORD").splitlines()):
        entry = RecordEntry.from_elements(*row)
        if entry.path in listed:
            _refuse(file, f"the path {entry.path!r}", "is in RECORD twice")
        if entry.path not in there:
            _refuse(file, f"the path {entry.path!r}", "is in RECORD, and not in the archive")
        if entry.hash_ is not None and entry.hash_.name not in _DIGESTS:
            _refuse(file, f"the path {entry.path!r}", f"has a digest that proves nothing ({entry.hash_.name})")
        listed.add(entry.path)
    signatures = {f"{wheel.dist_info_dir}/{name}" for name in _SIGNATURES}
    for path in sorted(there - listed - signatures):
        _refuse(file, f"the path {path!r}", "is not in RECORD")


def _check_name(wheel: WheelFile, file: str) -> None:
    named = wheel_name(file, f"the wheel {file}")
    metadata = _metadata(wheel)
    name, version = canonicalize_name(metadata.get("name", "")), metadata.get("version", "")
    if (name, canonicalize_version(version)) != (named.name, canonicalize_version(named.version)):
        _refuse(file, "METADATA", f"is of {name} {version}")
