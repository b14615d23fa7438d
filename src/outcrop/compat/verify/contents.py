"""What a layer's files say without running any: that all are there as they were built, and that none is dangerous."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.compat.delivered import Declared, declared_links, may_be_shown
from outcrop.compat.layout import RECORDS
from outcrop.compat.record import LINK, digests, files_in, require_record
from outcrop.compat.redirection import VARIANT
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import storage_error

_CAPABILITIES = "security.capability"

_BUILD = b"/build/"
_OF_PACKAGES = re.compile(rb"/build/(?:reproducible-path/|[a-z0-9.+-]+-[A-Za-z0-9]{6}/)")


@dataclass(frozen=True, slots=True)
class BuildMachine:
    """What would be of the machine that built a layer: `places`, which are paths, in any file; `names` (its own, and
    its user's home, which may be words of a package) in the files `made` there, None for all."""

    places: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    made: re.Pattern[str] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.places, *self.names)


def recorded_files(tree: Path) -> Checked:
    """Every file is there with the digest of the record, and no other. NotFound without a record."""
    wanted = files_in(require_record(tree))
    there = {path: digest for path, digest in digests(tree).items() if not digest.startswith(LINK)}
    findings = [Finding(path, "is missing") for path in sorted(wanted.keys() - there.keys())]
    findings += [
        Finding(path, "was not there when the layer was built") for path in sorted(there.keys() - wanted.keys())
    ]
    findings += [
        Finding(path, "has changed since the layer was built")
        for path in sorted(wanted.keys() & there.keys())
        if wanted[path] != there[path]
    ]
    return checked(len(wanted), findings)


def permissions(tree: Path) -> Checked:
    """Nothing runs with another user's rights, and nobody but the owner may write; records count, too."""
    number, findings = 0, []
    for path, place in _entries(tree, records=True):
        number += 1
        mode = place.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        if mode & (stat.S_ISUID | stat.S_ISGID):
            findings.append(Finding(path, "runs with the rights of its owner (setuid or setgid)"))
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            findings.append(Finding(path, f"may be written by others (mode {stat.S_IMODE(mode):04o})"))
        if stat.S_ISREG(mode) and _CAPABILITIES in os.listxattr(place, follow_symlinks=False):
            findings.append(Finding(path, "has capabilities"))
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            findings.append(Finding(path, "is neither a file nor a directory nor a link"))
    return checked(number, findings)


def links(tree: Path, prefix: PurePosixPath | None = None) -> Checked:
    """Every link leads to something in the layer, but for those that a site can redirect, which are those of the record
    and no others, as they were stored or as a client delivers them. A layer from before there was such a record may
    have any. With a `prefix`, a link may also name that: what was compiled for it has such links. FormatError."""
    number, findings = 0, []
    root = os.path.realpath(tree)
    recorded = declared_links(tree)
    declared = recorded or {}
    missing = set(declared)
    for path, place in _entries(tree):
        if not place.is_symlink():
            continue
        number += 1
        target = os.readlink(place)
        if path in declared:
            missing.discard(path)
            if not may_be_shown(declared[path], target):
                findings.append(Finding(path, f"leads to {target}, not where its record says"))
        elif target.startswith(VARIANT):
            if recorded is not None:
                findings.append(Finding(path, f"leads to {target}, and no record says that a site can redirect it"))
        elif prefix is not None and PurePosixPath(target).is_relative_to(prefix):
            if not os.path.lexists(tree / PurePosixPath(target).relative_to(prefix)):
                findings.append(Finding(path, f"leads to {target}, which does not exist"))
        elif target.startswith("/"):
            findings.append(Finding(path, f"leads to {target}, which is not relative to the layer"))
        elif _passes_site(tree, path, target, declared):
            continue
        elif not place.exists():
            findings.append(Finding(path, f"leads to {target}, which does not exist"))
        elif not f"{os.path.realpath(place)}/".startswith(f"{root}/"):
            findings.append(Finding(path, f"leads out of the layer, to {target}"))
    findings += [Finding(path, "is no link, and a site cannot redirect it") for path in sorted(missing)]
    return checked(number, findings)


def _passes_site(tree: Path, path: str, target: str, declared: Declared) -> bool:
    """Whether the way to `target` comes by a link that a site can redirect."""
    place = Path(os.path.normpath(os.path.join(os.path.dirname(path), target)))
    return any(
        str(one) in declared or ((tree / one).is_symlink() and os.readlink(tree / one).startswith(VARIANT))
        for one in (place, *place.parents)
    )


def build_machine_paths(tree: Path, machine: BuildMachine) -> Checked:
    """No file has anything in it that only the machine had that built the layer; records count, too. Paths of those who
    built the packages are told and no finding: they are in assertions and in what compilers were called with."""
    number, findings, of_packages = 0, [], []
    for path, place in _entries(tree, records=True):
        if place.is_symlink() or not place.is_file():
            continue
        number += 1
        data = place.read_bytes()
        made = machine.made is None or machine.made.fullmatch(path) or path.startswith(f"{RECORDS}/")
        texts = machine.texts if made else machine.places
        wanted = [text for text in texts if os.fsencode(text) in data]
        found = sorted(set(_any_of(wanted).findall(data))) if wanted else []
        findings += [Finding(path, f"has {os.fsdecode(text)} in it") for text in found]
        if not found and _BUILD in data and _OF_PACKAGES.search(data):
            of_packages.append(path)
    told = f"{of_packages[0]} and {len(of_packages) - 1} more" if of_packages else ""
    skipped = [Finding(told, "name directories in which Debian built their package")] if of_packages else []
    return checked(number, findings, skipped)


def _any_of(texts: Iterable[str]) -> re.Pattern[bytes]:
    """Finds each of `texts` where it is not a part of a longer name."""
    wanted = (
        (rb"(?<![A-Za-z0-9_.-])" if text[0].isalnum() else b"")
        + re.escape(os.fsencode(text))
        + (rb"(?![A-Za-z0-9_-])" if text[-1].isalnum() else b"")
        for text in texts
    )
    return re.compile(b"|".join(wanted))


def _entries(tree: Path, *, records: bool = False) -> Iterator[tuple[str, Path]]:
    try:
        for directory, names, files in os.walk(tree):
            below = os.path.relpath(directory, tree)
            if below == "." and not records:
                names[:] = [name for name in names if name != RECORDS]
            for name in sorted((*names, *files)):
                yield os.path.normpath(os.path.join(below, name)), Path(directory, name)
    except OSError as error:
        raise storage_error(error) from error
