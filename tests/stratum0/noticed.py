"""What tests of promises and notices are made of: revisions that are lists of paths, and notices for them."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from datetime import UTC, date, datetime

from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.notices import Notice
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, name, parent, repository_path

GIVEN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
"""When the notices of these tests are given."""


class DictionaryTree:
    """A revision with empty files at the given paths. `read` are the directories that somebody looked into."""

    def __init__(self, files: Iterable[str]) -> None:
        paths = {repository_path(file) for file in files}
        self._directories = {directory for path in paths for directory in ancestors(path)} | {ROOT}
        self._paths = paths | self._directories
        self.read: list[RepositoryPath] = []

    def lookup(self, path: RepositoryPath) -> Entry | None:
        if path not in self._paths:
            return None
        return Entry(name(path), stat.S_IFDIR | 0o755 if path in self._directories else stat.S_IFREG | 0o644)

    def children(self, path: RepositoryPath) -> list[Entry]:
        self.read.append(path)
        found = [self.lookup(one) for one in self._paths if one != ROOT and parent(one) == path]
        return [entry for entry in found if entry is not None]


def notice(path: str, on: date, **more: object) -> Notice:
    return Notice(repository_path(path), on, GIVEN, **more)  # type: ignore[arg-type]
