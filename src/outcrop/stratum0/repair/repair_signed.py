"""The files whose names do not prove them: manifest, whitelist, reflog. Where a good one comes from, and why it is one.

- A *manifest* is taken from a mirror if our own key signed it and its revision is not below anything that we know to
  have been published: readers refuse to go back. One that is newer than ours, as after a restored backup, is taken only
  by whoever asks for it: it is no damage.
- A *whitelist* is taken if the master key signed it, it has not expired, and it lists our certificate.
- A *reflog* is taken if it has the digest that the manifest states. Otherwise it is written anew from what is there:
  the manifest, the tags, and every revision and history before them. The manifest is then signed again, to name it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import History
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.reflog import Reference, ReferenceType, Reflog
from outcrop.cvmfs.signatures import is_whitelist_signature
from outcrop.cvmfs.signed_text import MAXIMUM_SIGNED_TEXT_BYTES, SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import IntegrityError, OutcropError, TrustError
from outcrop.storage.interface import ReadableStore
from outcrop.stratum0.check.records import KINDS
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.keys import SigningKey, load_public_keys

REBUILT = "what is there"
"""The source of a reflog that was written anew."""

Value = TypeVar("Value")


class NoHealthyCopy(OutcropError):
    """No mirror has what would mend a file, or it must not be taken."""

    template = "{problem}"


@dataclass(frozen=True, slots=True)
class MirroredManifest:
    """A manifest of ours, as the mirror at `address` has it."""

    address: str
    data: bytes
    manifest: Manifest


def restore_manifest(repository: OwnedRepository, mirrors: Sequence[ReadableStore], _now: datetime) -> str:
    """Puts the newest manifest of ours that a mirror has in its place; returns the mirror's address."""
    found = _newest_manifest(repository, mirrors)
    known = max(_known_revisions(repository), default=0)
    if found.manifest.revision < known:
        raise NoHealthyCopy(
            problem=f"the newest that a mirror has is of revision {found.manifest.revision}, and revision {known} was "
            "made here; readers refuse to go back: bring the manifest back from a backup"
        )
    with repository.exclusively():
        repository.store.replace(MANIFEST_NAME, found.data)
    return found.address


def newer_manifest(repository: OwnedRepository, mirrors: Sequence[ReadableStore]) -> MirroredManifest | None:
    """The newest manifest of ours that a mirror has, if its revision is above the one that readers see here.

    None too where ours cannot be read, which is damage, and where no mirror has any of ours."""
    try:
        here = repository.manifest(repository.signing_key())
        found = _newest_manifest(repository, mirrors)
    except OutcropError:
        return None
    return found if found.manifest.revision > here.revision else None


def take_newer_manifest(repository: OwnedRepository, found: MirroredManifest) -> None:
    """Makes `found` what readers see, unless somebody has published up to that revision meanwhile."""
    with repository.exclusively():
        if repository.manifest(repository.signing_key()).revision < found.manifest.revision:
            repository.store.replace(MANIFEST_NAME, found.data)


def _newest_manifest(repository: OwnedRepository, mirrors: Sequence[ReadableStore]) -> MirroredManifest:
    key = _signing_key(repository)

    def judged(data: bytes) -> Manifest:
        signed = SignedText.parse(data, MANIFEST_NAME)
        manifest = Manifest.parse(signed.text)
        if manifest.repository != repository.name or not key.is_ours(signed):
            raise TrustError(what=MANIFEST_NAME, problem="is not signed with our key")
        return manifest

    found = [MirroredManifest(*one) for one in _candidates(mirrors, MANIFEST_NAME, judged)]
    return max(found, key=lambda one: (one.manifest.revision, one.manifest.published_at or 0))


def restore_whitelist(repository: OwnedRepository, mirrors: Sequence[ReadableStore], now: datetime) -> str:
    """Puts the whitelist that is valid for longest in its place; returns the mirror's address."""
    master_keys = load_public_keys(repository.keys)
    certificate = _signing_key(repository).certificate

    def judged(data: bytes) -> Whitelist:
        signed = SignedText.parse(data, WHITELIST_NAME)
        whitelist = Whitelist.parse(signed.text)
        by_master = any(is_whitelist_signature(key, signed.signature, signed.signed_bytes) for key in master_keys)
        if not by_master or whitelist.repository != repository.name:
            raise TrustError(what=WHITELIST_NAME, problem="is not signed with our master key")
        if now >= whitelist.expires:
            raise TrustError(what=WHITELIST_NAME, problem="has expired")
        if not any(certificate.fingerprint(one.algorithm) == one for one in whitelist.fingerprints):
            raise TrustError(what=WHITELIST_NAME, problem="does not list our certificate")
        return whitelist

    try:
        found = _candidates(mirrors, WHITELIST_NAME, judged)
    except NoHealthyCopy as error:
        hint = f"`outcrop repo resign {repository.name}` signs a new one"
        raise NoHealthyCopy(problem=f"{error.message}; {hint}") from error
    address, data, _ = max(found, key=lambda one: one[2].expires)
    with repository.exclusively():
        repository.store.replace(WHITELIST_NAME, data)
    return address


