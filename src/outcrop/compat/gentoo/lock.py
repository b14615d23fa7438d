"""A lock of this back end: what a layer is built from, by digests and commits, and what came of it.

One JSON document, one entry a line. A plan knows what goes in: snapshot, script, overlays, atoms, settings. A build
adds what came out: the version of every installed package, and the digest of every source archive. Building with such
a lock asks the network for nothing that has no digest, and demands the same versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from outcrop.compat.gentoo.settings import Snapshot
from outcrop.errors import FormatError, InvalidValue
from outcrop.toml_text import read_text
from outcrop.whole_file import write_whole_file

FORMAT = 1
GENTOO_PREFIX = "gentoo-prefix"

_ENTRIES = ("atoms", "installed", "source_archives")
_FROM_THE_BUILD = ("installed", "source_archives")


class LockedOverlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An overlay by its commit."""

    name: str
    commit: str


class LockedAtom(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a set asks Portage for, and whether it is part of the finished layer."""

    atom: str
    ships: bool = True


class InstalledPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package as Portage installed it: `name` is `category/package-version`, `size` in bytes."""

    name: str
    repository: str
    size: int = 0


class SourceArchive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that packages were built from."""

    name: str
    sha256: str


class GentooLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole lock. `bootstrap` is the script's SHA-256, `settings` a digest of all that Portage is told. Before a
    build, `installed` and `source_archives` are empty. It has no addresses: what counts are bytes."""

    format: int
    back_end: str
    release: str
    family: str
    sets: tuple[str, ...]
    snapshot: Snapshot
    bootstrap: str
    overlays: tuple[LockedOverlay, ...]
    profile: str
    settings: str
    atoms: tuple[LockedAtom, ...]
    installed: tuple[InstalledPackage, ...] = ()
    source_archives: tuple[SourceArchive, ...] = ()


def with_results(
    lock: GentooLock, installed: Iterable[InstalledPackage], archives: Iterable[SourceArchive]
) -> GentooLock:
    """`lock` with what a build made of it."""
    return msgspec.structs.replace(lock, installed=tuple(installed), source_archives=tuple(archives))


def require_same_inputs(planned: GentooLock, given: GentooLock) -> None:
    """Raises InvalidValue unless `given` goes in with what is `planned`, whatever came out."""
    for field in GentooLock.__struct_fields__:
        if field not in _FROM_THE_BUILD and getattr(planned, field) != getattr(given, field):
            raise InvalidValue(
                what="the lock",
                problem=f"has other {field} than the sets and settings of this stack",
                hint="build it with the stack's directory of that time, or without the lock",
            )


def require_same_results(given: GentooLock, built: GentooLock) -> None:
    """Raises InvalidValue where `given` names other versions than were `built`; one that names none wants none."""
    if not given.installed:
        return
    before = {one.name for one in given.installed}
    after = {one.name for one in built.installed}
    if different := sorted(before ^ after):
        where = "the lock" if different[0] in before else "the layer"
        raise InvalidValue(
            what="what was built",
            problem=f"is not what the lock names: only {where} has {different[0]} ({len(different)} differences)",
            hint="the same inputs gave other versions; compare the two lists, or build without the lock",
        )


def render_lock(lock: GentooLock) -> bytes:
    """The document, one entry a line."""
    document = msgspec.to_builtins(lock)
    entries = {field: document.pop(field) for field in _ENTRIES}
    head = msgspec.json.format(msgspec.json.encode(document), indent=1).decode().removesuffix("\n}")
    for field, values in entries.items():
        lines = ",".join(f"\n  {msgspec.json.encode(value).decode()}" for value in values)
        head += f',\n "{field}": [{lines}\n ]' if values else f',\n "{field}": []'
    return f"{head}\n}}\n".encode()


def write_lock(lock: GentooLock, path: Path) -> None:
    """Writes the document to `path`; StorageError."""
    write_whole_file(path, render_lock(lock))


def read_lock(path: Path) -> GentooLock:
    """The lock in `path`; NotFound, FormatError, StorageError."""
    text = read_text(path, "name a lock that `outcrop compat plan --lock` or a build has written")
    return parse_lock(text.encode(), str(path))


def parse_lock(data: bytes, what: str) -> GentooLock:
    """The lock that `data` is; `what` names it in a FormatError."""
    try:
        lock = msgspec.json.decode(data, type=GentooLock)
    except msgspec.DecodeError as error:
        raise FormatError(what=what, field="the lock", problem=f"is not accepted: {error}") from error
    for field, found, wanted in (("format", lock.format, FORMAT), ("back_end", lock.back_end, GENTOO_PREFIX)):
        if found != wanted:
            raise FormatError(what=what, field=field, problem=f"is {found!r}; {wanted!r} is read here")
    for archive in lock.source_archives:
        if "/" in archive.name or archive.name.startswith("."):
            raise FormatError(what=what, field=f"source archive {archive.name}", problem="leaves its directory")
    return lock
