"""From contents to objects: cut into chunks, compress, digest and store, on every core.

The digest is over the bytes as stored. The encoders and digests let go of the interpreter's lock, so threads do the
work. Small files are handed over many at a time, large ones chunk by chunk; what waits in memory is bounded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from outcrop.cvmfs.chunking import ByteSource, ChunkLimits, split
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import InvalidValue, storage_error
from outcrop.storage.interface import WritableStore
from outcrop.stratum0.compressors import Compress

BATCH_BYTES = 4 * 1024 * 1024
BATCH_FILES = 128
"""What one hand-over holds: more made the cores wait for each other at the end, less cost switching."""

WAITING_BYTES = 128 * 1024 * 1024
"""How much uncompressed content may wait for a core: eight of the largest chunks."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A file's bytes, stored. Either `digest` names its one object or `chunks` hold its pieces. `size` in bytes."""

    size: int
    compression: Compression
    digest: Digest | None
    chunks: tuple[Chunk, ...] = ()


class ContentResult:
    """What becomes of one file's content; known once the writer was closed or `value` was asked for."""

    def __init__(self, resolve: Callable[[], StoredContent]) -> None:
        self._resolve = resolve
        self._value: StoredContent | None = None

    @property
    def value(self) -> StoredContent:
        if self._value is None:
            self._value = self._resolve()
        return self._value


class ContentWriter:
    """Stores contents with several threads. Use as a context manager; leaving it waits for all of them."""

    def __init__(
        self,
        store: WritableStore,
        *,
        algorithm: Algorithm,
        compress: Compress,
        compression: Compression,
        limits: ChunkLimits,
        workers: int | None = None,
    ) -> None:
        self._store = store
        self._algorithm = algorithm
        self._compress = compress
        self._compression = compression
        self._limits = limits
        self._pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, "contents")
        self._waiting = _Budget(WAITING_BYTES)
        self._failure: BaseException | None = None
        self._batch: list[tuple[bytes, int]] = []
        self._batch_bytes = 0
        self._batch_future: Future[list[StoredContent]] = Future()

    def __enter__(self) -> ContentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def add_file(self, path: bytes, size: int) -> ContentResult:
        """Stores the file at `path`, which should have `size` bytes and must not change while it is read.

        Raises what went wrong with an earlier content, so that a full disk ends the work at once."""
        self._raise_failure()
        if size > self._limits.minimum:
            with _OpenedFile(path) as source:
                result = self.add_stream(source)
            if result.value_size() != size:
                raise _changed(path)
            return result
        index = len(self._batch)
        self._batch.append((path, size))
        self._batch_bytes += size
        future = self._batch_future
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_FILES:
            self.flush()
        return ContentResult(lambda: future.result()[index])

    def add_stream(self, source: ByteSource) -> StreamResult:
        """Stores what `source` gives, read before this returns. Raises what went wrong with an earlier content."""
        self._raise_failure()
        futures: list[tuple[int, Future[Digest]]] = []
        pieces = iter(split(source, self._limits))
        first = next(pieces)
        second = next(pieces, None)
        if second is None:
            return StreamResult(self._compression, [(len(first), self._submit(first, ObjectKind.FILE))])
        for piece in (first, second):
            futures.append((len(piece), self._submit(piece, ObjectKind.CHUNK)))
        del first, second
        for piece in pieces:
            futures.append((len(piece), self._submit(piece, ObjectKind.CHUNK)))
        return StreamResult(self._compression, futures)

    def flush(self) -> None:
        """Hands the waiting small files over."""
        batch, future = self._batch, self._batch_future
        if batch:
            self._batch, self._batch_bytes, self._batch_future = [], 0, Future()
            self._pool.submit(_settle, future, lambda: [self._store_small(path, size) for path, size in batch])

    def _submit(self, data: bytes, kind: ObjectKind) -> Future[Digest]:
        self._waiting.take(len(data))

        def work() -> Digest:
            try:
                return self._store_object(data, kind)
            finally:
                self._waiting.give(len(data))

        return self._pool.submit(work)

    def _store_small(self, path: bytes, size: int) -> StoredContent:
        with _OpenedFile(path) as source:
            data = source.read(size + 1)
        if len(data) != size:
            raise _changed(path)
        return StoredContent(size, self._compression, self._store_object(data, ObjectKind.FILE))

    def _store_object(self, data: bytes, kind: ObjectKind) -> Digest:
        try:
            stored = self._compress(data)
            digest = Digest.of(stored, self._algorithm)
            self._store.write(ObjectName(digest, kind).path, stored)
        except BaseException as error:
            self._failure = self._failure or error
            raise
        return digest

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class StreamResult(ContentResult):
    """A content whose pieces are on their way into the store."""

    def __init__(self, compression: Compression, pieces: Sequence[tuple[int, Future[Digest]]]) -> None:
        super().__init__(self._joined)
        self._compression = compression
        self._pieces = pieces

    def value_size(self) -> int:
        """The size of the content in bytes, known at once."""
        return sum(size for size, _ in self._pieces)

    def _joined(self) -> StoredContent:
        if len(self._pieces) == 1:
            size, future = self._pieces[0]
            return StoredContent(size, self._compression, future.result())
        chunks = []
        offset = 0
        for size, future in self._pieces:
            chunks.append(Chunk(offset, size, future.result()))
            offset += size
        return StoredContent(offset, self._compression, None, tuple(chunks))


class _Budget:
    """Lets producers wait while too much is under way. A single piece may exceed the whole budget."""

    def __init__(self, amount: int) -> None:
        self._amount = self._left = amount
        self._changed = threading.Condition()

    def take(self, amount: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._left >= min(amount, self._amount))
            self._left -= amount

    def give(self, amount: int) -> None:
        with self._changed:
            self._left += amount
            self._changed.notify_all()


def _settle(future: Future[list[StoredContent]], work: Callable[[], list[StoredContent]]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


class _OpenedFile:
    """The file at `path`, opened for reading without a buffer of ours; errors are told as StorageError."""

    def __init__(self, path: bytes) -> None:
        self._path = path

    def __enter__(self) -> _OpenedFile:
        try:
            self._file = open(self._path, "rb", buffering=0)
        except OSError as error:
            raise storage_error(error, _shown(self._path)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""
        pieces = []
        try:
            while size > 0 and (piece := self._file.read(size)):
                pieces.append(piece)
                size -= len(piece)
        except OSError as error:
            raise storage_error(error, _shown(self._path)) from error
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]


def _shown(path: bytes) -> str:
    return os.fsdecode(path)


def _changed(path: bytes) -> InvalidValue:
    return InvalidValue(
        what=f"the file {_shown(path)}",
        problem="changed while it was read",
        hint="publish a tree that nobody writes to; nothing was published",
    )
