"""Trees to publish that are put together: one at its place in a larger tree, and links that lie nowhere yet."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors
from outcrop.stratum0.publishing.fingerprint import TreeFingerprint
from outcrop.stratum0.publishing.incoming import Attributes, Incoming
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree

_DIRECTORY_MODE = stat.S_IFDIR | 0o755
_LINK_MODE = stat.S_IFLNK | 0o777


@dataclass(frozen=True, slots=True)
class PlacedTree:
    """`tree` at the path `at` of a larger one. Of what leads there, and of its top where that is there already, nothing
    is said. `mtime`, in seconds since 1970, is that of directories that have to be made."""

    tree: DirectoryTree
    at: RepositoryPath
    mtime: int

    @property
    def address(self) -> str:
        return self.tree.address

    def notes(self) -> list[str]:
        return self.tree.notes()

    def fingerprint(self) -> TreeFingerprint:
        """What tells that nothing in the tree has changed."""
        found = self.tree.fingerprint()
        return TreeFingerprint(hashlib.blake2b(found.digest + self.at, digest_size=32).digest(), found.newest_ns)

    def entries(self) -> Iterator[Incoming]:
        for path in ancestors(self.at):
            yield Incoming(path, Attributes(_DIRECTORY_MODE, self.mtime), implied=True)
        for one in self.tree.entries():
            link_to = RepositoryPath(self.at + one.link_to) if one.link_to is not None else None
            path = RepositoryPath(self.at + one.path)
            yield one._replace(path=path, link_to=link_to, implied=one.implied or one.path == ROOT)


@dataclass(frozen=True, slots=True)
class LinkTree:
    """Symbolic links by their paths, in directories of which nothing is said. `mtime` is in seconds since 1970."""

    links: Mapping[RepositoryPath, bytes]
    mtime: int
    address: str

    def notes(self) -> list[str]:
        return []

    def entries(self) -> Iterator[Incoming]:
        leading = sorted({directory for path in self.links for directory in ancestors(path)})
        for directory in leading:
            yield Incoming(directory, Attributes(_DIRECTORY_MODE, self.mtime), implied=True)
        for path, target in sorted(self.links.items()):
            yield Incoming(path, Attributes(_LINK_MODE, self.mtime), symlink=target)
