"""A lock: exactly which packages and wheels a layer is made of, so that the same layer can be made again.

One JSON document, one package a line, in the order of the names: two locks compare well with `diff`. A lock without
wheels does not speak of them, so whoever does not know them reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from outcrop.compat.debian.archive import ReleaseMetadata
from outcrop.compat.debian.packages import SHA256, DebianPackage
from outcrop.compat.debian.resolve import Resolution
from outcrop.compat.wheels.names import wheel_name
from outcrop.errors import FormatError
from outcrop.toml_text import read_text
from outcrop.whole_file import write_whole_file

FORMAT = 1


class LockedPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package, by the digest of its file. `path` starts at a mirror of the archive; `size` and `installed` are in
    bytes; `needed_by` is the package that brought it, empty where a set names it. What it needs, provides and cannot
    stand is written as in Debian's control files."""

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
    conflicts: tuple[str, ...] = ()


class LockedWheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Python wheel, by the digest of its file. `size` is in bytes; `python` are the versions of Python that it works
    with, `needs` the distributions that it cannot do without, both as in its metadata."""

    name: str
    version: str
    file: str
    sha256: str
    size: int
    python: str = ""
    needs: tuple[str, ...] = ()


class LockedSuite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A suite as it was: when its metadata were signed, and the digests of its two files in the mirror."""

    suite: str
    version: str
    date: str
    in_release: str
    packages: str


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole lock. `sets`: the sets that it was resolved from; `excluded`: the declared exclusions, `left_out` the
    ones that anything asked for; `together`: packages that may be in one layer whatever they say of each other."""

    format: int
    release: str
    family: str
    sets: tuple[str, ...]
    suites: tuple[LockedSuite, ...]
    left_out: tuple[str, ...]
    packages: tuple[LockedPackage, ...]
    wheels: tuple[LockedWheel, ...] = ()
    excluded: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()

    @property
    def all(self) -> tuple[LockedPackage | LockedWheel, ...]:
        """Everything that is fetched."""
        return (*self.packages, *self.wheels)

    def package(self, name: str) -> LockedPackage | None:
        return next((package for package in self.packages if package.name == name), None)


class _AnyLock(msgspec.Struct, frozen=True):
    """A lock of this back end, which has no such field, or of another one."""

    back_end: str = ""


_OTHER_HINT = "`outcrop compat build --lock` builds from a lock of any back end"


def lock_of(
    metadata: ReleaseMetadata,
    resolution: Resolution,
    family: str,
    sets: Iterable[str],
    shipped: Iterable[str],
    wheels: Iterable[LockedWheel] = (),
    excluded: Iterable[str] = (),
    together: Iterable[Collection[str]] = (),
) -> Lock:
    """The lock of what `resolution` chose, and `wheels`; only the packages `shipped` are part of the finished layer.
    `excluded` and `together` are what the resolution was given."""
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
        tuple(wheels),
        tuple(sorted(excluded)),
        tuple(tuple(sorted(group)) for group in together),
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
        conflicts=tuple(map(str, package.conflicts)),
    )


def render_lock(lock: Lock) -> bytes:
    """The document, one package a line."""
    head = msgspec.to_builtins(lock)
    lists = {"packages": head.pop("packages"), "wheels": head.pop("wheels")}
    text = msgspec.json.format(msgspec.json.encode(head), indent=1).decode().removesuffix("\n}")
    for name, entries in lists.items():
        if entries or name == "packages":
            body = ",\n  ".join(msgspec.json.encode(entry).decode() for entry in entries)
            text += f',\n "{name}": [\n  {body}\n ]'
    return f"{text}\n}}\n".encode()


def write_lock(lock: Lock, path: Path) -> None:
    """Writes the document to `path`; StorageError."""
    write_whole_file(path, render_lock(lock))


def read_lock(path: Path) -> Lock:
    """The lock in `path`; NotFound, FormatError, StorageError."""
    text = read_text(path, "name a lock that `outcrop compat plan --lock` or a build has written")
    return parse_lock(text.encode(), str(path))


def parse_lock(data: bytes, what: str) -> Lock:
    """The lock that `data` is; `what` names it in a FormatError."""
    try:
        back_end = msgspec.json.decode(data, type=_AnyLock).back_end
        if back_end:
            problem = f"names {back_end}, and this is done with layers of Debian's packages only"
            raise FormatError(what=what, field="back_end", problem=problem, hint=_OTHER_HINT)
        lock = msgspec.json.decode(data, type=Lock)
    except msgspec.DecodeError as error:
        raise FormatError(what=what, field="the lock", problem=f"is not accepted: {error}") from error
    if lock.format != FORMAT:
        raise FormatError(what=what, field="format", problem=f"is {lock.format}; this Outcrop reads {FORMAT}")
    _check(lock, what)
    return lock


@dataclass(frozen=True, slots=True)
class VersionChange:
    """The package `name` of a source has the version `after` instead of `before`; either is empty where the package is
    not there."""

    name: str
    source: str
    before: str
    after: str


def version_changes(before: Lock, after: Lock) -> tuple[VersionChange, ...]:
    """The packages whose versions are not the same in two locks, in the order of the names."""
    old = {package.name: package for package in before.packages}
    new = {package.name: package for package in after.packages}
    found = []
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        versions = one.version if one else "", other.version if other else ""
        source = other.source if other else one.source if one else ""
        if versions[0] != versions[1]:
            found.append(VersionChange(name, source, *versions))
    return tuple(found)


def makes_the_same(one: Lock, other: Lock) -> bool:
    """Whether two locks make the same layer: they have the same files, whenever their metadata were signed."""
    return _files(one) == _files(other)


def _files(lock: Lock) -> tuple[object, ...]:
    packages = {(package.name, package.sha256, package.ships) for package in lock.packages}
    return lock.release, lock.family, packages, {(wheel.file, wheel.sha256) for wheel in lock.wheels}


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
    for wheel in lock.wheels:
        if (named := wheel_name(wheel.file, what)).name != wheel.name or named.version != wheel.version:
            refuse(f"file of {wheel.name}", f"is of {named.name} {named.version}")
        if not SHA256.fullmatch(wheel.sha256):
            refuse(f"sha256 of {wheel.name}", "is no SHA-256")
    if len({wheel.name for wheel in lock.wheels}) < len(lock.wheels):
        refuse("wheels", "have one twice")
    for suite in lock.suites:
        try:
            datetime.fromisoformat(suite.date)
        except ValueError:
            refuse(f"date of {suite.suite}", f"is {suite.date!r}")
