"""The suites of a Debian release, read from mirrors that need no trust.

For `bookworm` these are `bookworm`, `bookworm-updates` and `bookworm-security`. Each suite's `InRelease` is signed by
the archive and names the digests of its indices, which name those of its packages: so any server, over plain HTTP, will
do. A mirror is asked for a suite until one has it, with an index that fits.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.debian.packages import PackageIndex
from outcrop.compat.debian.release_file import ReleaseFile, parse_release
from outcrop.compat.debian.signature import signed_text
from outcrop.errors import IntegrityError, InvalidValue, NetworkError, OutcropError, TrustError
from outcrop.progress import SILENT, Progress
from outcrop.software.sources.apt_sources import read_apt_sources

COMPONENT = "main"
"""Free software: everything else may not be passed on without a look at its licence."""

_INDEX = "Packages"
_UNPACKED: Mapping[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    "": bytes,
}
"""How an index is unpacked, by the suffix of its name, the smallest first."""

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
    """The text of the suite's index, the mirror that it is of, and the facts; from the first mirror whose `InRelease`
    is signed and current, and comes with an index that fits it."""
    assert archive.store.fetcher is not None
    if not archive.mirrors:
        raise NetworkError(what=f"the suite {suite}", problem="cannot be read: no mirror is known", hint=_MIRROR_HINT)
    unread: list[NetworkError] = []
    unfit: list[OutcropError] = []
    for mirror in archive.mirrors:
        url = f"{mirror}/dists/{suite}/InRelease"
        try:
            document = archive.store.fetcher.read(url)
        except NetworkError as error:
            unread.append(error)
            continue
        try:
            release = _release_of(document, archive.keyring, suite, now, url)
            text, digest = _index(archive, mirror, suite, architecture, release)
        except (NetworkError, IntegrityError, TrustError, _OfAnother) as error:
            unfit.append(error)
            continue
        facts = SuiteFacts(suite, release.version, release.date, archive.store.keep(document), digest)
        return text, mirror, facts
    if unfit:
        raise next((one for one in unfit if isinstance(one, IntegrityError)), unfit[0])
    raise NetworkError(
        what=f"the suite {suite}",
        problem=f"is on none of the mirrors: {'; '.join(failure.message for failure in unread)}",
        hint=_MIRROR_HINT,
    )


class _OfAnother(InvalidValue):
    """A mirror has the release file of another suite in this one's place."""


def _release_of(document: bytes, keyring: Path, suite: str, now: datetime, url: str) -> ReleaseFile:
    """The release file `document` of `suite`, signed and current. TrustError, FormatError, _OfAnother."""
    release = parse_release(signed_text(document, keyring, url), url)
    release.require_current(now, url)
    if suite not in (release.codename, release.suite):
        raise _OfAnother(
            what=url, problem=f"is the release file of {release.codename}, not of {suite}", hint="try another mirror"
        )
    return release


def _index(archive: Archive, mirror: str, suite: str, architecture: str, release: ReleaseFile) -> tuple[str, str]:
    """The text of the index that `release`, read from `mirror`, names, and the digest of the file that it is from.

    A mirror that is being renewed may have its files by their digests and not yet by their names, one of two
    compressions and not yet the other, or nothing that another mirror does not have already: so all are tried, in this
    order. InvalidValue, NetworkError, IntegrityError."""
    named = [f"{COMPONENT}/binary-{architecture}/{_INDEX}{suffix}" for suffix in _UNPACKED]
    paths = [path for path in named if path in release.digests]
    if not paths:
        raise InvalidValue(
            what=f"the architecture {architecture}",
            problem=f"is not in {suite}, which has {', '.join(sorted(release.architectures - {'all'}))}",
            hint="choose another release",
        )
    mirrors = [mirror, *(other for other in archive.mirrors if other != mirror)]
    failures: list[NetworkError | IntegrityError] = []
    # What is in the store already costs nothing.
    for path in sorted(paths, key=lambda path: not archive.store.holds(release.digests[path][0])):
        digest, _ = release.digests[path]
        try:
            place = archive.store.fetch(digest, _index_urls(mirrors, suite, path, digest), f"the index of {suite}")
            return _unpacked(place, path, suite), digest
        except (NetworkError, IntegrityError) as error:
            failures.append(error)
    raise next((one for one in failures if isinstance(one, IntegrityError)), failures[0])


def _index_urls(mirrors: Sequence[str], suite: str, path: str, digest: str) -> list[str]:
    directory, _, _ = path.rpartition("/")
    first = f"{mirrors[0]}/dists/{suite}/{path}"
    by_digest = [f"{mirror}/dists/{suite}/{directory}/by-hash/SHA256/{digest}" for mirror in mirrors]
    return [by_digest[0], first, *by_digest[1:]]


def _unpacked(place: Path, path: str, suite: str) -> str:
    suffix = path.rpartition(_INDEX)[2]
    try:
        return _UNPACKED[suffix](place.read_bytes()).decode("utf-8", "replace")
    except (lzma.LZMAError, zlib.error, OSError, ValueError, EOFError) as error:
        raise IntegrityError(what=f"the index of {suite}", problem=f"it is no {suffix[1:]} data") from error
