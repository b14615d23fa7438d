"""Taking a repository back to an older tree, as a new revision.

Readers must never see a revision number or a time go back, so what returns is the tree and not the revision: the older
root catalog, with the next number, follows the current one. Everything below it is in the store already, or the
rollback is refused; not one object but the root is written.

Tags stay. The reference's publisher deletes those of the revisions in between, and moves the one that is rolled back
to onto the new revision. We do neither: a tag is how somebody mounts a tree that is known to work, a rollback does not
make it another one, and what was in between may still be wanted. Notices stay, too: what users were told about the
future does not change because the past comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_diff import Difference, LoadCatalog, Version, differences
from outcrop.cvmfs.catalog_edit import EditableCatalog
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.notices import NOTICES_PATH, OUTCROP_DIRECTORY
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, shown
from outcrop.errors import InvalidValue, NotFound
from outcrop.progress import SILENT, Progress
from outcrop.storage.memory import DiscardingStore
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.history.log import RevisionRecord, root_reference
from outcrop.stratum0.history.revision_diff import catalog_loader, collected_hint
from outcrop.stratum0.history.revision_names import named_revision
from outcrop.stratum0.promises.keeping import require_promises_kept
from outcrop.stratum0.promises.policy import load_policy
from outcrop.stratum0.promises.published_notices import load_notices
from outcrop.stratum0.publishing.account import account_of, summary_of
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.publication import NextRevision, next_revision, publish_revision, revision_tags
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.whitelist_care import require_valid_whitelist
from outcrop.stratum0.transactions.lease import Leases


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """What is to be done: back to the tree of the revision `to`, named as `revision_names` says.

    `author`, `message` and `reason` go into the account; `reason` says why a promise to users is broken, if one is.
    `allow_expiring` lets a whitelist that has expired, or soon will, be no obstacle.
    """

    to: str
    author: str = ""
    message: str = ""
    reason: str = ""
    allow_expiring: bool = False


@dataclass(frozen=True, slots=True)
class RollbackOutcome:
    """What was done. `summary` is the way from the current revision to the tree of `target`.

    `manifest` is the new one, or the old one where nothing differs or nothing was to be published. `notes` are what
    the publisher should know besides.
    """

    target: RevisionRecord
    summary: ChangeSummary
    manifest: Manifest
    published: bool
    notes: tuple[str, ...] = ()


def roll_back(
    repository: OwnedRepository,
    request: RollbackRequest,
    *,
    now: datetime,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> RollbackOutcome:
    """Publishes the tree of an older revision as the next one. With `dry_run` everything is checked, nothing stored.

    NotFound if there is no such revision, or if any catalog or object of it is gone; InvalidValue for the current one
    and for a broken promise without a reason; TrustError if readers would not believe the whitelist; Busy if somebody
    is changing the repository. In all these cases nothing was published.
    """
    key = repository.signing_key()
    notes = require_valid_whitelist(repository, now, allow_expiring=request.allow_expiring)
    leases = Leases(repository.keys.directory, repository.name)
    with ExitStack() as stack:
        # A transaction that is open now would lay what is taken back over the older tree again.
        if dry_run:
            leases.require_free([ROOT])
        else:
            stack.enter_context(leases.held([ROOT], "rollback", now))
        stack.enter_context(repository.publishing())
        manifest = repository.manifest(key)
        target = named_revision(repository, manifest, request.to)
        if target.root_catalog == manifest.root_catalog:
            raise InvalidValue(
                what=f"revision {target.revision} of {repository.name}",
                problem="is what readers see now",
                hint=f"`outcrop repo log {repository.name}` lists the earlier ones",
            )
        # Readers refuse a revision that seems older than the one they know: the clock may have gone back.
        moment = max(int(now.timestamp()), manifest.published_at or 0)
        revision = next_revision(manifest)
        current = repository.catalog_tree(manifest)
        try:
            data = _root_with_old_tree(repository, manifest, target, current, revision, moment)
            nowhere = DiscardingStore(repository.store)
            root = CatalogReference(ROOT, repository.store_database(data, ObjectKind.CATALOG, nowhere), len(data))
            progress.start("objects", None, "entries")
            way = differences(
                CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size),
                root,
                _loader_with(repository, root, data),
            )
            summary = summary_of(_all_present(repository, way, progress))
            progress.finish()
            if summary.is_empty:
                return RollbackOutcome(target, summary, manifest, False, notes)
            summary.catalogs = 1
            _require_promises(repository, current, summary, request.reason, now)
        finally:
            current.close()
        if dry_run:
            return RollbackOutcome(target, summary, manifest, False, notes)
        message = request.message or f"Roll back to revision {target.revision}"
        account = account_of(
            summary,
            revision=revision,
            root=root,
            now=moment,
            author=request.author,
            message=message,
            reason=request.reason,
        )
        repository.store_database(data, ObjectKind.CATALOG)
        tags = revision_tags(repository, root, revision, now=now, message=message)
        new = publish_revision(repository, key, manifest, NextRevision(root, revision, moment, tags, account))
    return RollbackOutcome(target, summary, new, True, notes)


def _root_with_old_tree(
    repository: OwnedRepository,
    manifest: Manifest,
    target: RevisionRecord,
    current: CatalogTree,
    revision: Revision,
    now: int,
) -> bytes:
    """The database of the root catalog of `target`, as the one that follows the current root."""
    reference = root_reference(repository, target)
    what = f"the root catalog of revision {target.revision}"
    with EditableCatalog.parse(repository.load_catalog(reference.digest), what) as catalog:
        _keep_notices(current, catalog)
        catalog.finish(revision=revision, now=now, previous=manifest.root_catalog, ttl=repository.settings.ttl)
        return database_to_bytes(catalog.connection)


def _keep_notices(current: CatalogTree, catalog: EditableCatalog) -> None:
    """Writes the notices of the `current` tree into the root `catalog` of another."""
    notices, directory = current.lookup(NOTICES_PATH), current.lookup(OUTCROP_DIRECTORY)
    if notices is None or directory is None:
        return
    present = catalog.lookup(OUTCROP_DIRECTORY)
    if current.is_nested(OUTCROP_DIRECTORY) or (present is not None and present.is_nested_mountpoint):
        raise InvalidValue(
            what=f"the directory {shown(OUTCROP_DIRECTORY)}",
            problem="is a nested catalog, so the notices in it cannot be kept",
            hint="take the file .cvmfscatalog in it away first",
        )
    if present is None:
        catalog.put(OUTCROP_DIRECTORY, replace(directory, linkcount=2))
        root = catalog.lookup(ROOT)
        assert root is not None, "a root catalog has a root"
        catalog.put(ROOT, replace(root, linkcount=root.linkcount + 1))
    catalog.put(NOTICES_PATH, notices, current.chunks(NOTICES_PATH, notices) if notices.is_chunked else ())


def _loader_with(repository: OwnedRepository, root: CatalogReference, data: bytes) -> LoadCatalog:
    """Opens the catalogs of `repository`, and the one of `root`, which is not stored yet."""
    load_stored = catalog_loader(repository)

    def load(reference: CatalogReference) -> Catalog:
        if reference.digest == root.digest:
            return Catalog.parse(data, "the root catalog to be published")
        return load_stored(reference)

    return load


def _all_present(repository: OwnedRepository, way: Iterable[Difference], progress: Progress) -> Iterator[Difference]:
    """`way`, as long as the objects that it leads to are there; NotFound names the first that is not.

    What does not differ from the current revision is there because that revision needs it.
    """
    known: set[ObjectName] = set()
    for difference in way:
        needed = set(_objects(difference.new)) - known if difference.new is not None else set()
        for name in sorted(needed, key=str):
            if not repository.store.exists(name.path):
                raise NotFound(
                    what=f"the object {name} of {shown(difference.path)} in {repository.store.address}",
                    hint=collected_hint(repository),
                )
        known |= needed
        progress.advance(detail=shown(difference.path))
        yield difference


def _objects(version: Version) -> Iterator[ObjectName]:
    """The objects that hold the bytes of a file. External files have theirs elsewhere."""
    if version.entry.is_external:
        return
    if version.entry.digest is not None:
        yield ObjectName(version.entry.digest, ObjectKind.FILE)
    for chunk in version.chunks:
        yield ObjectName(chunk.digest, ObjectKind.CHUNK)


def _require_promises(
    repository: OwnedRepository, current: CatalogTree, summary: ChangeSummary, reason: str, now: datetime
) -> None:
    """InvalidValue if the way back breaks a promise to users without a reason."""
    require_promises_kept(
        current,
        summary.changes,
        load_policy(repository.keys.directory, repository.name),
        load_notices(repository, current),
        repository=repository.name,
        reason=reason,
        now=now,
    )