def restore_reflog(repository: OwnedRepository, mirrors: Sequence[ReadableStore], now: datetime) -> str:
    """Puts the reflog that the manifest names in its place, or one written anew; returns where it comes from."""
    key = _signing_key(repository)
    with repository.exclusively():
        try:
            manifest = repository.manifest(key)
        except OutcropError as error:
            raise NoHealthyCopy(problem="without the manifest nobody knows what the reflog has to name") from error

        def judged(data: bytes) -> Digest:
            digest = manifest.reflog
            if digest is None or Digest.of(data, digest.algorithm) != digest:
                raise IntegrityError(what=REFLOG_NAME, problem="is not the one that the manifest names")
            return digest

        try:
            address, data, _ = _candidates(mirrors, REFLOG_NAME, judged)[0]
        except NoHealthyCopy:
            data = _rebuilt_reflog(repository, manifest, int(now.timestamp()))
            address = REBUILT
        repository.store.replace(REFLOG_NAME, data)
        if address == REBUILT:
            digest = Digest.of(data, repository.settings.algorithm)
            published = max(int(now.timestamp()), manifest.published_at or 0)
            named = replace(manifest, reflog=digest, published_at=published)
            repository.store.sync()
            repository.store.replace(MANIFEST_NAME, key.sign(named, repository.settings.algorithm))
    return address


def _candidates(
    mirrors: Sequence[ReadableStore], name: str, judged: Callable[[bytes], Value]
) -> list[tuple[str, bytes, Value]]:
    """What mirrors have under `name` and `judged` lets pass: addresses, bytes and verdicts, at least one."""
    found, reasons = [], []
    for mirror in mirrors:
        try:
            data = mirror.read(name, limit=MAXIMUM_SIGNED_TEXT_BYTES if name != REFLOG_NAME else _MAXIMUM_REFLOG_BYTES)
            found.append((mirror.address, data, judged(data)))
        except OutcropError as error:
            reasons.append(f"{mirror.address}: {error.fields.get('problem') or error.message}")
    if not found:
        raise NoHealthyCopy(problem="; ".join(reasons) or "there is no mirror to fetch it from")
    return found


_MAXIMUM_REFLOG_BYTES = 64 * 1024 * 1024
"""Half a million revisions."""


def _signing_key(repository: OwnedRepository) -> SigningKey:
    try:
        return repository.signing_key()
    except OutcropError as error:
        raise NoHealthyCopy(problem=f"our own certificate is needed to know what is ours: {error.message}") from error


def _known_revisions(repository: OwnedRepository) -> Iterator[int]:
    """The revisions of the root catalogs that our reflog names, as far as they can be read."""
    for reference in _recorded(repository):
        if reference.type is ReferenceType.ROOT_CATALOG:
            try:
                with Catalog.parse(repository.load_catalog(reference.digest)) as catalog:
                    yield catalog.properties.revision
            except OutcropError:
                continue


def _recorded(repository: OwnedRepository) -> list[Reference]:
    """What our reflog names; nothing where it cannot be read."""
    try:
        with Reflog.parse(repository.store.read(REFLOG_NAME)) as reflog:
            return reflog.references()
    except OutcropError:
        return []


def _rebuilt_reflog(repository: OwnedRepository, manifest: Manifest, now: int) -> bytes:
    with Reflog.create(sqlite3.connect(":memory:", isolation_level=None), repository.name) as reflog:
        found = {reference.digest: reference for reference in _still_there(repository, manifest, now)}
        for reference in sorted(found.values(), key=lambda one: one.timestamp):
            reflog.add(reference.digest, reference.type, reference.timestamp)
        return database_to_bytes(reflog.connection)


def _still_there(repository: OwnedRepository, manifest: Manifest, now: int) -> Iterator[Reference]:
    """Everything that a reflog has to name and that is there: the manifest's objects last, since they must be right."""
    for reference in _recorded(repository):
        if repository.store.exists(ObjectName(reference.digest, KINDS[reference.type]).path):
            yield reference
    roots = [manifest.root_catalog]
    for digest in _chain(manifest.history, lambda one: _history_before(repository, one, roots)):
        yield Reference(digest, ReferenceType.HISTORY, manifest.published_at or now)
    seen: set[Digest] = set()
    for root in roots:
        for digest in _chain(root, lambda one: _root_before(repository, one)):
            if digest in seen:
                break
            seen.add(digest)
            yield Reference(digest, ReferenceType.ROOT_CATALOG, _time_of(repository, digest) or now)
    yield Reference(manifest.certificate, ReferenceType.CERTIFICATE, manifest.published_at or now)
    if manifest.metainfo is not None:
        yield Reference(manifest.metainfo, ReferenceType.METAINFO, manifest.published_at or now)


def _chain(first: Digest | None, before: Callable[[Digest], Digest | None]) -> Iterator[Digest]:
    """`first` and what came before it, as far as `before` can tell without an error."""
    seen: set[Digest] = set()
    digest = first
    while digest is not None and digest not in seen:
        try:
            previous = before(digest)
        except OutcropError:
            return
        yield digest
        seen.add(digest)
        digest = previous


def _history_before(repository: OwnedRepository, digest: Digest, roots: list[Digest]) -> Digest | None:
    """The history that `digest` followed; the roots of its tags are added to `roots`."""
    with History.parse(repository.load_database(digest, ObjectKind.HISTORY)) as history:
        roots += [tag.root_catalog for tag in history.tags()]
        previous = history.properties.get("previous_revision")
    return Digest.parse(previous) if previous else None


def _root_before(repository: OwnedRepository, digest: Digest) -> Digest | None:
    with Catalog.parse(repository.load_catalog(digest)) as catalog:
        return catalog.properties.previous_revision


def _time_of(repository: OwnedRepository, digest: Digest) -> int:
    with Catalog.parse(repository.load_catalog(digest)) as catalog:
        return catalog.properties.last_modified
