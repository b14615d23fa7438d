"""What a build leaves to be published: which parts of the tree are new, changed or gone since the last time.

A tree consists of units that appear and disappear as a whole: an installation, its module file, its record under
`reprod`, Lmod's cache, a catalog marker. Each has a fingerprint. The change set is the difference between the units in
the tree and those that were published before, so nothing is forgotten when a publish fails or a build is killed
half-way, and nothing is published twice.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import storage_error
from outcrop.software.layout import CATALOG_MARKER, MODULE_SUFFIX, SoftwareLayout
from outcrop.software.plan import PlannedInstallation

UNFINISHED_SUFFIX = ".unfinished"
"""How the hooks call a record that is still being copied."""

NAMED_IN_MESSAGE = 6
"""More installations than this would make the message of a revision unreadable in a list."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A software in the tree. `version` is without suffix; `toolchain` is `system` or `GCC-12.2.0`."""

    name: str
    version: str
    versionsuffix: str
    toolchain: str
    module: str

    @classmethod
    def planned(cls, planned: PlannedInstallation) -> Installation:
        return cls(planned.name, planned.version, planned.versionsuffix, planned.toolchain, planned.module)


@dataclass(frozen=True, slots=True)
class Unit:
    """A file or directory, relative to the repository's root, and what tells its present state from others."""

    path: PurePosixPath
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What to publish into `repository` from the directory `tree`, which holds the repository's root.

    `units` are added or changed (each with everything below it), `removed` are no longer there. All paths are
    relative to the repository's root.
    """

    repository: RepositoryName
    tree: Path
    units: tuple[Unit, ...]
    removed: tuple[PurePosixPath, ...]
    installations: tuple[Installation, ...]
    message: str

    @property
    def paths(self) -> tuple[PurePosixPath, ...]:
        return tuple(unit.path for unit in self.units)

    @property
    def is_empty(self) -> bool:
        return not self.units and not self.removed


def change_set(
    layout: SoftwareLayout,
    tree: Path,
    present: Iterable[Unit],
    published: Mapping[str, str],
    planned: Iterable[PlannedInstallation] = (),
    held_back: Collection[str] = (),
) -> ChangeSet:
    """The difference between the units `present` and those `published` (path to fingerprint) of the same target. What
    the modules `held_back` are of stays as it was published."""
    units = sorted(present, key=lambda unit: unit.path)
    kept = tuple(
        place
        for module in held_back
        for place in (layout.module_file(module), layout.installation(module), layout.reprod / module)
    )
    changed = tuple(
        unit
        for unit in units
        if published.get(str(unit.path)) != unit.fingerprint and not any(map(unit.path.is_relative_to, kept))
    )
    there = {str(unit.path) for unit in units}
    removed = tuple(PurePosixPath(path) for path in sorted(published) if path not in there)
    known = {one.module: Installation.planned(one) for one in planned}
    modules = [module for unit in changed if (module := _module_of(layout, unit.path))]
    # Dependencies come first in the plan; the message starts with what was asked for.
    order = {module: place for place, module in enumerate(reversed(known))}
    modules.sort(key=lambda module: (order.get(module, len(order)), module))
    installations = tuple(known.get(module) or _unplanned(module) for module in modules)
    return ChangeSet(
        layout.repository, tree, changed, removed, installations, _message(layout, changed, installations, removed)
    )


def _module_of(layout: SoftwareLayout, path: PurePosixPath) -> str:
    if path.suffix == MODULE_SUFFIX and path.is_relative_to(layout.modules):
        return str(path.relative_to(layout.modules)).removesuffix(MODULE_SUFFIX)
    return ""


def _unplanned(module: str) -> Installation:
    name, _, version = module.partition("/")
    return Installation(name, version, "", "", module)


def _message(
    layout: SoftwareLayout,
    changed: tuple[Unit, ...],
    installations: tuple[Installation, ...],
    removed: tuple[PurePosixPath, ...],
) -> str:
    if not changed and not removed:
        return ""
    named = [f"{one.name} {one.version}{one.versionsuffix}" for one in installations]
    if len(named) > NAMED_IN_MESSAGE:
        named[NAMED_IN_MESSAGE - 1 :] = [f"{len(named) - NAMED_IN_MESSAGE + 1} more"]
    gone = [module for path in removed if (module := _module_of(layout, path))]
    if gone and not named:
        return f"remove {', '.join(gone)} for {layout.target}"
    return f"{', '.join(named) or 'module cache'} for {layout.target}"


def units_in(tree: Path, layout: SoftwareLayout) -> tuple[Unit, ...]:
    """The units of this target that `tree` holds now. Installations without a module are unfinished and left out."""
    try:
        return tuple(_units_in(tree, layout))
    except OSError as error:
        raise storage_error(error) from error


def _units_in(tree: Path, layout: SoftwareLayout) -> Iterable[Unit]:
    for relative in (layout.relative, layout.relative / "modules"):
        marker = relative / CATALOG_MARKER
        if (tree / marker).is_file():
            # Markers are empty: they change by coming and going only.
            yield Unit(marker, "marker")
    for module_file in sorted((tree / layout.modules).glob(f"*/*{MODULE_SUFFIX}")):
        relative = PurePosixPath(module_file.relative_to(tree))
        yield Unit(relative, _fingerprint(module_file))
        directory = layout.installation(_module_of(layout, relative))
        if (tree / directory).is_dir():
            yield Unit(directory, _fingerprint(tree / directory))
    for record in sorted((tree / layout.reprod).glob("*/*/*/easybuild")):
        yield Unit(PurePosixPath(record.parent.relative_to(tree)), _fingerprint(record.parent))
    lmod = tree / layout.lmod
    if lmod.is_dir():
        files = sorted(path for path in lmod.rglob("*") if path.is_file())
        yield Unit(layout.lmod, " ".join(_fingerprint(path) for path in files))


def _fingerprint(path: Path) -> str:
    # A rebuilt installation is a new directory, so the directory's own identity is enough.
    status = os.lstat(path)
    return f"{status.st_ino}:{status.st_mtime_ns}"


class _PublishedFile(msgspec.Struct, frozen=True):
    targets: dict[str, dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class PublishedRecord:
    """What was published from a tree, in the file `path` next to it: for each target, path to fingerprint."""

    path: Path

    def of(self, layout: SoftwareLayout) -> Mapping[str, str]:
        """What was published of this target. A record that is missing or damaged counts as nothing published."""
        return self._read().targets.get(str(layout.relative), {})

    def add(self, layout: SoftwareLayout, changes: ChangeSet) -> None:
        """Remember that `changes` are published."""
        targets = dict(self._read().targets)
        units = dict(targets.get(str(layout.relative), {}))
        units |= {str(unit.path): unit.fingerprint for unit in changes.units}
        for path in changes.removed:
            units.pop(str(path), None)
        targets[str(layout.relative)] = units
        unfinished = self.path.with_name(self.path.name + UNFINISHED_SUFFIX)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(msgspec.json.encode(_PublishedFile(targets)))
            unfinished.replace(self.path)
        except OSError as error:
            raise storage_error(error, str(self.path)) from error

    def _read(self) -> _PublishedFile:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_PublishedFile)
        except (FileNotFoundError, msgspec.DecodeError):
            return _PublishedFile()
        except OSError as error:
            raise storage_error(error) from error


def files_of(layout: SoftwareLayout, changes: ChangeSet) -> Iterator[str]:
    """The files of the installations in `changes`, relative to the repository's root. StorageError."""
    try:
        for unit in changes.units:
            if not unit.path.is_relative_to(layout.software):
                continue
            for directory, _, names in os.walk(changes.tree / unit.path):
                for name in names:
                    place = Path(directory, name)
                    if place.is_file() and not place.is_symlink():
                        yield str(place.relative_to(changes.tree))
    except OSError as error:
        raise storage_error(error) from error
