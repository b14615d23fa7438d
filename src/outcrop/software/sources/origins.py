"""Where a source file may come from, in the order in which it is looked for: upstream, PyPI, Debian."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from outcrop.errors import OutcropError, StorageError
from outcrop.software.plan import WantedFile
from outcrop.software.sources.debian import IndexCache, SourceIndex
from outcrop.software.sources.pypi import PackageIndex, project_of


@dataclass(frozen=True, slots=True)
class Tried:
    """One place that did not give the file, and why."""

    origin: str
    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.where} {self.problem}".rstrip()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that may hold the file."""

    origin: str
    url: str


class Origin(Protocol):
    """A kind of place. Used from several threads at once."""

    def candidates(self, wanted: WantedFile) -> Iterator[Candidate | Tried]:
        """Addresses to try for `wanted`, best first, between reports of look-ups that led nowhere."""


class Upstream:
    """The addresses that the easyconfig names."""

    def candidates(self, wanted: WantedFile) -> Iterator[Candidate | Tried]:
        if not wanted.urls:
            yield Tried("upstream", "the easyconfig", "names no address")
        for url in wanted.urls:
            yield Candidate("upstream", url)


@dataclass(frozen=True, slots=True)
class PythonPackages:
    """The package index that pip uses, for files whose upstream address names a project on one."""

    index: PackageIndex

    def candidates(self, wanted: WantedFile) -> Iterator[Candidate | Tried]:
        project = project_of(wanted.urls)
        if project is None:
            return
        for address in self.index.indices:
            try:
                url = self.index.find(address, project, wanted.sha256)
            except StorageError:
                raise
            except OutcropError as error:
                yield Tried("PyPI", "", error.message)
                continue
            yield Candidate("PyPI", url) if url else Tried("PyPI", address, f"has no such file of {project}")


@dataclass(slots=True)
class DebianSources:
    """Debian's source packages at `mirrors`, in each of `releases`."""

    cache: IndexCache
    mirrors: Sequence[str]
    releases: Sequence[str]
    _indices: dict[str, SourceIndex | Tried] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def candidates(self, wanted: WantedFile) -> Iterator[Candidate | Tried]:
        if not self.mirrors:
            yield Tried("Debian", "this machine", "has no package mirror configured (`--debian-mirror` names one)")
            return
        for release in self.releases:
            index = self._index(release)
            if isinstance(index, Tried):
                yield index
                continue
            url = next((found for found in map(index.find, wanted.sha256) if found), None)
            yield Candidate("Debian", url) if url else Tried("Debian", release, "has no file with this SHA-256")

    def _index(self, release: str) -> SourceIndex | Tried:
        """The index of `release` from the first mirror that has it. Asked for once, whatever comes of it."""
        with self._lock:
            if release not in self._indices:
                problems = []
                for mirror in self.mirrors:
                    try:
                        self._indices[release] = self.cache.index(mirror, release)
                        break
                    except StorageError:
                        raise  # a full disk is no fault of the mirror
                    except OutcropError as error:
                        problems.append(error.message)
                else:
                    self._indices[release] = Tried("Debian", f"no index of {release}:", "; ".join(problems))
            return self._indices[release]
