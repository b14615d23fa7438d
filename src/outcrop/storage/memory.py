"""Objects in memory, for tests and for looking at a repository before it is stored anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from outcrop.errors import NotFound, StorageError
from outcrop.storage.interface import DEFAULT_READ_LIMIT, Fetched, ReadableStore, Wanted
from outcrop.storage.one_by_one import fetched_one_by_one


class MemoryStore:
    """A store that ends with the process."""

    def __init__(self, address: str = "memory") -> None:
        self.address = address
        self.objects: dict[str, bytes] = {}

    @property
    def writers(self) -> int:
        return 1

    @property
    def is_shareable(self) -> bool:
        return False

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        data = self._object(name)
        if len(data) > limit:
            raise StorageError(what=f"{self.address}/{name}", problem=f"is larger than {limit} bytes")
        return data

    def _object(self, name: str) -> bytes:
        if name not in self.objects:
            raise NotFound(what=f"{self.address}/{name}")
        return self.objects[name]

    def exists(self, name: str) -> bool:
        return name in self.objects

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        return fetched_one_by_one(self._object, wanted)

    def close(self) -> None:
        """Nothing is held."""

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        if name in self.objects:
            return False
        self.objects[name] = bytes(data)
        return True

    def replace(self, name: str, data: bytes) -> None:
        self.objects[name] = data

    def remove(self, name: str) -> None:
        self.objects.pop(name, None)

    def names(self) -> Iterator[str]:
        yield from [name for name in self.objects if name.startswith("data/")]

    def sync(self) -> None:
        """Memory is as durable as it gets."""

    def discard_leftovers(self) -> int:
        return 0


class DiscardingStore(MemoryStore):
    """Takes everything in and keeps nothing: for working out what a change to `store` would do."""

    def __init__(self, store: ReadableStore) -> None:
        super().__init__(store.address)
        self._store = store

    def exists(self, name: str) -> bool:
        return self._store.exists(name)

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Nothing is kept."""
