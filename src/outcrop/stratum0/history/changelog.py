"""The changelog: which revisions are told, and what each of them did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.history import TRUNK
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below
from outcrop.cvmfs.revision_account import ChangeLine, RevisionAccount
from outcrop.errors import NotFound
from outcrop.stratum0.history.log import RevisionRecord, TreeTotals, revisions, tree_totals
from outcrop.stratum0.history.revision_diff import revision_differences
from outcrop.stratum0.history.revision_names import moment, named_revision
from outcrop.stratum0.publishing.account import account_of, summary_of
from outcrop.stratum0.repository import OwnedRepository


@dataclass(frozen=True, slots=True)
class Selection:
    """Which revisions are told: the newest `count` of those after `since` and not after `until` that touch `path`.

    `since` and `until` are dates, or revisions as `revision_names` says. A day of `since` begins, one of `until` ends;
    the revision `since` itself is not told. None stands for no limit.
    """

    since: str | None = None
    until: str | None = None
    path: RepositoryPath = ROOT
    count: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedRevision:
    """A revision in the changelog. `account` is None where nobody knows what it did, `totals` where its tree is gone.

    `changes` are the lines of the account that touch the path of the selection.
    """

    record: RevisionRecord
    account: RevisionAccount | None
    totals: TreeTotals | None
    changes: tuple[ChangeLine, ...] = ()


def changelog(
    repository: OwnedRepository, manifest: Manifest, selection: Selection, *, compare: bool = False
) -> Iterator[LoggedRevision]:
    """The revisions that `selection` speaks of, the newest first.

    What an account says of whole directories does not tell whether a path in them was touched. Then the catalogs are
    asked; where they were collected, the revision is told.

    A revision without an account is compared with the one before it where a path is given, or with `compare`; where
    their catalogs were collected, nobody knows what it did, and a path leaves it out.
    """
    return islice(_selected(repository, manifest, selection, compare), selection.count)


def _selected(
    repository: OwnedRepository, manifest: Manifest, selection: Selection, compare: bool
) -> Iterator[LoggedRevision]:
    is_after = _after(repository, manifest, selection.since)
    is_within = _until(repository, manifest, selection.until)
    records: Iterator[RevisionRecord | None] = chain(revisions(repository, manifest), [None])
    for record, previous in pairwise(records):
        if record is None or not is_after(record):
            return
        if not is_within(record):
            continue
        account = record.account
        if account is None and previous is not None and (compare or selection.path != ROOT):
            account = _compared(repository, record, previous)
        changes = tuple(line for line in account.changes if line.touches(selection.path)) if account else ()
        if changes and not _is_touched(repository, selection.path, changes, record, previous):
            continue
        if changes or selection.path == ROOT:
            yield LoggedRevision(record, account, tree_totals(repository, record), changes)


def _is_touched(
    repository: OwnedRepository,
    path: RepositoryPath,
    changes: Iterable[ChangeLine],
    record: RevisionRecord,
    previous: RevisionRecord | None,
) -> bool:
    """Whether `record` changed something at or below `path`, of which `changes` speak."""
    if path == ROOT or previous is None or any(is_below(line.path, path) for line in changes):
        return True
    try:
        return any(True for _ in revision_differences(repository, previous, record, below=path))
    except NotFound:
        return True


def _compared(repository: OwnedRepository, record: RevisionRecord, previous: RevisionRecord) -> RevisionAccount | None:
    """What `record` did to `previous`, as its account would say; None if some of their catalogs are gone."""
    try:
        summary = summary_of(revision_differences(repository, previous, record))
    except NotFound:
        return None
    return account_of(
        summary,
        revision=record.revision,
        root=CatalogReference(ROOT, record.root_catalog, 0),
        now=record.published_at,
        author=record.author,
        message=record.message,
    )


Bound = Callable[[RevisionRecord], bool]


def _after(repository: OwnedRepository, manifest: Manifest, text: str | None) -> Bound:
    if text is None:
        return lambda record: True
    earliest = _date(repository, manifest, text, ends_day=False)
    if earliest is not None:
        return lambda record: record.published_at >= earliest
    since = named_revision(repository, manifest, text).revision
    return lambda record: record.revision > since


def _until(repository: OwnedRepository, manifest: Manifest, text: str | None) -> Bound:
    latest = _date(repository, manifest, text or TRUNK, ends_day=True)
    if latest is not None:
        return lambda record: record.published_at <= latest
    until = named_revision(repository, manifest, text or TRUNK).revision
    return lambda record: record.revision <= until


def _date(repository: OwnedRepository, manifest: Manifest, text: str, *, ends_day: bool) -> int | None:
    """The moment that `text` means, with or without `@`; None for a number, and for a tag that looks like a date."""
    if text.isdigit() or any(tag.name == text for tag in repository.tags(manifest)):
        return None
    return moment(text.removeprefix("@"), ends_day=ends_day)
