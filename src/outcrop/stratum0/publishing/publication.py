"""How a new state of a repository becomes the one that readers see.

The order is what makes a crash harmless:

1. data objects, then catalogs, leaves first (done by the caller);
2. history, certificate, meta-information;
3. the reflog, which names all of them, so that nothing is ever published that garbage collection would not find;
4. one sync of the file system: everything above is durable;
5. the manifest, renamed into place;
6. where a freshness record is announced, the record for the new revision (`outcrop.stratum0.signing.freshness`). If the
   one that lies there would not be believed, it is renewed before step 5 as well.

Until step 5 readers see the old revision, whole. A reflog that is newer than the manifest is what a crash between 3 and
5 leaves; it holds all that the manifest names, and is taken on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import MAXIMUM_TAGGED_REVISION, TRUNK, TRUNK_PREVIOUS, History, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME, ObjectKind
from outcrop.cvmfs.reflog import Reference, ReferenceType, Reflog
from outcrop.cvmfs.revision_account import RevisionAccount
from outcrop.errors import FormatError, InvalidValue, NotFound
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.freshness import keep_readers_content, promised_freshness, publish_record
from outcrop.stratum0.signing.keys import SigningKey

TRUNK_DESCRIPTION = "current HEAD"
TRUNK_PREVIOUS_DESCRIPTION = "default undo target"
"""What the reference publisher calls the two tags that it keeps."""


@dataclass(frozen=True, slots=True)
class NextRevision:
    """A revision about to be published: its root catalog, when, the tags it gets, and the account of what it does."""

    root: CatalogReference
    revision: Revision
    now: int
    tags: tuple[Tag, ...] = ()
    account: RevisionAccount | None = None


def next_revision(manifest: Manifest) -> Revision:
    """The number after that of `manifest`; InvalidValue if there is none that a history could hold."""
    if manifest.revision >= MAXIMUM_TAGGED_REVISION:
        raise InvalidValue(what=f"revision {manifest.revision}", problem="is the last one there can be")
    return Revision(manifest.revision + 1)


def revision_tags(
    repository: OwnedRepository,
    root: CatalogReference,
    revision: Revision,
    *,
    now: datetime,
    message: str = "",
    name: str | None = None,
) -> tuple[Tag, ...]:
    """The tags of a new revision: `name` if it is given one, and the automatic one where the settings want it."""
    names = [name] if name else []
    if repository.settings.auto_tag:
        names.append(f"generic-{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    return tuple(Tag(each, root.digest, revision, int(now.timestamp()), message, root.size) for each in names)


def publish_revision(
    repository: OwnedRepository, key: SigningKey, manifest: Manifest, upcoming: NextRevision
) -> Manifest:
    """Makes `upcoming` what readers see, in the place of `manifest`; returns the new manifest."""

    def edit(history: History) -> None:
        previous = history.find(TRUNK)
        if previous is not None:
            history.put(replace(previous, name=TRUNK_PREVIOUS, description=TRUNK_PREVIOUS_DESCRIPTION))
        trunk = Tag(
            name=TRUNK,
            root_catalog=upcoming.root.digest,
            revision=upcoming.revision,
            timestamp=upcoming.now,
            description=TRUNK_DESCRIPTION,
            size=upcoming.root.size,
        )
        for tag in (trunk, *upcoming.tags):
            history.put(_with_a_name_of_its_own(tag, history))
        if upcoming.account is not None:
            history.put_account(upcoming.account)

    return _publish(
        repository,
        key,
        replace(
            manifest,
            revision=upcoming.revision,
            root_catalog=upcoming.root.digest,
            root_catalog_size=upcoming.root.size,
            ttl=repository.settings.ttl,
            garbage_collectable=repository.settings.garbage_collectable,
        ),
        manifest.history,
        edit,
        upcoming.now,
    )


def _with_a_name_of_its_own(tag: Tag, history: History) -> Tag:
    """`tag`, with the revision's number in its name if it is automatic and another revision of that second has it."""
    if not tag.is_automatic or history.find(tag.name) is None:
        return tag
    return replace(tag, name=tag.name.replace("generic", f"generic_{tag.revision}", 1))


def publish_tags(
    repository: OwnedRepository, key: SigningKey, manifest: Manifest, edit: Callable[[History], None], now: int
) -> Manifest:
    """Publishes another history for the same revision; `edit` changes the tags."""
    return _publish(repository, key, manifest, manifest.history, edit, now)


