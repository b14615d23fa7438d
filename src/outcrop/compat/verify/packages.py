"""What was wanted is what is there: sets, lock, record and tree say the same."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from outcrop.compat.layout import RECORDS
from outcrop.compat.lock import Lock
from outcrop.compat.owners import GENERATED, OWNERS_FILE, Owners, read_owners
from outcrop.compat.record import require_record
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import storage_error


def wanted_packages(tree: Path, lock: Lock | None, wanted: Iterable[str], undeclared: Iterable[str] = ()) -> Checked:
    """No set of the lock is `undeclared`; the packages `wanted`, which sets name, are in the lock and ship; every
    package that ships is in the layer, with all of its files and links; and no file is from anywhere else. NotFound
    without a record, FormatError, StorageError."""
    findings = [Finding(f"the set {name}", "is in the layer's lock, and is not declared") for name in undeclared]
    if lock is None:
        return checked(
            0, findings, [Finding("packages", "are not Debian's, and their record does not say whose a file is")]
        )
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


def _differences(tree: Path, owners: Owners) -> Iterator[Finding]:
    for path, name in sorted(owners.by_path.items()):
        if not os.path.lexists(tree / path):
            yield Finding(path, f"is not there; the package {name} has it")
    for path in sorted(_files(tree)):
        if path not in owners.by_path and not GENERATED.fullmatch(path):
            yield Finding(path, "is from no package, and is nothing that finishing a layer makes")


def _files(tree: Path) -> Iterator[str]:
    for directory, names, files in os.walk(tree):
        below = os.path.relpath(directory, tree)
        if below == ".":
            names[:] = [name for name in names if name != RECORDS]
        for name in files:
            if stat.S_ISREG(os.lstat(os.path.join(directory, name)).st_mode):
                yield os.path.normpath(os.path.join(below, name))
