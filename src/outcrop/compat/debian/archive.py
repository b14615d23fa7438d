"""The suites of a Debian release, read from mirrors that need no trust.

For `bookworm` these are `bookworm`, `bookworm-updates` and `bookworm-security`. Each suite's `InRelease` is signed by
the archive and names the digests of its indices, which name those of its packages: so any server, over plain HTTP, will
do. A mirror is asked for a suite until one has it.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.debian.packages import PackageIndex
from outcrop.compat.debian.release_file import parse_release
from outcrop.compat.debian.signature import signed_text
from outcrop.errors import IntegrityError, InvalidValue, NetworkError
from outcrop.progress import SILENT, Progress
from outcrop.software.sources.apt_sources import read_apt_sources

COMPONENT = "main"
"""Free software: everything else may not be passed on without a look at its licence."""

_INDEX = "Packages.xz"

_MIRROR_HINT = "name mirrors that have it with `--debian-mirror`, one for the archive, one for its security updates"


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """What a lock records of a suite: when it was made, and the digests of its two files."""

    suite: str
    version: str
    date: datetime
    in_release: str
    packages: str


@dataclass(frozen=True, slots=True)
class ReleaseMetadata:
    """A release for one architecture: its packages, and where they were learnt from."""

    release: str
    index: PackageIndex
    suites: tuple[SuiteFacts, ...]


def suites_of(release: str) -> tuple[str, ...]:
    """The suites that a stable release is made of."""
    return (release, f"{release}-updates", f"{release}-security")


@dataclass(frozen=True, slots=True)
class Archive:
    """Where metadata come from: `mirrors` are addresses without a slash at the end; what is read is kept in `store`."""

    mirrors: Sequence[str]
    store: PackageMirror
    keyring: Path


def archive_addresses(given: Iterable[str]) -> tuple[str, ...]:
    """The mirrors that are `given`, or those that this machine's apt is set up for."""
    configured = (source.uri for source in read_apt_sources() if source.uri.startswith(("http://", "https://")))
    return tuple(dict.fromkeys(url.rstrip("/") for url in (tuple(given) or configured)))


def read_release(
    archive: Archive,
    release: str,
    suites: Sequence[str],
    architecture: str,
    now: datetime,
    progress: Progress = SILENT,
) -> ReleaseMetadata:
    """The packages of all `suites` of `release`, as its signed metadata say at this time.

    Raises TrustError for metadata that are unsigned, forged or expired, InvalidValue for an architecture that a suite
    does not have, NetworkError for a suite that no mirror has: without its security updates no release is used."""
    index = PackageIndex()
    facts = []
    progress.start(f"Reading the indices of {release}", total=len(suites), unit="steps")
    for suite in suites:
        text, mirror, fact = _read_suite(archive, suite, architecture, now)
        index.add(text, mirror)
        facts.append(fact)
        progress.advance(1, suite)
    progress.finish()
    return ReleaseMetadata(release, index, tuple(facts))


def _read_suite(archive: Archive, suite: str, architecture: str, now: datetime) -> tuple[str, str, SuiteFacts]:
    """The text of the suite's index, the mirror that it is of, and the facts."""
    mirror, url, document = _in_release(archive, suite)
    release = parse_release(signed_text(document, archive.keyring, url), url)
    release.require_current(now, url)
    if suite not in (release.codename, release.suite):
        raise InvalidValue(
            what=url, problem=f"is the release file of {release.codename}, not of {suite}", hint="try another mirror"
        )
    path = f"{COMPONENT}/binary-{architecture}/{_INDEX}"
    if path not in release.digests:
        raise InvalidValue(
            what=f"the architecture {architecture}",
            problem=f"is not in {suite}, which has {', '.join(sorted(release.architectures - {'all'}))}",
            hint="choose another release",
        )
    digest, _ = release.digests[path]
    index = archive.store.fetch(digest, _index_urls(mirror, suite, path, digest), f"the index of {suite}")
    facts = SuiteFacts(suite, release.version, release.date, archive.store.keep(document), digest)
    return _unpacked(index, suite), mirror, facts


def _in_release(archive: Archive, suite: str) -> tuple[str, str, bytes]:
    """The first mirror that has `suite`, the address of its `InRelease`, and that file."""
    assert archive.store.fetcher is not None
    failures: list[NetworkError] = []
    for mirror in archive.mirrors:
        url = f"{mirror}/dists/{suite}/InRelease"
        try:
            return mirror, url, archive.store.fetcher.read(url)
        except NetworkError as error:
            failures.append(error)
    if not failures:
        raise NetworkError(what=f"the suite {suite}", problem="cannot be read: no mirror is known", hint=_MIRROR_HINT)
    raise NetworkError(
        what=f"the suite {suite}",
        problem=f"is on none of the mirrors: {'; '.join(failure.message for failure in failures)}",
        hint=_MIRROR_HINT,
    )


def _index_urls(archive: str, suite: str, path: str, digest: str) -> tuple[str, str]:
    directory, _, _ = path.rpartition("/")
    return f"{archive}/dists/{suite}/{directory}/by-hash/SHA256/{digest}", f"{archive}/dists/{suite}/{path}"


def _unpacked(path: Path, suite: str) -> str:
    try:
        return lzma.decompress(path.read_bytes()).decode("utf-8", "replace")
    except lzma.LZMAError as error:
        raise IntegrityError(what=f"the index of {suite}", problem="it is no xz data") from error
