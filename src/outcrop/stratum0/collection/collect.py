"""Garbage collection: what no reader can ask for any more goes, and nothing else.

1. *Decide* which revisions stay (`outcrop.stratum0.collection.retention`).
2. *Mark* every object that those can be asked for. If any catalog among them cannot be read, nothing is collected.
3. *Publish* the same revision once more, without the automatic tags that end and without what the reflog forgets.
   From here on nothing that is signed names what goes.
4. *Sweep*: what the store lists and nobody marked is removed. That takes in what publishes that failed have left.

Nobody writes objects meanwhile: publishers wait. Readers and replicas need no lock, since all that was current within
the window stays. A crash before step 3 ends has changed nothing, and one after it leaves objects that nothing names,
which the next collection lists again. Root catalogs of revisions that go are removed first and other catalogs before
files, so that whoever finds an old revision finds it whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.object_keys import ObjectKey, object_key
from outcrop.cvmfs.objects import REFLOG_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.reflog import Reference, ReferenceType, Reflog
from outcrop.errors import FormatError, IntegrityError, InvalidValue, NotFound
from outcrop.progress import SILENT, Progress
from outcrop.stratum0.collection.object_set import ObjectSet
from outcrop.stratum0.collection.reachable import LoadCatalog, manifest_objects, reachable_objects
from outcrop.stratum0.collection.retention import (
    KeptRevision,
    PastRevision,
    Reason,
    Retention,
    Window,
    references_to_forget,
    revisions_to_keep,
)
from outcrop.stratum0.collection.sweep import Removal, find_garbage, measured, sweep
from outcrop.stratum0.publishing.publication import publish_without
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import record_path
from outcrop.stratum0.status import note_collection
from outcrop.stratum0.transactions.transaction_record import open_transactions

_UNREADABLE = (NotFound, IntegrityError, FormatError)
"""What says that an object is missing or damaged. Other errors are about the disk or the network, not about it."""

_KIND_OF_REFERENCE = {
    ReferenceType.ROOT_CATALOG: ObjectKind.CATALOG,
    ReferenceType.CERTIFICATE: ObjectKind.CERTIFICATE,
    ReferenceType.HISTORY: ObjectKind.HISTORY,
    ReferenceType.METAINFO: ObjectKind.METAINFO,
}


@dataclass(frozen=True, slots=True)
class DroppedRevision:
    """A revision that goes. `revision` is None where its root catalog is gone already; `recorded_at` is when the reflog
    got it, in seconds since 1970."""

    root: Digest
    revision: int | None
    recorded_at: int


@dataclass(frozen=True, slots=True)
class GarbageCollection:
    """What a collection removes, or would remove if it was only planned.

    `unreadable` are revisions that a publish which never ended left incomplete, and which go for that reason;
    `strange_names` counts what lies among the objects and is none. It is left alone.
    """

    manifest: Manifest
    kept: tuple[KeptRevision, ...]
    dropped: tuple[DroppedRevision, ...]
    unreadable: tuple[KeptRevision, ...]
    expired_tags: tuple[Tag, ...]
    removals: tuple[Removal, ...]
    strange_names: int

    @property
    def objects(self) -> int:
        """How many objects go."""
        return sum(removal.objects for removal in self.removals)

    @property
    def bytes(self) -> int | None:
        """How many bytes they take, None where the store cannot tell."""
        known = [removal.bytes for removal in self.removals if removal.bytes is not None]
        return sum(known) if len(known) == len(self.removals) else None


def collect_garbage(
    repository: OwnedRepository,
    window: Window,
    *,
    now: int,
    dry_run: bool = False,
    progress: Progress = SILENT,
    workspace: Path | None = None,
) -> GarbageCollection:
    """Removes all that no revision which stays refers to. With `dry_run` everything is worked out and nothing changed.

    Publishers are waited for. `workspace` is where names of objects are kept meanwhile, some 50 bytes for each; the
    system's directory for temporary files by default. InvalidValue where the repository says that it must not be
    collected, IntegrityError where a catalog that stays cannot be read.
    """
    key = repository.signing_key()
    with ExitStack() as held:
        if dry_run:
            # Nobody removes what is being looked at. What a publish under way has written counts as garbage.
            held.enter_context(repository.writing_objects())
        else:
            held.enter_context(repository.removing_objects())
            held.enter_context(repository.exclusively())
        manifest = repository.manifest(key)
        _require_collectable(repository, manifest)
        log = _recorded(repository, manifest)
        references = log.references
        retention = _retention(repository, manifest, references, window)
        marked = held.enter_context(ObjectSet(workspace))
        unreadable = _mark(repository, retention, marked, progress)
        kept = tuple(one for one in retention.kept if one not in unreadable)
        forgotten = references_to_forget(references, manifest, kept, retention.since)
        dropped = _dropped(repository, forgotten, retention.expired_tags)
        marked.update(_key_of(one) for one in set(references) - set(forgotten))
        if not dry_run and (forgotten or retention.expired_tags or not log.is_signed):
            manifest = publish_without(
                repository, key, manifest, tags=retention.expired_tags, references=forgotten, now=now
            )
        marked.update(map(object_key, manifest_objects(manifest)))
        garbage = held.enter_context(ObjectSet(workspace))
        strange = find_garbage(repository.store, marked, garbage, workspace=workspace, progress=progress)
        removals = measured(repository.store, garbage, progress=progress)
        result = GarbageCollection(manifest, kept, dropped, unreadable, retention.expired_tags, removals, strange)
        if not dry_run:
            progress.start("removing", result.objects, "objects")
            sweep(repository.store, garbage, [_key_of(one) for one in forgotten], progress=progress)
            progress.finish()
            note_collection(repository.store, now)
    return result


def _require_collectable(repository: OwnedRepository, manifest: Manifest) -> None:
    if not manifest.garbage_collectable:
        record = record_path(repository.keys.directory, repository.name)
        raise InvalidValue(
            what=f"the repository {repository.name}",
            problem="says of itself that it keeps everything for ever",
            hint=f"to change that, set `garbage_collectable = true` in {record} and publish once",
        )


@dataclass(frozen=True, slots=True)
class _RecordedReferences:
    """What the reflog says, and whether the manifest vouches for it: after a crash it may know more or less."""

    references: tuple[Reference, ...]
    is_signed: bool


def _recorded(repository: OwnedRepository, manifest: Manifest) -> _RecordedReferences:
    try:
        data = repository.store.read(REFLOG_NAME)
    except NotFound as error:
        if manifest.reflog is None:
            return _RecordedReferences((), True)
        raise IntegrityError(
            what=str(repository.name),
            problem=f"its reflog is gone ({error.message}), so nothing was removed",
            hint=f"bring {REFLOG_NAME} back from a backup",
        ) from error
    with Reflog.parse(data, f"{repository.store.address}/{REFLOG_NAME}") as reflog:
        references = tuple(reflog.references())
    digest = manifest.reflog
    return _RecordedReferences(references, digest is not None and Digest.of(data, digest.algorithm) == digest)


def _retention(
    repository: OwnedRepository, manifest: Manifest, references: Collection[Reference], window: Window
) -> Retention:
    recorded = {reference.digest for reference in references}
    bases = [
        KeptRevision(transaction.base, Reason.OPEN_TRANSACTION, transaction.name)
        for transaction in open_transactions(repository.keys.directory, repository.name)
    ]
    with _refusing(repository, "its history"):
        chain = _past_revisions(repository, manifest, recorded)
        return revisions_to_keep(manifest, repository.tags(manifest), references, chain, window, bases)


def _past_revisions(
    repository: OwnedRepository, manifest: Manifest, recorded: Collection[Digest]
) -> Iterator[PastRevision]:
    """The revisions from the current one back, as far as they have not been collected: those are neither in the store
    nor in the reflog."""
    digest: Digest | None = manifest.root_catalog
    while digest is not None:
        path = ObjectName(digest, ObjectKind.CATALOG).path
        if digest not in recorded and digest != manifest.root_catalog and not repository.store.exists(path):
            return
        with _open_catalog(repository, digest) as catalog:
            properties = catalog.properties
        yield PastRevision(digest, properties.revision, properties.last_modified)
        digest = properties.previous_revision


def _open_catalog(repository: OwnedRepository, digest: Digest) -> Catalog:
    return Catalog.parse(repository.load_catalog(digest), f"the catalog {digest}")


def _mark(
    repository: OwnedRepository, retention: Retention, marked: ObjectSet, progress: Progress
) -> tuple[KeptRevision, ...]:
    """Takes all objects of the revisions that stay into `marked`; returns those revisions that cannot, and need not,
    be read."""

    def load(digest: Digest) -> Catalog:
        progress.advance()
        return _open_catalog(repository, digest)

    unreadable = []
    seen: set[Digest] = set()
    progress.start("marking", None, "catalogs")
    for revision in retention.kept:
        if not revision.was_published and not _is_readable(load, revision.root, seen):
            unreadable.append(revision)
            continue
        with _refusing(repository, _told(revision)):
            marked.update(reachable_objects(load, revision.root, seen))
    progress.finish()
    return tuple(unreadable)


def _is_readable(load: LoadCatalog, root: Digest, seen: Collection[Digest]) -> bool:
    """Whether all catalogs of a revision can be read that are not among `seen`."""
    try:
        deque(reachable_objects(load, root, set(seen)), maxlen=0)
    except _UNREADABLE:
        return False
    return True


def _told(revision: KeptRevision) -> str:
    if revision.reason is Reason.TAGGED:
        return f"the tag {revision.name}"
    if revision.reason is Reason.OPEN_TRANSACTION:
        return f"the revision that the open transaction {revision.name} began from"
    reason: str = revision.reason.value
    return reason


@contextmanager
def _refusing(repository: OwnedRepository, what: str) -> Iterator[None]:
    """What is found missing or damaged within the block stops the collection, with a hint how to mend it."""
    name = repository.name
    try:
        yield
    except _UNREADABLE as error:
        raise IntegrityError(
            what=str(name),
            problem=f"{what} cannot be read whole ({error.message}), so nothing was removed",
            hint=f"`outcrop repo check {name}` finds all that is missing, `outcrop repo repair {name} --from URL` "
            "brings it back from a replica",
        ) from error


def _key_of(reference: Reference) -> ObjectKey:
    return object_key(ObjectName(reference.digest, _KIND_OF_REFERENCE[reference.type]))


def _dropped(
    repository: OwnedRepository, forgotten: Iterable[Reference], expired_tags: Iterable[Tag]
) -> tuple[DroppedRevision, ...]:
    """The revisions among what the reflog forgets, the oldest first."""
    numbers: dict[Digest, int] = {tag.root_catalog: tag.revision for tag in expired_tags}

    def number(digest: Digest) -> int | None:
        if digest in numbers:
            return numbers[digest]
        try:
            with _open_catalog(repository, digest) as catalog:
                return catalog.properties.revision
        except _UNREADABLE:
            return None  # it goes anyway

    roots = [one for one in forgotten if one.type is ReferenceType.ROOT_CATALOG]
    return tuple(DroppedRevision(one.digest, number(one.digest), one.timestamp) for one in roots)