def publish_metainfo(
    repository: OwnedRepository, key: SigningKey, manifest: Manifest, metainfo: bytes, now: int
) -> Manifest:
    """Publishes another meta-information for the same revision. Readers know it from its later time."""
    digest = repository.store_database(metainfo, ObjectKind.METAINFO)
    later = replace(manifest, metainfo=digest, published_at=(manifest.published_at or 0) + 1)
    return _publish(repository, key, later, manifest.history, None, now)


def publish_without(
    repository: OwnedRepository,
    key: SigningKey,
    manifest: Manifest,
    *,
    tags: Collection[Tag],
    references: Collection[Reference],
    now: int,
) -> Manifest:
    """Publishes the same revision without `tags` in its history and `references` in the reflog."""

    def edit(history: History) -> None:
        for tag in tags:
            history.remove(tag.name)

    forgotten = [reference.digest for reference in references]
    return _publish(repository, key, manifest, manifest.history, edit if tags else None, now, forgotten)


def _publish(
    repository: OwnedRepository,
    key: SigningKey,
    manifest: Manifest,
    previous_history: Digest | None,
    edit: Callable[[History], None] | None,
    now: int,
    forgotten: Collection[Digest] = (),
) -> Manifest:
    history = _edited_history(repository, previous_history, edit) if edit else previous_history
    certificate = repository.store_database(key.certificate.pem, ObjectKind.CERTIFICATE)
    references = {
        manifest.root_catalog: ReferenceType.ROOT_CATALOG,
        certificate: ReferenceType.CERTIFICATE,
    }
    if history is not None:
        references[history] = ReferenceType.HISTORY
    if manifest.metainfo is not None:
        references[manifest.metainfo] = ReferenceType.METAINFO
    reflog = _extended_reflog(repository, references, now, forgotten)
    new = replace(
        manifest,
        history=history,
        certificate=certificate,
        reflog=Digest.of(reflog, repository.settings.algorithm),
        # A clock that went back must not make clients refuse what is new.
        published_at=max(now, manifest.published_at or 0),
    )
    repository.store.replace(REFLOG_NAME, reflog)
    repository.store.sync()
    promised = promised_freshness(repository, key, new)
    if promised is not None:
        keep_readers_content(repository, key, new, promised, now)
    repository.store.replace(MANIFEST_NAME, key.sign(new, repository.settings.algorithm))
    if promised is not None:
        publish_record(repository, key, new, promised, now)
    return new


def _edited_history(repository: OwnedRepository, previous: Digest | None, edit: Callable[[History], None]) -> Digest:
    with _previous_history(repository, previous) as history:
        history.set_previous(previous)
        edit(history)
        return repository.store_database(database_to_bytes(history.connection), ObjectKind.HISTORY)


def _previous_history(repository: OwnedRepository, previous: Digest | None) -> History:
    if previous is None:
        return History.create(sqlite3.connect(":memory:", isolation_level=None), repository.name)
    return History.parse(repository.load_database(previous, ObjectKind.HISTORY))


def _extended_reflog(
    repository: OwnedRepository,
    references: dict[Digest, ReferenceType],
    now: int,
    forgotten: Collection[Digest],
) -> bytes:
    with _present_reflog(repository) as reflog:
        if reflog.references() and not _plausible(reflog, repository):
            raise FormatError(
                what=f"{repository.store.address}/{REFLOG_NAME}",
                field="the property fqrn",
                problem=f"is not {repository.name}",
                hint="bring the reflog of this repository back from a backup; nothing was published",
            )
        for digest in forgotten:
            reflog.remove(digest)
        for digest, reference_type in references.items():
            reflog.add(digest, reference_type, now)
        return database_to_bytes(reflog.connection)


def _present_reflog(repository: OwnedRepository) -> Reflog:
    try:
        return Reflog.parse(repository.store.read(REFLOG_NAME), f"{repository.store.address}/{REFLOG_NAME}")
    except NotFound:
        return Reflog.create(sqlite3.connect(":memory:", isolation_level=None), repository.name)


def _plausible(reflog: Reflog, repository: OwnedRepository) -> bool:
    row = reflog.connection.execute("SELECT value FROM properties WHERE key = 'fqrn'").fetchone()
    return row is not None and row[0] == repository.name.encode()
