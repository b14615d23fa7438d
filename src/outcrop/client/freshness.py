"""Fetching what proves that a manifest is fresh: the announcement, and the record that it promises.

The record is asked for at the server that showed the manifest, then at the others, then where the announcement says.
The first one that every rule holds for decides; each server is asked once in a search. Stock replicas do not copy the
record, which is why the announcement can name servers that have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from outcrop.client.freshness_rules import (
    ClaimedFreshness,
    Standing,
    demanded_announcement,
    judge_manifest,
    newest_issue,
    own_certificate,
    read_freshness,
    verify_freshness,
    verify_freshness_certificate,
)
from outcrop.client.trust import MAXIMUM_CERTIFICATE_BYTES, Blacklist, Seen, SeenFreshness, TrustedManifest
from outcrop.cvmfs.compression import inflate
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME, FreshnessRecord
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.metainfo import announced_freshness
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import FormatError, IntegrityError, NotFound, OutcropError, TrustError
from outcrop.storage.interface import ReadableStore

MAXIMUM_RECORD_BYTES = 64 * 1024
"""A record has under 1 kB."""

MAXIMUM_METAINFO_BYTES = 4 * 1024 * 1024
"""Meta-information has a few kB; some owners put a logo into it."""


@dataclass(frozen=True, slots=True)
class FreshManifest:
    """A manifest with its proofs, and how it stands to the record: `newest` is the revision that the record says is
    current, `record` the bytes of it. Where nothing is announced every manifest is current, and there is no record."""

    trusted: TrustedManifest
    standing: Standing = Standing.CURRENT
    newest: int = 0
    record: bytes = b""


class FreshnessSearch:
    """One search for a fresh manifest among `servers`. `seen` is what was accepted before; `open_store` opens the
    servers that an announcement names."""

    def __init__(
        self,
        servers: Sequence[ReadableStore],
        seen: Seen | None,
        now: datetime,
        blacklist: Blacklist,
        open_store: Callable[[str], ReadableStore],
    ) -> None:
        self._servers = list(servers)
        self._seen = seen
        self._now = now
        self._blacklist = blacklist
        self._open_store = open_store
        self._announced: dict[str, ReadableStore] = {}
        self._answers: dict[int, tuple[ReadableStore, bytes | OutcropError]] = {}
        """By identity, for which each place is kept: the same server past caches is another one."""

    def prove(self, trusted: TrustedManifest, server: ReadableStore) -> FreshManifest:
        """`trusted`, which came from `server`, proved fresh as far as the repository promises it. What is to be
        remembered is in its `seen`.

        TrustError if it is not fresh, or not known to be; the server's own error if it withholds the announcement."""
        manifest = trusted.manifest
        announced = self._announcement(manifest, server)
        demanded = demanded_announcement(manifest, announced, self._seen)
        if demanded is None:
            known = SeenFreshness(manifest.metainfo, None) if manifest.metainfo is not None else None
            return FreshManifest(_remembering(trusted, known))
        record, stored = self._record(trusted, server, demanded)
        standing = judge_manifest(manifest, record)
        known = SeenFreshness(manifest.metainfo, demanded, max(record.issued, newest_issue(self._seen) or 0))
        return FreshManifest(_remembering(trusted, known), standing, record.revision, stored)

    def close(self) -> None:
        """Lets go of the servers that were opened here."""
        for store in self._announced.values():
            store.close()

    def _announcement(self, manifest: Manifest, server: ReadableStore) -> FreshnessAnnouncement | None:
        digest = manifest.metainfo
        if digest is None:
            return None
        if self._seen is not None and self._seen.freshness is not None and self._seen.freshness.metainfo == digest:
            return self._seen.freshness.announcement
        return announced_freshness(_metainfo(server, digest, manifest))

    def _record(
        self, trusted: TrustedManifest, server: ReadableStore, announcement: FreshnessAnnouncement
    ) -> tuple[FreshnessRecord, bytes]:
        """The first record that every rule holds for, and its bytes."""
        failures: list[OutcropError] = []
        for place in self._places(trusted.manifest, server, announcement):
            try:
                stored = self._asked(place)
                claimed = read_freshness(stored, trusted.manifest.repository)
                certificate = own_certificate(claimed.record, trusted) or verify_freshness_certificate(
                    self._certificate(claimed, place, server), claimed, trusted, self._blacklist
                )
                return verify_freshness(claimed, certificate, announcement, self._now, self._seen), stored
            except OutcropError as error:
                failures.append(error)
        raise _most_telling(failures, trusted.manifest)

    def _places(
        self, manifest: Manifest, server: ReadableStore, announcement: FreshnessAnnouncement
    ) -> Iterator[ReadableStore]:
        yield server
        yield from (other for other in self._servers if other is not server)
        for url in announcement.server_urls(manifest.repository):
            if url not in self._announced:
                self._announced[url] = self._open_store(url)
            yield self._announced[url]

    def _asked(self, place: ReadableStore) -> bytes:
        _, answer = self._answers.get(id(place), (place, None))
        if answer is None:
            try:
                answer = place.read(FRESHNESS_NAME, limit=MAXIMUM_RECORD_BYTES)
            except OutcropError as error:
                answer = error
            self._answers[id(place)] = place, answer
        if isinstance(answer, OutcropError):
            raise answer
        return answer

    @staticmethod
    def _certificate(claimed: ClaimedFreshness, place: ReadableStore, server: ReadableStore) -> bytes:
        """The certificate of a record from `place`: a server that has only records has none."""
        name = ObjectName(claimed.record.certificate, ObjectKind.CERTIFICATE).path
        try:
            return place.read(name, limit=MAXIMUM_CERTIFICATE_BYTES)
        except OutcropError:
            if place is server:
                raise
            return server.read(name, limit=MAXIMUM_CERTIFICATE_BYTES)


def _remembering(trusted: TrustedManifest, freshness: SeenFreshness | None) -> TrustedManifest:
    return replace(trusted, seen=replace(trusted.seen, freshness=freshness))


def _metainfo(server: ReadableStore, digest: Digest, manifest: Manifest) -> bytes:
    """The meta-information that `manifest` names. It is demanded: without it nobody knows what is promised."""
    what = f"the meta-information of {manifest.repository}"
    name = ObjectName(digest, ObjectKind.METAINFO)
    try:
        stored = server.read(name.path, limit=MAXIMUM_METAINFO_BYTES)
    except NotFound as error:
        hint = f"{server.address} lacks {name}, so nobody knows what the repository promises; try another server"
        raise NotFound(what=what, hint=hint) from error
    if Digest.of(stored, digest.algorithm) != digest:
        raise IntegrityError(what=what, problem="its bytes do not have the digest that the manifest names")
    try:
        return inflate(stored, what=what, limit=MAXIMUM_METAINFO_BYTES)
    except FormatError:
        # It is what the publisher made, and no meta-information.
        return b""


def _most_telling(failures: Sequence[OutcropError], manifest: Manifest) -> OutcropError:
    """Why no server has a record that holds: what is wrong with one says more than that another has none."""
    wrong = [error for error in failures if not isinstance(error, NotFound)]
    found = next((error for error in wrong if isinstance(error, TrustError)), wrong[0] if wrong else None)
    return found or TrustError(
        what=f"the manifest of {manifest.repository}",
        problem="the repository promises a freshness record with it, and no server has one",
        hint="name a server that has it (replicas made by other software do not), or ask the repository's owner",
    )
