"""Binary packages as Debian's indices describe them, and what they need, provide and cannot stand.

An index has a paragraph a package, tens of thousands of them, of which a layer needs a few hundred: they are split
here, and read when they are asked for.

Sources: Debian Policy, chapters 5 ("Control files") and 7 ("Relationships between packages"); `Packages` in the
description of repositories.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

from outcrop.compat.debian.control import Alternatives, Relation, alternatives, paragraph, relations
from outcrop.compat.debian.version import compare_versions
from outcrop.errors import FormatError

SHA256 = re.compile(r"[0-9a-f]{64}")
"""A digest as everything in Debian writes it; it becomes the name of a file."""

_PROVIDES = re.compile(r"^Provides: *(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A binary package. `path` starts at the archive `archive` (an address without a slash at its end); `size` and
    `installed` are in bytes; each of `needs` is satisfied by one of its alternatives."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    archive: str
    path: str
    sha256: str
    size: int
    installed: int
    section: str
    needs: tuple[Alternatives, ...]
    conflicts: tuple[Relation, ...]
    provides: tuple[Relation, ...]

    def offers(self, relation: Relation) -> bool:
        """Whether this package satisfies `relation`, by its name or by what it provides."""
        if relation.name == self.name and relation.accepts(self.version):
            return True
        return any(given.name == relation.name and relation.accepts(given.version) for given in self.provides)


@dataclass(frozen=True, slots=True)
class PackageText:
    """A package's paragraph in the index of the archive `archive`."""

    archive: str
    text: str

    @property
    def version(self) -> str:
        return _field(self.text, "Version")


@dataclass(frozen=True)
class PackageIndex:
    """All packages of the suites that a layer is made from, for one architecture."""

    paragraphs: dict[str, list[PackageText]] = field(default_factory=dict)
    _read: dict[str, DebianPackage] = field(default_factory=dict)

    def add(self, text: str, archive: str) -> None:
        """Takes up the packages of an index `text` of `archive`."""
        for part in text.split("\n\n"):
            name = _field(part, "Package")
            if name:
                self.paragraphs.setdefault(name, []).append(PackageText(archive, part))
        self._read.clear()
        self.__dict__.pop("_providers", None)

    def package(self, name: str) -> DebianPackage | None:
        """The newest version of `name`; None where there is none."""
        if name in self._read:
            return self._read[name]
        texts = self.paragraphs.get(name)
        if not texts:
            return None
        best = texts[0]
        for other in texts[1:]:
            if compare_versions(other.version, best.version) > 0:
                best = other
        return self._read.setdefault(name, read_package(best))

    def versions(self, name: str) -> tuple[DebianPackage, ...]:
        """Every version of `name` that the suites have."""
        return tuple(read_package(text) for text in self.paragraphs.get(name, ()))

    def candidate(self, relation: Relation, excluded: Collection[str] = ()) -> DebianPackage | None:
        """The package that is taken for `relation`: the one of that name, or else the first that provides it and is not
        `excluded`; None where none is new enough."""
        package = self.package(relation.name)
        if package is not None and relation.accepts(package.version):
            return package
        for name in self.providers(relation.name):
            provider = None if name in excluded else self.package(name)
            if provider is not None and provider.offers(relation):
                return provider
        return None

    def providers(self, name: str) -> tuple[str, ...]:
        """The packages that provide `name`, a name of no package or of another one, in the order of their names."""
        return tuple(self._providers.get(name, ()))

    @cached_property
    def _providers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in sorted(self.paragraphs):
            for text in self.paragraphs[name]:
                match = _PROVIDES.search(text.text)
                for relation in relations(match[1]) if match else ():
                    names = found.setdefault(relation.name, [])
                    if name not in names:
                        names.append(name)
        return found


def _field(text: str, name: str) -> str:
    """The value of the field `name`, which has one line, in a paragraph's `text`; empty without one."""
    start = 0 if text.startswith(f"{name}:") else text.find(f"\n{name}:") + 1
    if not text.startswith(f"{name}:", start):
        return ""
    end = text.find("\n", start)
    return text[start + len(name) + 1 : end if end >= 0 else None].strip()


def read_package(text: PackageText) -> DebianPackage:
    """The package that `text` describes; FormatError where a field is missing or no number."""
    fields = paragraph(text.text)
    name = fields.get("Package", "a package")

    def needed(key: str) -> str:
        if not fields.get(key):
            raise FormatError(what=f"the index of {text.archive}", field=f"{key} of {name}", problem="is missing")
        return str(fields[key])

    def refuse(field: str, problem: str) -> NoReturn:
        raise FormatError(what=f"the index of {text.archive}", field=f"{field} of {name}", problem=problem)

    sizes = needed("Size"), fields.get("Installed-Size", "0")
    if not all(size.isdecimal() for size in sizes):
        refuse("a size", "is no number")
    sha256 = needed("SHA256").lower()
    if not SHA256.fullmatch(sha256):
        refuse("SHA256", f"is {sha256!r}")
    version = needed("Version")
    source, _, source_version = fields.get("Source", name).partition(" ")
    path = needed("Filename")
    if path.startswith("/") or ".." in path.split("/"):
        raise FormatError(
            what=f"the index of {text.archive}", field=f"Filename of {name}", problem="leaves the archive"
        )
    return DebianPackage(
        name=name,
        version=version,
        architecture=needed("Architecture"),
        source=source,
        source_version=source_version.strip("() ") or version,
        archive=text.archive,
        path=path,
        sha256=sha256,
        size=int(sizes[0]),
        installed=int(sizes[1]) * 1024,
        section=fields.get("Section", ""),
        needs=(*alternatives(fields.get("Pre-Depends", "")), *alternatives(fields.get("Depends", ""))),
        conflicts=(*relations(fields.get("Conflicts", "")), *relations(fields.get("Breaks", ""))),
        provides=relations(fields.get("Provides", "")),
    )
