"""Takes trees into a repository: contents into objects, entries into catalogs, everything into one revision.

Contents are stored while others publish too; only the change of the catalogs and the switch to the new revision are one
publisher's at a time, so that it is made to what the repository says at that moment. Nothing that readers see changes
before the last step (`outcrop.stratum0.publishing.publication`).
"""

from __future__ import annotations

import hashlib
import io
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.dirtab import Dirtab
from outcrop.cvmfs.history import Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import ObjectKind
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.progress import SILENT, Progress
from outcrop.storage.interface import WritableStore
from outcrop.storage.memory import DiscardingStore, MemoryStore
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.catalogs.early_nesting import EarlyNesting
from outcrop.stratum0.catalogs.markers import MarkerWriter, is_kept_marker
from outcrop.stratum0.catalogs.nesting import DIRTAB_PATH, read_dirtab, settle_catalogs
from outcrop.stratum0.history.tags import require_new_tag
from outcrop.stratum0.promises.notice_edits import EditNotices
from outcrop.stratum0.promises.standing_promises import StandingPromises
from outcrop.stratum0.publishing.account import account_of
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.content_index import SETTLED_NANOSECONDS, ContentIndex, StoredContent
from outcrop.stratum0.publishing.door import NO_PRIVILEGES, Door, DoorRules
from outcrop.stratum0.publishing.fingerprint import FingerprintedTree, TreeFingerprint
from outcrop.stratum0.publishing.incoming import IncomingTree
from outcrop.stratum0.publishing.intake import Intake
from outcrop.stratum0.publishing.layering import Layer, lay_over
from outcrop.stratum0.publishing.ownership import KEEP_OWNERS, Ownership
from outcrop.stratum0.publishing.publication import (
    NextRevision,
    next_revision,
    publish_revision,
    publish_tags,
    revision_tags,
)
from outcrop.stratum0.publishing.staging import Staging
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.keys import SigningKey
from outcrop.stratum0.signing.whitelist_care import require_valid_whitelist
from outcrop.stratum0.transactions.lease import Leases
from outcrop.stratum0.transactions.transaction_record import clear_remnants, transactions_home


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What is to be done: trees laid over `at`, after `delete` and `replace` were emptied.

    `author` and `message` go into the log. A `reason` lets promises to users be broken, and is recorded too.
    `allow_expiring` lets a whitelist that has expired, or soon will, be no obstacle. `edit_notices` changes the notices
    of what will be retired (`outcrop.stratum0.promises.retire`). `transaction` names the one on whose behalf this is
    done.
    """

    trees: tuple[IncomingTree, ...] = ()
    at: RepositoryPath = ROOT
    delete: tuple[RepositoryPath, ...] = ()
    replace: tuple[RepositoryPath, ...] = ()
    ownership: Ownership = KEEP_OWNERS
    door: DoorRules = NO_PRIVILEGES
    author: str = ""
    message: str = ""
    reason: str = ""
    tag: str | None = None
    allow_expiring: bool = False
    edit_notices: EditNotices | None = None
    transaction: str = ""

    @property
    def declared(self) -> tuple[RepositoryPath, ...]:
        """The paths that this change may touch: what it holds while it is made."""
        if self.door.within:
            return self.door.within
        places = (self.at,) if self.trees else ()
        return (*places, *self.delete, *self.replace)


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What was done. `manifest` is the new one, or the old one where nothing changed or nothing was to be published."""

    summary: ChangeSummary
    manifest: Manifest
    published: bool
    notes: tuple[str, ...]


