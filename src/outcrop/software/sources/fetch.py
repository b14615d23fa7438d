"""Filling the mirror: every missing file from the first origin that has it, verified, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from outcrop.errors import IntegrityError, Interrupted, NetworkError
from outcrop.progress import SILENT, Progress
from outcrop.software.plan import WantedFile
from outcrop.software.sources.apt_sources import AptSource, package_mirrors, read_apt_sources
from outcrop.software.sources.debian import DEFAULT_RELEASES, IndexCache
from outcrop.software.sources.download import Downloads, Fetcher, remove_abandoned
from outcrop.software.sources.mirror import PARTIAL, FileState, ShelvedFile, survey
from outcrop.software.sources.origins import Candidate, DebianSources, Origin, PythonPackages, Tried, Upstream
from outcrop.software.sources.pypi import PackageIndex, configured_indices

CONCURRENT_FETCHES = 4
"""Enough to hide round trips; few enough to be a polite guest at small upstream servers."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file that came into the mirror in this run, and from where."""

    file: ShelvedFile
    origin: str
    url: str


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """A file that could not be had, with everything that was tried."""

    file: ShelvedFile
    tried: tuple[Tried, ...]

    def __str__(self) -> str:
        lines = [f"{self.file.wanted.shelf}/{self.file.wanted.name}:"]
        return "\n    ".join([*lines, *map(str, self.tried)])


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """What one run did: files that were there already, that came, and that could not be had."""

    mirror: Path
    present: tuple[ShelvedFile, ...]
    fetched: tuple[FetchedFile, ...]
    failures: tuple[FetchFailure, ...]

    def require_complete(self) -> None:
        """Raise one NetworkError that tells, file by file and origin by origin, what was tried and why it failed."""
        if self.failures:
            count = len(self.failures)
            told = "\n  ".join(str(failure) for failure in self.failures)
            raise NetworkError(
                what=f"{count} source file{'s' if count > 1 else ''}",
                problem=f"cannot be had:\n  {told}",
                hint=f"put the file{'s' if count > 1 else ''} into {self.mirror} by hand, or name another "
                "package mirror with --debian-mirror",
            )


def fetch_missing(
    shelved: Sequence[ShelvedFile],
    mirror: Path,
    origins: Sequence[Origin],
    fetcher: Fetcher,
    progress: Progress = SILENT,
    cancelled: threading.Event | None = None,
) -> FetchOutcome:
    """Fetch what `shelved` (a survey of `mirror`) says must be fetched.

    A file is in the mirror whole and verified or not at all, also after a crash. Raises StorageError when the mirror
    cannot be written; what cannot be had is in the outcome. `cancelled` is set when this function is interrupted.
    """
    missing = [file for file in shelved if file.must_be_fetched]
    failures = [
        FetchFailure(file, (Tried("easyconfig", "", "names no SHA-256, so no file can be proven"),))
        for file in shelved
        if file.state is FileState.UNPROVABLE
    ]
    fetched = []
    if missing:
        remove_abandoned(mirror / PARTIAL)
        progress.start("Fetching sources", total=len(missing), unit="files")
        pool = ThreadPoolExecutor(CONCURRENT_FETCHES, thread_name_prefix="fetch")
        try:
            for future in as_completed([pool.submit(_fetch, file, origins, fetcher) for file in missing]):
                result = future.result()
                if isinstance(result, FetchedFile):
                    fetched.append(result)
                else:
                    failures.append(result)
                progress.advance(1, result.file.wanted.name)
        except BaseException:
            if cancelled is not None:
                cancelled.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            progress.finish()
    there = (FileState.PRESENT, FileState.BESIDE)
    present = tuple(file for file in shelved if file.state in there)
    return FetchOutcome(mirror, present, tuple(fetched), tuple(failures))


def _fetch(file: ShelvedFile, origins: Sequence[Origin], fetcher: Fetcher) -> FetchedFile | FetchFailure:
    tried = []
    for origin in origins:
        for candidate in origin.candidates(file.wanted):
            if isinstance(candidate, Tried):
                tried.append(candidate)
                continue
            try:
                fetcher.store(candidate.url, file.path, file.wanted.sha256, lambda _count: None)
            except (NetworkError, IntegrityError) as error:
                tried.append(_told(candidate, error.message))
                continue
            return FetchedFile(file, candidate.origin, candidate.url)
    return FetchFailure(file, tuple(tried))


def _told(candidate: Candidate, message: str) -> Tried:
    return Tried(candidate.origin, "" if candidate.url in message else candidate.url, message)


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Where this machine looks for sources. `debian_mirrors` replaces those that apt is set up for."""

    cache: Path
    environment: Mapping[str, str]
    debian_mirrors: tuple[str, ...] = ()
    debian_releases: tuple[str, ...] = DEFAULT_RELEASES


def fetch_sources(
    files: Iterable[WantedFile],
    mirror: Path,
    settings: FetchSettings,
    progress: Progress = SILENT,
    apt_sources: Callable[[], Sequence[AptSource]] = read_apt_sources,
) -> FetchOutcome:
    """Make `mirror` hold every one of `files`, as far as they can be had. See `fetch_missing` for what is raised."""
    shelved = survey(files, mirror)
    downloads = Downloads(mirror / PARTIAL)
    origins: list[Origin] = []
    # When nothing is missing, neither pip nor apt's lists are asked.
    if any(file.must_be_fetched for file in shelved):
        mirrors = tuple(url.rstrip("/") for url in settings.debian_mirrors) or package_mirrors(apt_sources())
        index_cache = IndexCache(settings.cache / "source-indices", downloads)
        origins = [Upstream()]
        if any(_SOURCE_INDEX_WORD in url for file in shelved for url in file.wanted.urls):
            origins.append(PythonPackages(PackageIndex(configured_indices(settings.environment), downloads)))
        origins.append(DebianSources(index_cache, mirrors, settings.debian_releases))
    try:
        return fetch_missing(shelved, mirror, origins, downloads, progress, downloads.cancelled)
    except KeyboardInterrupt:
        raise Interrupted() from None


_SOURCE_INDEX_WORD = "/packages/source/"
