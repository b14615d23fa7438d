"""What a layer keeps of how it was made: `reprod/<UTC time>/`, as EESSI's installations have it.

layer.json        which layer it is: repository, version, family, and so its prefix; and its digest
lock.json         the packages, by digest
sets.json         the sets and declarations that the lock was resolved from
relocation.json   what was changed in which file, and which paths could not be
tools.json        the programs that built it, with versions
files.sha256      the digest of every file, as `sha256sum` reads it
packages.txt      the package that each file is from
build.log         what was done when

Gentoo Prefix adds its script and packages.txt, the list of what it installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import msgspec

from outcrop.compat.family import family_named
from outcrop.compat.layout import RECORDS, LayerLayout
from outcrop.compat.lock import Lock, read_lock
from outcrop.compat.package_sets import LayerDescription, parse_description
from outcrop.compat.relocate.tree import FileChanges
from outcrop.cvmfs.names import repository_name
from outcrop.errors import FormatError, InvalidValue, NotFound, storage_error
from outcrop.toml_text import read_text

LOCK_FILE = "lock.json"
LAYER_FILE = "layer.json"
SETS_FILE = "sets.json"
FILES = "files.sha256"
RECORD_SUFFIX = "UTC"
LINK = "-> "
"""How what stands for a link among digests begins."""


@dataclass(slots=True)
class BuildLog:
    """The steps of a build, with their times in UTC."""

    lines: list[str] = field(default_factory=list)

    def say(self, now: datetime, text: str) -> None:
        self.lines.append(f"{now:%Y-%m-%dT%H:%M:%SZ} {text}")


@dataclass(frozen=True, slots=True)
class Difference:
    """A path whose contents are not the same in two trees; `before` or `after` is empty where it is not there."""

    path: str
    before: str
    after: str


def digests(tree: Path) -> dict[str, str]:
    """The SHA-256 of each file below `tree`, and `-> TARGET` of each link, by path, without records. StorageError."""
    found: dict[str, str] = {}
    try:
        for directory, names, files in os.walk(tree, onerror=_raise):
            below = os.path.relpath(directory, tree)
            if below == ".":
                names[:] = [name for name in names if name != RECORDS]
            for name in (*names, *files):
                path = os.path.normpath(os.path.join(below, name))
                place = Path(directory, name)
                mode = place.lstat().st_mode
                if stat.S_ISLNK(mode):
                    found[path] = f"{LINK}{os.readlink(place)}"
                elif stat.S_ISREG(mode):
                    with place.open("rb") as file:
                        found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise storage_error(error) from error
    return found


def _raise(error: OSError) -> None:
    raise error


def layer_digest(tree: Path, contents: Mapping[str, str] | None = None) -> str:
    """The SHA-256 of all that the layer `tree` holds besides its records: paths, `contents` as `digests` gives them,
    and what may be executed. Two builds of one lock have the same. StorageError."""
    total = hashlib.sha256()
    try:
        for path, content in sorted((contents or digests(tree)).items()):
            executable = not content.startswith(LINK) and (tree / path).stat().st_mode & stat.S_IXUSR
            line = f"{content} {'x' if executable else '-'} {path}\0"
            total.update(line.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise storage_error(error) from error
    return total.hexdigest()


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    """What is not the same in two trees' digests, in the order of the paths."""
    return tuple(
        Difference(path, before.get(path, ""), after.get(path, ""))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    )


def write_record(
    tree: Path,
    layout: LayerLayout,
    moment: datetime,
    lock: bytes,
    description: LayerDescription,
    changes: Sequence[FileChanges],
    log: BuildLog,
    tools: Iterable[Sequence[str]],
    further: Mapping[str, bytes] = MappingProxyType({}),
) -> Path:
    """Writes the record of a finished `tree`, with the text of its `lock` and `further` files by name; its directory.
    StorageError."""
    directory = tree / RECORDS / f"{moment:%Y%m%d_%H%M%S}{RECORD_SUFFIX}"
    contents = digests(tree)
    lines = [f"{digest}  {path}" for path, digest in sorted(contents.items()) if not digest.startswith(LINK)]
    documents = {
        LAYER_FILE: _json(_told_layout(layout, layer_digest(tree, contents))),
        LOCK_FILE: lock,
        SETS_FILE: _json(description),
        "relocation.json": _json([_told(one) for one in changes]),
        "tools.json": _json(_versions(tools)),
        FILES: ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"),
        "build.log": ("\n".join(log.lines) + "\n").encode(),
        **further,
    }
    try:
        directory.mkdir(parents=True)
        for name, data in documents.items():
            (directory / name).write_bytes(data)
    except OSError as error:
        raise storage_error(error) from error
    return directory


