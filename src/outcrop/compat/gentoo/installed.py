"""Portage's database of what is installed: `var/db/pkg/<category>/<package-version>/`, one small file a fact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from outcrop.compat.gentoo.lock import InstalledPackage
from outcrop.errors import storage_error

DATABASE = "var/db/pkg"

_UNFINISHED = "-MERGING-"
_BARE = re.compile(r"^[<>=~]*(?P<name>[^:]+?)(?:-\d[\w.]*(?:-r\d+)?\*?)?(?::.*)?$")
_VERSIONED = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.]*(?:-r\d+)?)")


def installed_packages(tree: Path) -> tuple[InstalledPackage, ...]:
    """What is installed in `tree`, by name. StorageError."""
    found = []
    try:
        for place in sorted((tree / DATABASE).glob("*/*")):
            if place.is_dir() and not place.name.startswith(_UNFINISHED):
                size = _fact(place, "SIZE")
                found.append(
                    InstalledPackage(
                        f"{place.parent.name}/{place.name}",
                        _fact(place, "repository"),
                        int(size) if size.isdecimal() else 0,
                    )
                )
    except OSError as error:
        raise storage_error(error) from error
    return tuple(found)


_CONTENTS = "CONTENTS"
_OWNED = re.compile(r"(?:obj (?P<file>.+) [0-9a-f]+ \d+|sym (?P<link>.+?) -> .+ \d+|dir (?P<directory>.+))")

OF_THE_BUILD = re.compile(
    rf"{DATABASE}/[^/]+/[^/]+/(?:BUILD_TIME|COUNTER|CONTENTS|environment\.bz2|SIZE)"
    r"|var/lib/portage/.*|var/cache/.*|.*\.pyc"
)
"""Paths that two builds of the same lock may differ in: when, and as which of all, a package was built, and when its
modules were."""


def owned_paths(tree: Path, prefix: PurePosixPath) -> Iterator[tuple[str, str]]:
    """What Portage's database in `tree` says that packages brought: each path, relative to the `prefix`, with the
    package that it is from. StorageError."""
    try:
        for place in sorted((tree / DATABASE).glob("*/*")):
            for line in _fact(place, _CONTENTS).splitlines():
                if (match := _OWNED.fullmatch(line)) is None:
                    continue
                path = PurePosixPath(match["file"] or match["link"] or match["directory"])
                if path != prefix and path.is_relative_to(prefix):
                    yield str(path.relative_to(prefix)), f"{place.parent.name}/{place.name}"
    except OSError as error:
        raise storage_error(error) from error


def _fact(place: Path, name: str) -> str:
    try:
        return (place / name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def bare_name(atom: str) -> str:
    """The `category/package` that `atom` means, without version, slot and repository; empty where it means several."""
    match = _BARE.match(atom)
    return match["name"] if match and "*" not in match["name"] else ""


def split_version(name: str) -> tuple[str, str]:
    """`category/package-version` in two; the version is empty where there is none."""
    match = _VERSIONED.fullmatch(name)
    return (match["name"], match["version"]) if match else (name, "")


def not_installed(atoms: Iterable[str], installed: Iterable[InstalledPackage]) -> tuple[str, ...]:
    """Those of `atoms` of which no version at all is among the `installed`."""
    names = {match["name"] for one in installed if (match := _VERSIONED.fullmatch(one.name))}
    return tuple(atom for atom in atoms if (match := _BARE.match(atom)) and match["name"] not in names)


def package_versions(installed: Iterable[InstalledPackage]) -> dict[str, str]:
    """The versions of each package that is `installed`, by its name; several, of which there are slots, with commas."""
    found: dict[str, list[str]] = {}
    for one in installed:
        name, version = split_version(one.name)
        found.setdefault(name, []).append(version)
    return {name: ", ".join(versions) for name, versions in found.items()}


def package_list(installed: Iterable[InstalledPackage]) -> str:
    """One package a line, as `qlist -IRv` lists them."""
    return "".join(f"{one.name}::{one.repository}\n" for one in installed)
