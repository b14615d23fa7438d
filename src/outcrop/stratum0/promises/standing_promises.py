"""What a repository owes its users while one publication is under way: its policy, and the notices of its revision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.promises.keeping import require_promises_kept
from outcrop.stratum0.promises.notice_edits import EditNotices
from outcrop.stratum0.promises.policy import load_policy
from outcrop.stratum0.promises.published_notices import StoreText, TextWriter, load_notices, update_notices
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.repository import OwnedRepository


class StandingPromises:
    """The promises of `repository` as of the revision of `manifest`, for a publication at `now`.

    `tree` is that revision, open for change and unchanged yet. `close` when all is said.
    """

    def __init__(self, repository: OwnedRepository, manifest: Manifest, tree: CatalogTree, now: datetime) -> None:
        self._repository = repository
        self._now = now
        self._notices = load_notices(repository, tree)
        self._policy = load_policy(repository.keys.directory, repository.name)
        self._before = _PublishedRevision(lambda: repository.catalog_tree(manifest))

    def update_notices(
        self, tree: CatalogTree, changes: ChangeSummary, edit: EditNotices | None, store: StoreText
    ) -> None:
        """Writes into `tree`, to which `changes` were made, what `edit` makes of the notices, and leaves stubs for what
        was due and is gone. `store` stores their contents."""
        update_notices(
            self._before,
            tree,
            self._notices,
            edit,
            TextWriter(tree, changes, store, int(self._now.timestamp())),
            repository=self._repository.name,
            now=self._now,
        )

    def require_kept(self, changes: ChangeSummary, reason: str) -> None:
        """Returns if `changes` keep every promise, or may break it for `reason`; InvalidValue otherwise."""
        require_promises_kept(
            self._before,
            changes.changes,
            self._policy,
            self._notices,
            repository=self._repository.name,
            reason=reason,
            now=self._now,
        )

    def close(self) -> None:
        self._before.close()


class _PublishedRevision:
    """A revision as it was published, while another view of it is changed. Opened when it is first looked into."""

    def __init__(self, open_tree: Callable[[], CatalogTree]) -> None:
        self._open_tree = open_tree
        self._tree: CatalogTree | None = None

    def lookup(self, path: RepositoryPath) -> Entry | None:
        """The entry at `path`."""
        return self._opened().lookup(path)

    def children(self, path: RepositoryPath) -> list[Entry]:
        """The entries directly in the directory `path`."""
        return self._opened().children(path)

    def close(self) -> None:
        if self._tree is not None:
            self._tree.close()

    def _opened(self) -> CatalogTree:
        if self._tree is None:
            self._tree = self._open_tree()
        return self._tree