class RecordedLayer(msgspec.Struct, frozen=True):
    """Which layer it is, and the digest of what it holds."""

    repository: str
    version: str
    family: str
    mount_root: str
    variable_prefix: str
    prefix: str
    digest: str = ""


def _told_layout(layout: LayerLayout, digest: str) -> RecordedLayer:
    return RecordedLayer(
        layout.repository,
        layout.version,
        layout.family.name,
        str(layout.mount_root),
        layout.variable_prefix,
        str(layout.prefix),
        digest,
    )


def require_record(tree: Path) -> Path:
    """The directory of the newest record of the layer `tree`; NotFound where it has none."""
    record = latest_record(tree)
    if record is None:
        raise NotFound(what=f"the record of {tree}", hint="name the directory of a layer: …/compat/linux/<family>")
    return record


def recorded_layout(tree: Path) -> LayerLayout:
    """Which layer `tree` is, as its record says. NotFound, FormatError, StorageError."""
    return layout_in(require_record(tree))


def layout_in(record: Path) -> LayerLayout:
    """Which layer the directory `record` is of. NotFound, FormatError, StorageError."""
    path = record / LAYER_FILE
    found = parse_layer(read_text(path).encode(), str(path))
    try:
        repository, family = repository_name(found.repository), family_named(found.family)
    except InvalidValue as error:
        raise FormatError(what=str(path), field="the layer", problem=f"is not accepted: {error.message}") from error
    return LayerLayout(repository, found.version, family, PurePosixPath(found.mount_root), found.variable_prefix)


def parse_layer(data: bytes, what: str) -> RecordedLayer:
    """What `data`, the record's description of its layer, says; `what` names it in a FormatError."""
    try:
        return msgspec.json.decode(data, type=RecordedLayer)
    except msgspec.DecodeError as error:
        raise FormatError(what=what, field="the layer", problem=f"is not accepted: {error}") from error


class LayerOrigin(msgspec.Struct, frozen=True):
    """What a layer was resolved from: `release`, the names of its sets; `back_end` is empty for Debian's."""

    release: str
    sets: tuple[str, ...]
    back_end: str = ""


def recorded_origin(tree: Path) -> LayerOrigin:
    """What the layer `tree` was resolved from, as its record says. NotFound, FormatError, StorageError."""
    path = require_record(tree) / LOCK_FILE
    try:
        return msgspec.json.decode(read_text(path).encode(), type=LayerOrigin)
    except msgspec.DecodeError as error:
        raise FormatError(what=str(path), field="the lock", problem=f"is not accepted: {error}") from error


def description_in(record: Path) -> LayerDescription:
    """The sets and declarations of the layer that the directory `record` is of. NotFound, FormatError, StorageError."""
    path = record / SETS_FILE
    return parse_description(read_text(path).encode(), str(path))


def recorded_digest(tree: Path) -> str:
    """The digest that the layer `tree` had when it was built; empty where its record does not say. NotFound,
    FormatError, StorageError."""
    return digest_in(require_record(tree))


def digest_in(record: Path) -> str:
    """The digest that the layer of the directory `record` had; empty where that does not say. NotFound, FormatError,
    StorageError."""
    path = record / LAYER_FILE
    return parse_layer(read_text(path).encode(), str(path)).digest


def recorded_lock(tree: Path) -> Lock:
    """What the layer `tree` is made of, as its record says. NotFound, FormatError, StorageError."""
    return read_lock(require_record(tree) / LOCK_FILE)


def files_in(record: Path) -> dict[str, str]:
    """The digests of a layer's files by path, as the directory `record` says. StorageError."""
    try:
        lines = (record / FILES).read_bytes().decode("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise storage_error(error) from error
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def latest_record(tree: Path) -> Path | None:
    """The directory of the newest record of the layer `tree`; None where it has none."""
    return max((path for path in (tree / RECORDS).glob(f"*{RECORD_SUFFIX}") if path.is_dir()), default=None)


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _told(changes: FileChanges) -> dict[str, object]:
    def texts(strings: Iterable[bytes]) -> list[str]:
        return sorted({text.decode("utf-8", "backslashreplace")[:200] for text in strings})

    told = {
        "path": os.fsencode(changes.path).decode("utf-8", "backslashreplace"),
        "kind": changes.kind,
        "moved": changes.moved,
        "lengths": texts(changes.lengths),
        "left": texts(changes.left),
        "inlined": texts(changes.inlined),
        "refused": changes.refused,
    }
    return {name: value for name, value in told.items() if value}


def _versions(tools: Iterable[Sequence[str]]) -> dict[str, str]:
    found = {"outcrop": version("outcrop"), "python": platform.python_version(), "kernel": platform.release()}
    for command in tools:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        found[Path(command[0]).name] = (answer.stdout or answer.stderr).strip().partition("\n")[0]
    return found
