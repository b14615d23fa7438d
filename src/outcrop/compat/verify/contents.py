"""What a layer's files say without running any: that all are there as they were built, and that none is dangerous."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from outcrop.compat.layout import RECORDS
from outcrop.compat.record import LINK, digests, files_in, recorded_redirections, require_record
from outcrop.compat.redirection import VARIANT
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import storage_error

_CAPABILITIES = "security.capability"


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
    and no others. A layer from before there was such a record may have any. With a `prefix`, a link may also name that:
    what was compiled for it has such links. FormatError."""
    number, findings = 0, []
    root = os.path.realpath(tree)
    recorded = recorded_redirections(tree)
    declared = {_settled(root, link.path): link.target for link in recorded.layer} if recorded is not None else {}
    for path, place in _entries(tree):
        if not place.is_symlink():
            continue
        number += 1
        target = os.readlink(place)
        if path in declared:
            if target != declared.pop(path):
                findings.append(Finding(path, f"leads to {target}, not where its record says"))
        elif target.startswith(VARIANT):
            if recorded is not None:
                findings.append(Finding(path, f"leads to {target}, and no record says that a site can redirect it"))
        elif prefix is not None and PurePosixPath(target).is_relative_to(prefix):
            if not os.path.lexists(tree / PurePosixPath(target).relative_to(prefix)):
                findings.append(Finding(path, f"leads to {target}, which does not exist"))
        elif target.startswith("/"):
            findings.append(Finding(path, f"leads to {target}, which is not relative to the layer"))
        elif not _passes_variant(tree, path, target) and not place.exists():
            findings.append(Finding(path, f"leads to {target}, which does not exist"))
        elif place.exists() and not os.path.realpath(place).startswith(root):
            findings.append(Finding(path, f"leads out of the layer, to {target}"))
    findings += [Finding(path, "is no link, and a site cannot redirect it") for path in sorted(declared)]
    return checked(number, findings)


def _settled(root: str, path: str) -> str:
    """`path`, relative to the layer `root`, as a walk comes by it."""
    directory, name = os.path.split(path)
    return os.path.relpath(os.path.join(os.path.realpath(os.path.join(root, directory)), name), root)


def _passes_variant(tree: Path, path: str, target: str) -> bool:
    """Whether the way to `target` comes by a link that only a client can follow."""
    place = Path(os.path.normpath(os.path.join(os.path.dirname(path), target)))
    candidates = (tree / part for part in (place, *place.parents))
    return any(one.is_symlink() and os.readlink(one).startswith(VARIANT) for one in candidates)


def build_machine_paths(tree: Path, places: tuple[str, ...]) -> Checked:
    """No file has one of `places` in it, paths of the machine that built the layer; records count, too."""
    wanted = [os.fsencode(place) for place in places]
    number, findings = 0, []
    for path, place in _entries(tree, records=True):
        if place.is_symlink() or not place.is_file():
            continue
        number += 1
        data = place.read_bytes()
        findings += [Finding(path, f"has {os.fsdecode(text)} in it") for text in wanted if text in data]
    return checked(number, findings)


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
