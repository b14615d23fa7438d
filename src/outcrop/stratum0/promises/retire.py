"""Retiring something: announce it, take it back, or carry out what is due. Each publishes one revision.

Whoever else takes a path away that is due leaves the same stub and the same note: `outcrop.stratum0.publishing.ingest`
sees to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from outcrop.cvmfs.notices import Notice, Notices
from outcrop.cvmfs.paths import RepositoryPath, shown
from outcrop.progress import SILENT, Progress
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.promises.notice_edits import announced, due_paths, successor_doubts, withdrawn
from outcrop.stratum0.promises.published_notices import load_notices
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository


@dataclass(frozen=True, slots=True)
class Publication:
    """How a retirement is published: `author` and `reason` go into the log; a `dry_run` computes everything and stores
    nothing. `allow_expiring` lets a whitelist that has expired, or soon will, be no obstacle."""

    now: datetime
    author: str = ""
    dry_run: bool = False
    progress: Progress = SILENT
    reason: str = ""
    allow_expiring: bool = False

    def publish(self, repository: OwnedRepository, request: IngestRequest) -> IngestOutcome:
        request = replace(
            request,
            author=self.author,
            reason=request.reason or self.reason,
            allow_expiring=self.allow_expiring,
        )
        return ingest(repository, request, now=self.now, dry_run=self.dry_run, progress=self.progress)


@dataclass(frozen=True, slots=True)
class NoticedRevision:
    """A revision and its notices."""

    tree: CatalogTree
    notices: Notices


@contextmanager
def current_revision(repository: OwnedRepository) -> Iterator[NoticedRevision]:
    """The revision that readers see, for the block."""
    tree = repository.catalog_tree(repository.manifest(repository.signing_key()))
    try:
        yield NoticedRevision(tree, load_notices(repository, tree))
    finally:
        tree.close()


def doubts(repository: OwnedRepository, notice: Notice) -> tuple[str, ...]:
    """What the publisher of `notice` should look at once more, as far as the current revision tells."""
    with current_revision(repository) as current:
        return successor_doubts(current.tree, current.notices, notice)


def announce(repository: OwnedRepository, notice: Notice, how: Publication) -> IngestOutcome:
    """Publishes `notice`; errors as `notice_edits.announced` has them."""
    request = IngestRequest(
        edit_notices=lambda tree, notices: announced(tree, notices, notice, how.now),
        message=f"Retire {shown(notice.path)} on {notice.on}" + (f": {notice.message}" if notice.message else ""),
    )
    return how.publish(repository, request)


def withdraw(repository: OwnedRepository, path: RepositoryPath, reason: str, how: Publication) -> IngestOutcome:
    """Takes the notice for `path` back, and publishes the reason; errors as `notice_edits.withdrawn` has them."""
    request = IngestRequest(
        edit_notices=lambda _, notices: withdrawn(notices, path, reason),
        message=f"Withdraw the notice for {shown(path)}",
        reason=reason,
    )
    return how.publish(repository, request)


def retire_due(repository: OwnedRepository, how: Publication) -> IngestOutcome:
    """Takes everything away whose day has come, and leaves stubs. Publishes nothing if there is nothing."""
    with current_revision(repository) as current:
        paths = due_paths(current.tree, current.notices, how.now)
    message = "Retire " + (", ".join(shown(path) for path in paths) or "what was gone before its day")
    return how.publish(repository, IngestRequest(delete=paths, message=message))
