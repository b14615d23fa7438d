"""A store that fails on purpose, around one that works: for showing what a writer or reader does then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from outcrop.errors import OutcropError
from outcrop.storage.interface import DEFAULT_READ_LIMIT, Fetched, Wanted, WritableStore
from outcrop.storage.one_by_one import fetched_one_by_one

Fault = Callable[[str, str], OutcropError | None]
"""Asked before each operation with its name (`read`, `write`, …) and the object's; an error it returns is raised."""

Tamper = Callable[[str, bytes], bytes]
"""What a lying store makes of an object's bytes."""


def fail_at(call: int, error: OutcropError, operations: frozenset[str] = frozenset()) -> Fault:
    """Fails the `call`-th operation (counted from 1), among `operations` or among all."""
    seen = 0

    def fault(operation: str, _name: str) -> OutcropError | None:
        nonlocal seen
        if operations and operation not in operations:
            return None
        seen += 1
        return error if seen == call else None

    return fault


class FaultyStore:
    """`store`, with `fault` asked before each operation and `tamper` changing what is read."""

    def __init__(self, store: WritableStore, fault: Fault | None = None, tamper: Tamper | None = None) -> None:
        self.store = store
        self.fault = fault or (lambda _operation, _name: None)
        self.tamper = tamper or (lambda _name, data: data)

    def _ask(self, operation: str, name: str = "") -> None:
        error = self.fault(operation, name)
        if error is not None:
            raise error

    @property
    def writers(self) -> int:
        return self.store.writers

    @property
    def is_shareable(self) -> bool:
        return False

    @property
    def address(self) -> str:
        return self.store.address

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        self._ask("read", name)
        return self.tamper(name, self.store.read(name, limit=limit))

    def exists(self, name: str) -> bool:
        self._ask("exists", name)
        return self.store.exists(name)

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        return fetched_one_by_one(self.read, wanted)

    def close(self) -> None:
        self.store.close()

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        self._ask("write", name)
        return self.store.write(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self._ask("replace", name)
        self.store.replace(name, data)

    def remove(self, name: str) -> None:
        self._ask("remove", name)
        self.store.remove(name)

    def names(self) -> Iterator[str]:
        self._ask("names")
        return self.store.names()

    def sync(self) -> None:
        self._ask("sync")
        self.store.sync()

    def discard_leftovers(self) -> int:
        self._ask("discard_leftovers")
        return self.store.discard_leftovers()
