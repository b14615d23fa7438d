"""The revisions of a repository, from the newest back.

What a revision did is in its account (`outcrop.cvmfs.revision_account`). Where there is none, since another tool
published the revision, the chain of root catalogs and the descriptions of tags tell what they can. Accounts and tags
go on where the chain ends because old catalogs were collected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.cvmfs.catalog import Catalog, CatalogProperties, CatalogReference
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import RESERVED_NAMES, History, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.revision_account import RevisionAccount
from outcrop.errors import NotFound
from outcrop.stratum0.repository import OwnedRepository


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """One revision: its number, root catalog, time of publishing (seconds since 1970), tags, author, message, reason.

    `account` is what was written down when it was published, None if nothing was.
    """

    revision: Revision
    root_catalog: Digest
    published_at: int
    tags: tuple[str, ...] = ()
    author: str = ""
    message: str = ""
    reason: str = ""
    account: RevisionAccount | None = None


@dataclass(frozen=True, slots=True)
class TreeTotals:
    """How many entries the tree of a revision has, and how many bytes its files."""

    entries: int
    bytes: int


def revisions(repository: OwnedRepository, manifest: Manifest) -> Iterator[RevisionRecord]:
    """Every revision that is known, from the newest back. Root catalogs are read only where no account tells enough."""
    chronicle = _chronicle(repository, manifest)
    revision, root = manifest.revision, manifest.root_catalog
    while True:
        account = chronicle.account(revision, root)
        before = Revision(revision - 1)
        properties = None
        if account is None or before not in chronicle.roots:
            properties = _root_properties(repository, root)
        yield chronicle.record(revision, root, account, properties, manifest)
        following = chronicle.roots.get(before)
        if following is not None:
            revision, root = before, following
            continue
        previous = properties.previous_revision if properties is not None else None
        earlier = _root_properties(repository, previous) if previous is not None else None
        if previous is not None and earlier is not None and earlier.revision < revision:
            revision, root = Revision(earlier.revision), previous
            continue
        older = [known for known in chronicle.roots if known < revision]
        if not older:
            return
        revision = max(older)
        root = chronicle.roots[revision]


def tree_totals(repository: OwnedRepository, record: RevisionRecord) -> TreeTotals | None:
    """The size of the tree of `record`; None if its root catalog is gone."""
    if not _exists(repository, record.root_catalog):
        return None
    with _root_catalog(repository, record.root_catalog) as catalog:
        total = catalog.counters.total
    return TreeTotals(total.entries - total.nested, total.file_size)


def root_reference(repository: OwnedRepository, record: RevisionRecord) -> CatalogReference:
    """Where the tree of `record` begins; NotFound if it was collected."""
    if not _exists(repository, record.root_catalog):
        raise NotFound(
            what=f"the tree of revision {record.revision} of {repository.name}",
            hint="its catalogs were collected; revisions with a tag of their own are kept: "
            f"`outcrop repo tag {repository.name}` lists them",
        )
    return CatalogReference(ROOT, record.root_catalog, len(repository.load_catalog(record.root_catalog)))


def record_of_root(repository: OwnedRepository, digest: Digest) -> RevisionRecord | None:
    """The revision whose root catalog is the object `digest`; None if there is no such object, or no root catalog."""
    properties = _root_properties(repository, digest)
    if properties is None or properties.root_prefix != ROOT:
        return None
    return RevisionRecord(Revision(properties.revision), digest, properties.last_modified)


@dataclass(frozen=True, slots=True)
class _Chronicle:
    """What the history says. `roots` are the root catalogs of the revisions that it names."""

    tags: Mapping[Digest, list[Tag]]
    accounts: Mapping[Revision, RevisionAccount]
    roots: Mapping[Revision, Digest]

    def account(self, revision: Revision, root: Digest) -> RevisionAccount | None:
        account = self.accounts.get(revision)
        # The chain that the manifest begins is what was published, whatever stands beside it.
        return account if account is not None and account.root_catalog == root else None

    def record(
        self,
        revision: Revision,
        root: Digest,
        account: RevisionAccount | None,
        properties: CatalogProperties | None,
        manifest: Manifest,
    ) -> RevisionRecord:
        tags = self.tags.get(root, [])
        names = tuple(tag.name for tag in tags if tag.name not in RESERVED_NAMES)
        if account is not None:
            return RevisionRecord(
                revision, root, account.timestamp, names, account.author, account.message, account.reason, account
            )
        described = (tag.description for tag in tags if tag.description and tag.name not in RESERVED_NAMES)
        if properties is not None:
            published_at = properties.last_modified
        elif tags:
            published_at = min(tag.timestamp for tag in tags)
        else:
            published_at = manifest.published_at or 0
        return RevisionRecord(revision, root, published_at, names, message=next(described, ""))


def _chronicle(repository: OwnedRepository, manifest: Manifest) -> _Chronicle:
    if manifest.history is None:
        return _Chronicle({}, {}, {})
    with History.parse(repository.load_database(manifest.history, ObjectKind.HISTORY)) as history:
        tags, accounts = history.tags(), history.accounts()
    by_root: dict[Digest, list[Tag]] = {}
    for tag in tags:
        by_root.setdefault(tag.root_catalog, []).append(tag)
    roots = {Revision(tag.revision): tag.root_catalog for tag in tags}
    roots |= {account.revision: account.root_catalog for account in accounts}
    return _Chronicle(by_root, {account.revision: account for account in accounts}, roots)


def _exists(repository: OwnedRepository, digest: Digest) -> bool:
    return repository.store.exists(ObjectName(digest, ObjectKind.CATALOG).path)


def _root_catalog(repository: OwnedRepository, digest: Digest) -> Catalog:
    return Catalog.parse(repository.load_catalog(digest), f"the root catalog {digest}")


def _root_properties(repository: OwnedRepository, digest: Digest) -> CatalogProperties | None:
    """What the catalog `digest` says of itself; None if it is gone."""
    if not _exists(repository, digest):
        return None
    with _root_catalog(repository, digest) as catalog:
        return catalog.properties
