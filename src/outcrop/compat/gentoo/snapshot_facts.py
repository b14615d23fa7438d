"""What the snapshot of ebuilds says of the atoms of a plan: the newest version, its licences, the size of its sources.

`metadata/md5-cache/<category>/<package-version>` has the licences and the names of the sources of each ebuild, the
package's `Manifest` the size of each source. Masks, flags and overlays are not looked at: Portage may choose another
version, and knows only after the build how large it is when it is installed. Sources: Gentoo's package manager
specification, chapters 7 ("Ebuild-defined variables") and 14 ("Metadata cache"); GLEP 74 ("Manifest").
"""

from __future__ import annotations

import lzma
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cmp_to_key
from pathlib import Path

from outcrop.compat.family import Family
from outcrop.compat.gentoo.installed import bare_name, split_version
from outcrop.compat.gentoo.version import compare_versions, is_version
from outcrop.errors import IntegrityError, storage_error

KEYWORDS = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv"}
"""What Gentoo calls the families."""

_CACHE = re.compile(r"[^/]+/metadata/md5-cache/(?P<category>[^/]+)/(?P<package>[^/]+)")
_MANIFEST = re.compile(r"[^/]+/(?P<name>[^/]+/[^/]+)/Manifest")
_OPERATOR = re.compile(r"(?P<operator>[<>]=?|=|~)(?P<rest>[^:]+)")
_WORDS_OF_CHOICE = ("||", "(", ")")
_LARGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class AtomFacts:
    """The newest `version` that a family may have, its `licences` in the order of their names, and how many bytes its
    `sources` have, with those that only some flags want."""

    version: str
    licences: tuple[str, ...]
    sources: int


@dataclass(slots=True)
class _Package:
    """What a snapshot has of one package: metadata by version, sizes of its sources by name."""

    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def snapshot_facts(snapshot: Path, atoms: Iterable[str]) -> SnapshotFacts:
    """What the archive `snapshot` says of `atoms`. IntegrityError for a damaged one, StorageError."""
    packages = {name: _Package() for atom in atoms if (name := bare_name(atom))}
    try:
        with tarfile.open(snapshot, "r|*") as archive:
            for entry in archive:
                if entry.isfile() and entry.size < _LARGEST:
                    _read(archive, entry, packages)
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise IntegrityError(what=str(snapshot), problem=f"it cannot be read as a snapshot ({error})") from error
    except OSError as error:
        raise storage_error(error, str(snapshot)) from error
    return SnapshotFacts(packages)


def _read(archive: tarfile.TarFile, entry: tarfile.TarInfo, packages: dict[str, _Package]) -> None:
    if match := _MANIFEST.fullmatch(entry.name):
        package = packages.get(match["name"])
        if package is not None:
            package.sizes.update(_sizes(_text(archive, entry)))
    elif match := _CACHE.fullmatch(entry.name):
        name, version = split_version(f"{match['category']}/{match['package']}")
        package = packages.get(name)
        if package is not None and is_version(version):
            lines = (line.partition("=") for line in _text(archive, entry).splitlines())
            package.versions[version] = {key: value for key, _, value in lines}


def _text(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    file = archive.extractfile(entry)
    assert file is not None
    return file.read().decode("utf-8", "replace")


def _sizes(manifest: str) -> Iterable[tuple[str, int]]:
    for words in map(str.split, manifest.splitlines()):
        if len(words) > 2 and words[0] == "DIST" and words[2].isdecimal():
            yield words[1], int(words[2])


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """A snapshot, as far as the packages of a plan go."""

    packages: dict[str, _Package]

    def of(self, atom: str, family: Family) -> AtomFacts | None:
        """What there is of `atom` for `family`; None where the snapshot has no such version."""
        package = self.packages.get(bare_name(atom), _Package())
        keyword = KEYWORDS[family.name]
        for wanted in ({keyword, "*"}, {f"~{keyword}", "~*"}):
            versions = [
                version
                for version, metadata in package.versions.items()
                if wanted & set(metadata.get("KEYWORDS", "").split()) and _is_meant(atom, version)
            ]
            if versions:
                newest = max(versions, key=cmp_to_key(compare_versions))
                metadata = package.versions[newest]
                names = set(_sources(metadata.get("SRC_URI", "")))
                sources = sum(package.sizes.get(name, 0) for name in names)
                return AtomFacts(newest, _licences(metadata.get("LICENSE", "")), sources)
        return None


def _is_meant(atom: str, version: str) -> bool:
    """Whether the operator of `atom` lets `version` be."""
    match = _OPERATOR.match(atom)
    if match is None:
        return True
    _, limit = split_version(match["rest"].rstrip("*"))
    if match["rest"].endswith("*"):
        return version.startswith(limit)
    if not is_version(limit):
        return False
    if match["operator"] == "~":
        return compare_versions(version.partition("-r")[0], limit) == 0
    order = compare_versions(version, limit)
    return {"<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">": order > 0}[match["operator"]]


def _licences(text: str) -> tuple[str, ...]:
    return tuple(sorted({word for word in text.split() if word not in _WORDS_OF_CHOICE and not word.endswith("?")}))


def _sources(text: str) -> Iterable[str]:
    """The names of the files that `SRC_URI` wants: an address's last part, or what stands behind an arrow."""
    words = text.split()
    for place, word in enumerate(words):
        if word == "->" or word in _WORDS_OF_CHOICE or word.endswith("?"):
            continue
        if place and words[place - 1] == "->":
            yield word
        elif words[place + 1 : place + 2] != ["->"]:
            yield word.rpartition("/")[2]
