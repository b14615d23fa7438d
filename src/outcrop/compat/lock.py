"""A lock: exactly which packages a layer is made of, so that the same layer can be made again.

One JSON document, one package a line, in the order of the names: two locks compare well with `diff`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from outcrop.compat.debian.archive import ReleaseMetadata
from outcrop.compat.debian.packages import SHA256, DebianPackage
from outcrop.compat.debian.resolve import Resolution
from outcrop.errors import FormatError
from outcrop.toml_text import read_text
from outcrop.whole_file import write_whole_file

FORMAT = 1


class LockedPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package, by the digest of its file. `path` starts at a mirror of the archive; `size` and `installed` are in
    bytes; `needed_by` is the package that brought it, empty where a set names it. What it needs and provides is written
    as in Debian's control files."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    sha256: str
    size: int
    installed: int
    path: str
    needed_by: str
    ships: bool = True
    needs: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()


class LockedSuite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A suite as it was: when its metadata were signed, and the digests of its two files in the mirror."""

    suite: str
    version: str
    date: str
    in_release: str
    packages: str


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole lock. `sets`: the sets that it was resolved from."""

    format: int
    release: str
    family: str
    sets: tuple[str, ...]
    suites: tuple[LockedSuite, ...]
    left_out: tuple[str, ...]
    packages: tuple[LockedPackage, ...]

    def package(self, name: str) -> LockedPackage | None:
        return next((package for package in self.packages if package.name == name), None)


def lock_of(
    metadata: ReleaseMetadata,
    resolution: Resolution,
    family: str,
    sets: Iterable[str],
    shipped: Iterable[str],
) -> Lock:
    """The lock of what `resolution` chose; only the packages `shipped` are part of the finished layer."""
    ships = frozenset(shipped)
    return Lock(
        FORMAT,
        metadata.release,
        family,
        tuple(sets),
        locked_suites(metadata),
        tuple(sorted(resolution.left_out)),
        tuple(
            locked(chosen.package, chosen.needed_by, ships=chosen.package.name in ships)
            for chosen in resolution.chosen.values()
        ),
    )


def locked_suites(metadata: ReleaseMetadata) -> tuple[LockedSuite, ...]:
    """How a lock records the suites of a release."""
    return tuple(
        LockedSuite(one.suite, one.version, f"{one.date:%Y-%m-%dT%H:%M:%SZ}", one.in_release, one.packages)
        for one in metadata.suites
    )


def locked(package: DebianPackage, needed_by: str, *, ships: bool) -> LockedPackage:
    """How a lock records `package`."""
    return LockedPackage(
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        source=package.source,
        source_version=package.source_version,
        sha256=package.sha256,
        size=package.size,
        installed=package.installed,
        path=package.path,
        needed_by=needed_by,
        ships=ships,
        needs=tuple(" | ".join(map(str, clause)) for clause in package.needs),
        provides=tuple(map(str, package.provides)),
    )


def render_lock(lock: Lock) -> bytes:
    """The document, one package a line."""
    head = msgspec.to_builtins(lock)
    packages = head.pop("packages")
    lines = msgspec.json.format(msgspec.json.encode(head), indent=1).decode().removesuffix("\n}")
    body = ",\n  ".join(msgspec.json.encode(package).decode() for package in packages)
    return f'{lines},\n "packages": [\n  {body}\n ]\n}}\n'.encode()


def write_lock(lock: Lock, path: Path) -> None:
    """Writes the document to `path`; StorageError."""
    write_whole_file(path, render_lock(lock))


def read_lock(path: Path) -> Lock:
    """The lock in `path`; NotFound, FormatError, StorageError."""
    text = read_text(path, "name a lock that `outcrop compat plan --lock` or a build has written")
    try:
        lock = msgspec.json.decode(text.encode(), type=Lock)
    except msgspec.DecodeError as error:
        raise FormatError(what=str(path), field="the lock", problem=f"is not accepted: {error}") from error
    if lock.format != FORMAT:
        raise FormatError(what=str(path), field="format", problem=f"is {lock.format}; this Outcrop reads {FORMAT}")
    _check(lock, str(path))
    return lock


def _check(lock: Lock, what: str) -> None:
    def refuse(field: str, problem: str) -> NoReturn:
        raise FormatError(what=what, field=field, problem=problem)

    names = Counter(package.name for package in lock.packages)
    for package in lock.packages:
        if names[package.name] > 1:
            refuse(f"package {package.name}", "is there twice")
        if not SHA256.fullmatch(package.sha256):
            refuse(f"sha256 of {package.name}", "is no SHA-256")
        if package.path.startswith("/") or ".." in package.path.split("/"):
            refuse(f"path of {package.name}", "leaves the archive")
    for suite in lock.suites:
        try:
            datetime.fromisoformat(suite.date)
        except ValueError:
            refuse(f"date of {suite.suite}", f"is {suite.date!r}")