def ingest(
    repository: OwnedRepository,
    request: IngestRequest,
    *,
    now: datetime,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> IngestOutcome:
    """Publishes `request` as one revision. With `dry_run` everything is computed and nothing stored.

    A dry run is refused whenever the run would be: TrustError if readers would not believe the whitelist, Busy if
    somebody else holds what the change declares.
    """
    warnings = require_valid_whitelist(repository, now, allow_expiring=request.allow_expiring)
    leases = Leases(repository.keys.directory, repository.name)
    with ExitStack() as stack:
        if dry_run:
            leases.require_free(request.declared, transaction=request.transaction)
        else:
            clear_remnants(transactions_home(repository.keys.directory, repository.name))
            stack.enter_context(leases.held(request.declared, "ingest", now, transaction=request.transaction))
        stack.enter_context(repository.writing_objects())
        work = stack.enter_context(_Ingest(repository, request, now, progress, dry_run=dry_run))
        work.notes += warnings
        if not request.tag and work.is_made_already():
            return work.nothing_to_do()
        work.require_new_tag()
        work.take_in()
        stack.enter_context(repository.exclusively())
        return work.commit()


def change_fingerprint(request: IngestRequest) -> TreeFingerprint | None:
    """What tells this change from any other; None where it has parts that can only be compared in full."""
    trees = [tree for tree in request.trees if isinstance(tree, FingerprintedTree)]
    if len(trees) < len(request.trees) or not trees or request.delete or request.edit_notices:
        return None
    prints = [tree.fingerprint() for tree in trees]
    how = repr((request.at, request.replace, request.ownership, request.door, [tree.address for tree in request.trees]))
    digest = hashlib.blake2b(how.encode() + b"".join(one.digest for one in prints), digest_size=32).digest()
    return TreeFingerprint(digest, max(one.newest_ns for one in prints))


class _Ingest:
    """One publication on its way."""

    def __init__(
        self,
        repository: OwnedRepository,
        request: IngestRequest,
        now: datetime,
        progress: Progress,
        *,
        dry_run: bool,
    ) -> None:
        self._repository = repository
        self._request = request
        self._dry_run = dry_run
        self._store: WritableStore = DiscardingStore(repository.store) if dry_run else repository.store
        self._aside = MemoryStore()
        self._now = now
        self._progress = progress
        self._key: SigningKey = repository.signing_key()
        self._door = Door(request.door)
        self._staging = Staging()
        self._index: ContentIndex = repository.content_index()
        self._began_ns = time.time_ns()
        self.notes: list[str] = []
        self._fingerprint: TreeFingerprint | None = None

    def __enter__(self) -> _Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self._staging.close()
        self._index.close()

    @property
    def _moment(self) -> int:
        return int(self._now.timestamp())

    def is_made_already(self) -> bool:
        """Whether the current revision is what this very change led to, or left as it was."""
        self._fingerprint = change_fingerprint(self._request)
        if self._fingerprint is None:
            return False
        return self._index.is_made(self._fingerprint.digest, self._repository.manifest(self._key).root_catalog)

    def nothing_to_do(self) -> IngestOutcome:
        return IngestOutcome(ChangeSummary(), self._repository.manifest(self._key), False, tuple(self.notes))

    def require_new_tag(self) -> None:
        """Returns if the tag that was asked for, if any, can be given; it is asked again when others cannot give it.

        A publish that is begun again after a kill finds its own tag on the revision that it has made."""
        manifest = self._repository.manifest(self._key)
        if self._request.tag and not self._has_tag(manifest):
            require_new_tag(self._repository, manifest, self._request.tag)

    def _has_tag(self, manifest: Manifest) -> bool:
        tags = self._repository.tags(manifest)
        return any(one.name == self._request.tag and one.root_catalog == manifest.root_catalog for one in tags)

    def take_in(self) -> None:
        """Stores all contents."""
        request = self._request
        repository = self._repository
        with (
            repository.content_writer(self._index, self._store) as writer,
            repository.content_writer(self._index, self._aside) as keeping,
        ):
            intake = Intake(
                self._staging,
                writer,
                self._door,
                at=request.at,
                ownership=request.ownership,
                aside={DIRTAB_PATH: keeping} if self._dry_run else {},
            )
            intake.take(request.trees, self._progress)

    def commit(self) -> IngestOutcome:
        """Changes the catalogs of the current revision, and publishes them unless this is a dry run."""
        repository = self._repository
        manifest = repository.manifest(self._key)
        # Others may have published while this one waited, or a clock went back: times only ever grow.
        self._now = max(self._now, datetime.fromtimestamp(manifest.published_at or 0, UTC))
        self.require_new_tag()
        summary = ChangeSummary()
        with (
            closing(repository.catalog_tree(manifest)) as tree,
            closing(StandingPromises(repository, manifest, tree, self._now)) as promises,
        ):
            dirtab = read_dirtab(tree, self._read)
            self._change(tree, summary, dirtab)
            promises.update_notices(tree, summary, self._request.edit_notices, self._store_text)
            promises.require_kept(summary, self._request.reason)
            self.notes += settle_catalogs(
                tree,
                summary,
                dirtab=read_dirtab(tree, self._read),
                limits=repository.settings.catalog_limits,
                empty_object=lambda: self._store_text(b""),
                now=self._moment,
            )
            if summary.is_empty:
                manifest = self._with_tag(manifest)
                self._remember(manifest)
                return IngestOutcome(summary, manifest, False, self._notes())
            if self._request.tag:
                require_new_tag(repository, manifest, self._request.tag)
            upcoming = self._write(tree, summary, manifest)
        if self._dry_run:
            return IngestOutcome(summary, manifest, False, self._notes())
        new = publish_revision(repository, self._key, manifest, upcoming)
        self._remember(new)
        return IngestOutcome(summary, new, True, self._notes())

    def _with_tag(self, manifest: Manifest) -> Manifest:
        """The revision of `manifest` with the tag that was asked for: there was nothing else to publish."""
        name = self._request.tag
        if not name or self._has_tag(manifest):
            return manifest
        verb = "would be" if self._dry_run else "is now"
        self.notes.append(f"nothing changes: revision {manifest.revision} {verb} called {name}")
        if self._dry_run:
            return manifest
        size, root = manifest.root_catalog_size, manifest.root_catalog
        tag = Tag(name, root, manifest.revision, self._moment, self._request.message, size)
        return publish_tags(self._repository, self._key, manifest, lambda history: history.put(tag), self._moment)

    def _read(self, name: str) -> bytes:
        """An object of the store; in a dry run also one that was only put aside."""
        return (self._aside if self._aside.exists(name) else self._repository.store).read(name)

    def _change(self, tree: CatalogTree, summary: ChangeSummary, dirtab: Dirtab) -> None:
        request = self._request
        layer = Layer(
            self._staging,
            request.at,
            request.delete,
            request.replace,
            owner=request.ownership.newcomer,
            now=self._moment,
            brings_trees=bool(request.trees),
        )
        writer = MarkerWriter(tree, summary, lambda: self._store_text(b""), self._moment)
        nesting = EarlyNesting(tree, writer, self._repository.settings.catalog_limits, dirtab)
        lay_over(tree, layer, summary, lambda path: is_kept_marker(tree, path, dirtab), nesting)

    def _store_text(self, data: bytes) -> StoredContent:
        with self._repository.content_writer(self._index, self._store) as writer:
            result = writer.add_stream(io.BytesIO(data), len(data))
        return result.value

    def _write(self, tree: CatalogTree, summary: ChangeSummary, manifest: Manifest) -> NextRevision:
        revision = next_revision(manifest)
        self._progress.start("catalogs", None, "catalogs")
        written = tree.write(
            self._store_catalog, revision=revision, now=self._moment, ttl=self._repository.settings.ttl
        )
        self._progress.finish()
        summary.catalogs = written.catalogs
        request = self._request
        tags = revision_tags(
            self._repository, written.root, revision, now=self._now, message=request.message, name=request.tag
        )
        account = account_of(
            summary,
            revision=revision,
            root=written.root,
            now=self._moment,
            author=request.author,
            message=request.message,
            reason=request.reason,
        )
        return NextRevision(written.root, revision, self._moment, tags, account)

    def _store_catalog(self, data: bytes) -> Digest:
        self._progress.advance()
        return self._repository.store_database(data, ObjectKind.CATALOG, self._store)

    def _remember(self, manifest: Manifest) -> None:
        if self._dry_run:
            return
        fingerprint = self._fingerprint
        if fingerprint is not None and fingerprint.newest_ns < self._began_ns - SETTLED_NANOSECONDS:
            self._index.note_made(fingerprint.digest, manifest.root_catalog)
        self._index.save()

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, *(note for tree in self._request.trees for note in tree.notes()), *self._door.notes())
