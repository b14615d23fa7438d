"""Sets of object keys too large for memory: 256 shards by the first byte of the digest, in an unnamed temporary file.

Tens of millions of objects take 21 bytes each on disk, a few megabytes of buffers, and one shard at a time in memory.
The file has no name, so nothing is left of it however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from outcrop.cvmfs.object_keys import KEY_BYTES, ObjectKey
from outcrop.errors import storage_error

SHARDS = 256
"""Digests are evenly spread: with 50 million objects a shard has 200,000, some 20 MB as a Python set."""

BUFFER_BYTES = 3072 * KEY_BYTES
"""What one shard gathers before it is written: 16 MB for all of them together."""

COMPACTION_BYTES = 64 * 1024 * 1024
"""How far the file grows beyond twice its distinct keys before repeated ones are taken out.

Successive versions of one catalog name mostly the same objects, so that there are many times more keys than objects."""


class ObjectSet:
    """Object keys on disk, in `directory` or where the system keeps temporary files. Close it, or use it in `with`.

    Raises StorageError where that disk is full."""

    def __init__(self, directory: Path | None = None, *, compaction_bytes: int = COMPACTION_BYTES) -> None:
        self._directory = directory
        self._slack = self._compact_at = compaction_bytes
        self._buffers = [bytearray() for _ in range(SHARDS)]
        self._file = _ShardFile(directory)

    def __enter__(self) -> ObjectSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def bytes_on_disk(self) -> int:
        """How much of the disk is taken, apart from what a compaction takes while it lasts."""
        return self._file.size

    def update(self, keys: Iterable[ObjectKey]) -> None:
        """Takes in all `keys`."""
        buffers = self._buffers
        for key in keys:
            buffer = buffers[key[0]]
            buffer += key
            if len(buffer) >= BUFFER_BYTES:
                self._file.append(key[0], bytes(buffer))
                buffer.clear()
                if self._file.size >= self._compact_at:
                    self._compact()

    def add(self, key: ObjectKey) -> None:
        """Takes in one key."""
        self.update((key,))

    def shard(self, number: int) -> set[ObjectKey]:
        """The distinct keys whose first byte is `number`."""
        data = self._file.read(number) + self._buffers[number]
        return {ObjectKey(data[begin : begin + KEY_BYTES]) for begin in range(0, len(data), KEY_BYTES)}

    def shards(self) -> Iterator[set[ObjectKey]]:
        """All distinct keys, a shard at a time, in the order of their first bytes."""
        return map(self.shard, range(SHARDS))

    def _compact(self) -> None:
        """Writes every key once into a new file; the next time comes when that has doubled."""
        compact = _ShardFile(self._directory)
        try:
            for number, keys in enumerate(self.shards()):
                compact.append(number, b"".join(keys))
                self._buffers[number].clear()
        except BaseException:
            compact.close()
            raise
        self._file.close()
        self._file = compact
        self._compact_at = 2 * compact.size + self._slack


class _ShardFile:
    """An unnamed file of blocks, each of one shard. `size` is how many bytes it has."""

    def __init__(self, directory: Path | None) -> None:
        self.size = 0
        self._blocks: list[list[tuple[int, int]]] = [[] for _ in range(SHARDS)]
        with _file_errors():
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 (closed by `close`)

    def append(self, number: int, data: bytes) -> None:
        """Adds `data` to the shard `number`."""
        self._blocks[number].append((self.size, len(data)))
        rest = memoryview(data)
        with _file_errors():
            while rest:
                written = os.pwrite(self._file.fileno(), rest, self.size)
                self.size += written
                rest = rest[written:]

    def read(self, number: int) -> bytes:
        """All data of the shard `number`."""
        with _file_errors():
            return b"".join(os.pread(self._file.fileno(), size, begin) for begin, size in self._blocks[number])

    def close(self) -> None:
        self._file.close()


@contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, "the temporary file for object names") from error
