"""How the tests open repositories: with directories of their own and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from outcrop.client.address import RepositoryAddress
from outcrop.client.cache import Cache
from outcrop.client.contents import Contents
from outcrop.client.repository import CURRENT, ClientSettings, OpenRepository, RevisionChoice, open_repository
from outcrop.client.tree import Tree
from outcrop.cvmfs.names import RepositoryName
from outcrop.storage.interface import ReadableStore
from outcrop.storage.memory import MemoryStore
from tests.client.published import NAME, NOW, Published, keys


@dataclass
class Reader:
    """A machine that reads repositories. It has a cache and a memory of what it saw below `directory`."""

    directory: Path
    now: datetime = NOW
    told: list[str] = field(default_factory=list)
    cache: Path | None = None

    @property
    def settings(self) -> ClientSettings:
        return ClientSettings(
            cache=self.cache,
            cache_directory=self.directory / "cache",
            state_directory=self.directory / "state",
            now=lambda: self.now,
        )

    @property
    def key(self) -> Path:
        path = self.directory / "books.example.org.pub"
        self.directory.mkdir(exist_ok=True)
        path.write_bytes(keys().public_pem)
        return path

    def open(
        self,
        *servers: str | Path,
        name: RepositoryName = NAME,
        key: Path | None = None,
        choice: RevisionChoice = CURRENT,
        external: Sequence[str] = (),
    ) -> OpenRepository:
        """The repository on the first of `servers` that can be trusted."""
        address = RepositoryAddress(name, tuple(map(str, servers)), (key or self.key,), tuple(external))
        return open_repository(address, self.settings, choice, self.told.append)

    def objects(self) -> list[Path]:
        """What is in the cache."""
        return sorted((self.directory / "cache" / "objects").glob("??/*"))


def store_of(published: Published) -> MemoryStore:
    """What was published, in memory."""
    store = MemoryStore()
    store.objects.update(published.files)
    return store


def contents_of(*stores: ReadableStore, cache: Path, told: list[str] | None = None) -> Contents:
    """Contents from `stores` by way of a cache in the directory `cache`."""
    tell = (told if told is not None else []).append
    return Contents(stores, [Cache.create(cache, tell=tell)], tell=tell)


@contextmanager
def tree_of(published: Published, cache: Path) -> Iterator[tuple[Tree, Contents]]:
    """The tree of what was published, trusted unseen."""
    assert published.root is not None
    contents = contents_of(store_of(published), cache=cache)
    tree = Tree(contents, published.root, published.name)
    try:
        yield tree, contents
    finally:
        tree.close()
        contents.close()
