"""From contents to objects: cut into chunks, compress, digest and store, on every core.

The digest is over the bytes as stored. The encoders and digests let go of the interpreter's lock, so threads do the
work. Small files are handed over many at a time, large ones chunk by chunk; what waits in memory is bounded.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from outcrop.cvmfs.chunking import ByteSource, ChunkLimits, split
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import InvalidValue, storage_error
from outcrop.storage.interface import WritableStore
from outcrop.stratum0.publishing.compressors import Compress
from outcrop.stratum0.publishing.content_index import ContentIndex, FileIdentity, StoredContent, raw_digest

BATCH_BYTES = 4 * 1024 * 1024
BATCH_FILES = 128
"""What one hand-over holds: more made the cores wait for each other at the end, less cost switching."""

WAITING_BYTES = 128 * 1024 * 1024
"""How much uncompressed content may wait for a core: eight of the largest chunks."""


Result = TypeVar("Result")


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


@dataclass(frozen=True, slots=True)
class _SmallFile:
    """A file of at most one chunk: where it lies, or its bytes where they have been read."""

    size: int
    path: bytes = b""
    identity: FileIdentity | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        if self.data is not None:
            return self.data
        with _OpenedFile(self.path) as source:
            data = source.read(self.size + 1)
        if len(data) != self.size:
            raise _changed(self.path)
        return data


class ContentWriter:
    """Stores contents with several threads, or on a single core with none. Use as a context manager; leaving it waits
    for all of them.

    What `index` knows is neither read nor compressed again, as long as the store still has it."""

    def __init__(
        self,
        store: WritableStore,
        *,
        algorithm: Algorithm,
        compress: Compress,
        compression: Compression,
        limits: ChunkLimits,
        index: ContentIndex,
        workers: int | None = None,
    ) -> None:
        self._store = store
        self._algorithm = algorithm
        self._compress = compress
        self._compression = compression
        self._limits = limits
        self._index = index
        self._pool = _executor(workers or store.writers)
        self._waiting = _Budget(WAITING_BYTES)
        self._began = time.time_ns()
        self._failure: BaseException | None = None
        self._batch: list[_SmallFile] = []
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

    def add_file(self, path: bytes, identity: FileIdentity) -> ContentResult:
        """Stores the file at `path`, which must not change while it is read.

        Raises what went wrong with an earlier content, so that a full disk ends the work at once."""
        self._raise_failure()
        if identity.size <= self._limits.minimum:
            return self._add_small(_SmallFile(identity.size, path, identity))
        (known,) = self._index.files([identity])
        if known is not None and self._is_there(known):
            return ContentResult(lambda: known)
        with _OpenedFile(path) as source:
            result = self._add_large(source)
        if result.size != identity.size:
            raise _changed(path)

        def resolve() -> StoredContent:
            content = result.value
            self._remember([(identity, content)])
            return content

        return ContentResult(resolve)

    def add_stream(self, source: ByteSource, size: int) -> ContentResult:
        """Stores the `size` bytes that `source` gives, read before this returns; EOFError if there are fewer.

        Raises what went wrong with an earlier content."""
        self._raise_failure()
        if size <= self._limits.minimum:
            data = source.read(size)
            if len(data) != size:
                raise EOFError(f"{size - len(data)} bytes of a member are missing")
            return self._add_small(_SmallFile(size, data=data))
        result = self._add_large(source)
        if result.size != size:
            raise EOFError(f"{size - result.size} bytes of a member are missing")
        return result

    def _add_small(self, file: _SmallFile) -> ContentResult:
        index, future = len(self._batch), self._batch_future
        self._batch.append(file)
        self._batch_bytes += file.size
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_FILES:
            self.flush()

        def resolve() -> StoredContent:
            if future is self._batch_future:
                self.flush()
            return future.result()[index]

        return ContentResult(resolve)

    def _add_large(self, source: ByteSource) -> LargeResult:
        pieces = iter(split(source, self._limits))
        first = next(pieces)
        second = next(pieces, None)
        if second is None:
            return LargeResult(self._compression, [(len(first), self._submit(first, ObjectKind.FILE))])
        futures = [(len(piece), self._submit(piece, ObjectKind.CHUNK)) for piece in (first, second)]
        del first, second
        futures += [(len(piece), self._submit(piece, ObjectKind.CHUNK)) for piece in pieces]
        return LargeResult(self._compression, futures)

    def flush(self) -> None:
        """Hands the waiting small files over."""
        batch, size, future = self._batch, self._batch_bytes, self._batch_future
        if batch:
            self._batch, self._batch_bytes, self._batch_future = [], 0, Future()
            self._waiting.take(size)

            def work() -> None:
                try:
                    future.set_result(self._store_batch(batch))
                except BaseException as error:
                    self._failure = self._failure or error
                    future.set_exception(error)
                finally:
                    self._waiting.give(size)

            self._pool.submit(work)

    def _submit(self, data: bytes, kind: ObjectKind) -> Future[Digest]:
        self._waiting.take(len(data))

        def work() -> Digest:
            try:
                return self._store_contents([data], kind)[0]
            except BaseException as error:
                self._failure = self._failure or error
                raise
            finally:
                self._waiting.give(len(data))

        return self._pool.submit(work)

    def _store_batch(self, batch: Sequence[_SmallFile]) -> list[StoredContent]:
        contents = self._known(batch)
        unknown = [position for position, content in enumerate(contents) if content is None]
        digests = self._store_contents([batch[position].read() for position in unknown], ObjectKind.FILE)
        new = []
        for position, digest in zip(unknown, digests, strict=True):
            file = batch[position]
            contents[position] = content = StoredContent(file.size, self._compression, digest)
            if file.identity is not None:
                new.append((file.identity, content))
        self._remember(new)
        return [content for content in contents if content is not None]

    def _remember(self, files: Sequence[tuple[FileIdentity, StoredContent]]) -> None:
        self._index.note_files((identity, content) for identity, content in files if identity.is_settled(self._began))

    def _known(self, batch: Sequence[_SmallFile]) -> list[StoredContent | None]:
        identities = [file.identity for file in batch if file.identity is not None]
        if len(identities) < len(batch):
            return [None] * len(batch)
        known = self._index.files(identities)
        return [content if content is not None and self._is_there(content) else None for content in known]

    def _is_there(self, content: StoredContent) -> bool:
        if content.digest is not None:
            return self._store.exists(ObjectName(content.digest, ObjectKind.FILE).path)
        return all(self._store.exists(ObjectName(chunk.digest, ObjectKind.CHUNK).path) for chunk in content.chunks)

    def _store_contents(self, contents: Sequence[bytes], kind: ObjectKind) -> list[Digest]:
        """Stores plain bytes as objects, unless the store has them already."""
        raws = [raw_digest(data) for data in contents]
        known = dict(zip(raws, self._index.contents(raws, kind), strict=True))
        new: dict[bytes, Digest] = {}
        digests = []
        for raw, data in zip(raws, contents, strict=True):
            digest = new.get(raw) or known[raw]
            if digest is None or (raw not in new and not self._store.exists(ObjectName(digest, kind).path)):
                digest = self._store_object(data, kind)
                new[raw] = digest
            digests.append(digest)
        self._index.note_contents(new.items(), kind)
        return digests

    def _store_object(self, data: bytes, kind: ObjectKind) -> Digest:
        stored = self._compress(data)
        digest = Digest.of(stored, self._algorithm)
        self._store.write(ObjectName(digest, kind).path, stored)
        return digest

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class LargeResult(ContentResult):
    """A content whose pieces are on their way into the store."""

    def __init__(self, compression: Compression, pieces: Sequence[tuple[int, Future[Digest]]]) -> None:
        super().__init__(self._joined)
        self._compression = compression
        self._pieces = pieces

    @property
    def size(self) -> int:
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


class _AtOnce(Executor):
    """Does what it is given before it answers: on a single core a second thread would only take turns with the first,
    and so the steps of a publish always come in the same order."""

    def submit(self, work: Callable[..., Result], /, *args: object, **named: object) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(work(*args, **named))
        except BaseException as error:
            future.set_exception(error)
        return future


def _executor(workers: int) -> Executor:
    return ThreadPoolExecutor(workers, "contents") if workers > 1 else _AtOnce()


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
