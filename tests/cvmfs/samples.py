"""The sample repositories that the reference implementation published, read into memory once."""

from __future__ import annotations

import functools
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.compression import inflate
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.signed_text import SignedText

DIRECTORY = Path(__file__).parents[1] / "data" / "cvmfs"
NAMES = ("test.example.org", "rmd.example.org", "s1.test")


@dataclass(frozen=True, slots=True)
class Sample:
    """A published repository: every file, by its name relative to the repository's address."""

    name: str
    files: Mapping[str, bytes]

    @property
    def objects(self) -> Iterator[tuple[ObjectName, bytes]]:
        """Every object with its stored bytes."""
        for name, data in self.files.items():
            if name.startswith("data/"):
                yield ObjectName.parse(name), data

    def stored(self, digest: Digest, kind: ObjectKind) -> bytes:
        """An object as it is stored."""
        return self.files[ObjectName(digest, kind).path]

    def plain(self, digest: Digest, kind: ObjectKind) -> bytes:
        """An object inflated."""
        return inflate(self.stored(digest, kind), what=str(digest))

    @property
    def manifest(self) -> Manifest:
        return Manifest.parse(SignedText.parse(self.files[MANIFEST_NAME], "the manifest").text)

    def catalog(self, digest: Digest) -> Catalog:
        return Catalog.parse(self.plain(digest, ObjectKind.CATALOG), f"the catalog {digest}")

    def catalogs(self) -> Iterator[Catalog]:
        """The catalogs of the current revision, parents first."""
        pending = [self.manifest.root_catalog]
        while pending:
            catalog = self.catalog(pending.pop())
            pending += [nested.digest for nested in catalog.nested_catalogs()]
            yield catalog


@functools.cache
def sample(name: str) -> Sample:
    """The sample repository called `name`."""
    with tarfile.open(DIRECTORY / f"{name}.tar.gz") as archive:
        files = {}
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name.removeprefix(f"{name}/")] = content.read()
    return Sample(name, files)


def expected(name: str) -> Any:
    """What the stock client shows of the sample called `name`."""
    return json.loads((DIRECTORY / f"{name}.expected.json").read_text(encoding="utf-8"))


def server_setting(name: str, key: str) -> str:
    """A setting of the server that published the sample called `name`."""
    for line in (DIRECTORY / f"{name}.server.conf").read_text(encoding="utf-8").splitlines():
        found, separator, value = line.partition("=")
        if separator and found == key:
            return value
    raise KeyError(key)
