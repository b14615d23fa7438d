"""What every place for objects offers.

A name is relative to the repository's address: `.cvmfspublished`, `data/ab/cd…`. Reading is separate from writing,
since most places can only be read. Nothing here knows what an object holds; digests are checked by whoever asks.

Errors: NotFound for a name that is not there, NetworkError for a server that does not answer as it should,
StorageError for a disk that refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from outcrop.errors import OutcropError

PIECE_BYTES = 1024 * 1024
"""How much of a large object is in memory at once."""

DEFAULT_READ_LIMIT = 256 * 1024 * 1024
"""The largest object that `read` takes into memory: four times the largest catalog of the reference's limits."""


class Sink(Protocol):
    """Takes in the bytes of one object, in order."""

    def write(self, piece: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object to fetch: its name, and where its bytes go. An error that `sink` raises ends this fetch alone."""

    name: str
    sink: Sink


@dataclass(frozen=True, slots=True)
class Fetched:
    """How the fetch of `wanted` ended: `error` is None when all its bytes went into the sink."""

    wanted: Wanted
    error: OutcropError | None = None


class ReadableStore(Protocol):
    """A place that objects are read from."""

    @property
    def address(self) -> str:
        """What people call this place: a path or a URL."""

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        """The whole object; an error if it has more than `limit` bytes."""

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        """Fetches many objects, several at once where that helps, and tells of each as it ends, in any order."""

    def close(self) -> None:
        """Lets go of connections and files."""


class WritableStore(ReadableStore, Protocol):
    """A place that objects are published to."""

    @property
    def writers(self) -> int:
        """How many threads should write at once: one for each core, more where each waits for a server."""

    @property
    def is_shareable(self) -> bool:
        """Whether another process that gets this object pickled writes to the same place, and should."""

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        """Stores an object that never changes, whole or not at all; False if it was there already."""

    def replace(self, name: str, data: bytes) -> None:
        """Stores `data` under a name whose content changes; readers see the old bytes or the new ones, never a mix.

        When this returns, the new bytes are durable."""

    def remove(self, name: str) -> None:
        """Takes an object away; one that is not there is no error."""

    def names(self) -> Iterator[str]:
        """The names of all objects below `data/`, in no order."""

    def sync(self) -> None:
        """Makes everything durable that was written before."""

    def discard_leftovers(self) -> int:
        """Takes away what an interrupted writer left; the caller must be the only writer. Returns how many files."""
