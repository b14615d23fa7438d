"""What was wanted is what is there: sets, lock, record and tree say the same."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from outcrop.compat.catalog_markers import is_publishers
from outcrop.compat.gentoo.installed import installed_packages, not_installed, owned_paths
from outcrop.compat.gentoo.layer_steps import is_only_for_building
from outcrop.compat.gentoo.lock import GentooLock
from outcrop.compat.layout import RECORDS
from outcrop.compat.lock import Lock
from outcrop.compat.owners import GENERATED, OWNERS_FILE, Owners, read_owners
from outcrop.compat.record import require_record
from outcrop.compat.redirection import VARIANT
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import storage_error

_BYTECODE = re.compile(r"(.*/)?__pycache__/([^/]+)\.[a-z]+-\d+(?:\.opt-\w+)?\.pyc")


def wanted_packages(tree: Path, lock: Lock, wanted: Iterable[str], undeclared: Iterable[str] = ()) -> Checked:
    """No set of the lock is `undeclared`; the packages `wanted`, which sets name, are in the lock and ship; every
    package that ships is in the layer, with all of its files and links; and no file is from anywhere else. NotFound
    without a record, FormatError, StorageError."""
    findings = _undeclared(undeclared)
    shipped = {package.name for package in lock.packages if package.ships}
    findings += [
        Finding(name, "is named by a set, and the layer's lock does not have it")
        for name in sorted(set(wanted) - shipped)
    ]
    owners = read_owners(require_record(tree))
    if owners is None:
        missing = Finding(OWNERS_FILE, "is not in the record: the layer was built before there was one")
        return checked(len(shipped), findings, [missing])
    shipped |= {wheel.file for wheel in lock.wheels}
    findings += [
        Finding(name, "is in the lock, and the record has nothing of it") for name in sorted(shipped - owners.packages)
    ]
    findings += [
        Finding(name, "is in the record, and not among what the lock ships")
        for name in sorted(owners.packages - shipped)
    ]
    try:
        findings += _differences(tree, owners)
    except OSError as error:
        raise storage_error(error) from error
    return checked(len(shipped), findings)


def _undeclared(sets: Iterable[str]) -> list[Finding]:
    return [Finding(f"the set {name}", "is in the layer's lock, and is not declared") for name in sets]


def wanted_atoms(
    tree: Path, prefix: PurePosixPath, lock: GentooLock, wanted: Iterable[str], undeclared: Iterable[str] = ()
) -> Checked:
    """No set of the lock is `undeclared`; the atoms `wanted`, which sets name, are in the lock and ship; all that ship
    are installed; Portage's database in the layer has what the lock says came out of the build; and all that packages
    brought is there. StorageError.

    What a package makes while it is installed is in no list, so a file that is from none says nothing."""
    ship = {one.atom for one in lock.atoms if one.ships}
    findings = _undeclared(undeclared)
    findings += [
        Finding(atom, "is named by a set, and the layer's lock does not have it") for atom in sorted({*wanted} - ship)
    ]
    there = installed_packages(tree)
    findings += [
        Finding(atom, "is in the lock, and no version of it is installed") for atom in not_installed(ship, there)
    ]
    before, after = {one.name for one in lock.installed}, {one.name for one in there}
    findings += [Finding(name, "is in the lock, and not installed") for name in sorted(before - after)]
    findings += [Finding(name, "is installed, and not in the lock") for name in sorted(after - before)]
    number = 0
    for path, name in owned_paths(tree, prefix):
        number += 1
        if not os.path.lexists(tree / path) and not is_only_for_building(path) and not _is_the_hosts(tree, path):
            findings.append(Finding(path, f"is not there; the package {name} has it"))
    unlisted = [] if number else [Finding("files", "are in no list of Portage's, so whose they are was not looked at")]
    return checked(len(after), findings, unlisted)


def _is_the_hosts(tree: Path, path: str) -> bool:
    """Whether the way to `path` comes by a link that only a client fills in."""
    places = (tree / one for one in (PurePosixPath(path), *PurePosixPath(path).parents))
    return any(place.is_symlink() and os.readlink(place).startswith(VARIANT) for place in places)


def _differences(tree: Path, owners: Owners) -> Iterator[Finding]:
    for path, name in sorted(owners.by_path.items()):
        if not os.path.lexists(tree / path):
            yield Finding(path, f"is not there; the package {name} has it")
    for path in sorted(_files(tree)):
        if path not in owners.by_path and not GENERATED.fullmatch(path):
            yield Finding(path, "is from no package, and is nothing that finishing a layer makes")
        elif (bytecode := _BYTECODE.fullmatch(path)) and not (tree / f"{bytecode[1]}{bytecode[2]}.py").exists():
            yield Finding(path, "is bytecode whose source is not there")


def _files(tree: Path) -> Iterator[str]:
    for directory, names, files in os.walk(tree):
        below = os.path.relpath(directory, tree)
        if below == ".":
            names[:] = [name for name in names if name != RECORDS]
        for name in files:
            path, place = os.path.normpath(os.path.join(below, name)), Path(directory, name)
            if stat.S_ISREG(place.lstat().st_mode) and not is_publishers(path, place):
                yield path
