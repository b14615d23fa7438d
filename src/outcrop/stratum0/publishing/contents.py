"""Contents of files on their way into the store: cut into chunks, made objects of on every core.

Small files are handed over many at a time, large ones chunk by chunk; what waits in memory is bounded. A publication of
some size gets processes that make the objects (`object_process`). Equal contents have equal sizes, so each process gets
its own sizes: it is the one that sees them all, and stores each content once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from outcrop.cvmfs.chunking import ByteSource, ChunkLimits, split
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.encoders import Compress
from outcrop.cvmfs.entry import Chunk
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.storage.interface import WritableStore
from outcrop.stratum0.publishing.content_index import ContentIndex, FileIdentity, StoredContent
from outcrop.stratum0.publishing.object_maker import ObjectMaker, OpenedFile, PlainBytes, changed_while_read
from outcrop.stratum0.publishing.object_process import ObjectProcess, started_processes

BATCH_BYTES = 4 * 1024 * 1024
BATCH_FILES = 128
"""What one hand-over holds: more made the cores wait for each other at the end, less cost switching."""

WAITING_BYTES = 128 * 1024 * 1024
"""How much uncompressed content may wait for a core: eight of the largest chunks."""

ALONE_BYTES = 8 * 1024 * 1024
ALONE_FILES = 512
"""What is done before processes are started: each takes half a second's work of its own before it does any."""

MAXIMUM_PROCESSES = 6
"""More would wait for the one that reads the tree, and each takes up to 80 MB."""


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
    """A file of at most one chunk: its bytes, and which file it is where that is known."""

    source: PlainBytes
    identity: FileIdentity | None = None


class _Lane:
    """Small files that wait to be handed over together, and who makes objects of them."""

    def __init__(self, maker: ObjectMaker | ObjectProcess, pool: Executor) -> None:
        self.maker = maker
        self.pool = pool
        self.batch: list[_SmallFile] = []
        self.batch_bytes = 0
        self.future: Future[list[StoredContent]] = Future()

    def close(self, *, cancel: bool) -> None:
        """Waits until nothing is under way. An interruption throws away what has not begun, and waits for the rest:
        what threads of ours use is about to be closed."""
        try:
            self.pool.shutdown(wait=True, cancel_futures=cancel)
        except BaseException:
            self.pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            if isinstance(self.maker, ObjectProcess):
                self.maker.close()


class ContentWriter:
    """Stores contents with several threads or processes, or on a single core with none. Use as a context manager;
    leaving it waits for all of them.

    What `index` knows is neither read nor compressed again, as long as the store still has it. Processes take over
    after `alone_bytes` or `alone_files`, where the store can be written to from several (`WritableStore.is_shareable`).
    """

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
        alone_bytes: int = ALONE_BYTES,
        alone_files: int = ALONE_FILES,
    ) -> None:
        self._store = store
        self._algorithm = algorithm
        self._compression = compression
        self._limits = limits
        self._index = index
        self._workers = workers or store.writers
        self._alone_bytes = alone_bytes
        self._alone_files = alone_files
        self._maker = ObjectMaker(store, index, algorithm, compress)
        first = _Lane(self._maker, _executor(self._workers))
        self._all_lanes = [first]
        self._lanes = [first]
        self._waiting = _Budget(WAITING_BYTES)
        self._began = time.time_ns()
        self._failure: BaseException | None = None

    def __enter__(self) -> ContentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_failing = kind is not None
        try:
            if not is_failing:
                self.flush()
        except BaseException:
            is_failing = True
            raise
        finally:
            with ExitStack() as closing:
                for lane in self._all_lanes:
                    closing.callback(lane.close, cancel=is_failing)

    def add_file(self, path: bytes, identity: FileIdentity) -> ContentResult:
        """Stores the file at `path`, which must not change while it is read.

        Raises what went wrong with an earlier content, so that a full disk ends the work at once."""
        self._raise_failure()
        if identity.size <= self._limits.minimum:
            return self._add_small(_SmallFile(PlainBytes(identity.size, path), identity))
        (known,) = self._index.files([identity])
        if known is not None and self._is_there(known):
            return ContentResult(lambda: known)
        with OpenedFile(path) as source:
            result = self._add_large(source)
        if result.size != identity.size:
            raise changed_while_read(path)

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
            return self._add_small(_SmallFile(PlainBytes(size, data=data)))
        result = self._add_large(source)
        if result.size != size:
            raise EOFError(f"{size - result.size} bytes of a member are missing")
        return result

    def _add_small(self, file: _SmallFile) -> ContentResult:
        lane = self._lane(file.source.size)
        index, future = len(lane.batch), lane.future
        lane.batch.append(file)
        lane.batch_bytes += file.source.size
        if lane.batch_bytes >= BATCH_BYTES or len(lane.batch) >= BATCH_FILES:
            self._hand_over(lane)

        def resolve() -> StoredContent:
            if future is lane.future:
                self._hand_over(lane)
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

    def _lane(self, size: int) -> _Lane:
        """Who takes a content of `size` bytes."""
        return self._lanes[size % len(self._lanes)]

    def _count(self, size: int, files: int) -> None:
        """Notes that this much was handed over: soon it may be worth the start of processes."""
        self._alone_bytes -= size
        self._alone_files -= files
        if self._alone_bytes < 0 or self._alone_files < 0:
            self._alone_bytes = self._alone_files = sys.maxsize
            if self._store.is_shareable:
                processes = started_processes(self._maker, min(self._workers, MAXIMUM_PROCESSES))
                lanes = [_Lane(process, ThreadPoolExecutor(1, "contents")) for process in processes]
                self._lanes = lanes or self._lanes
                self._all_lanes += lanes

    def flush(self) -> None:
        """Hands the waiting small files over."""
        for lane in list(self._all_lanes):
            self._hand_over(lane)

    def _hand_over(self, lane: _Lane) -> None:
        batch, size, future = lane.batch, lane.batch_bytes, lane.future
        if not batch:
            return
        lane.batch, lane.batch_bytes, lane.future = [], 0, Future()
        self._waiting.take(size)

        def work() -> None:
            try:
                future.set_result(self._store_batch(lane.maker, batch))
            except BaseException as error:
                self._failure = self._failure or error
                future.set_exception(error)
            finally:
                self._waiting.give(size)

        lane.pool.submit(work)
        self._count(size, len(batch))

    def _submit(self, data: bytes, kind: ObjectKind) -> Future[Digest]:
        lane = self._lane(len(data))
        self._waiting.take(len(data))

        def work() -> Digest:
            try:
                return self._make(lane.maker, [PlainBytes(len(data), data=data)], kind)[0]
            except BaseException as error:
                self._failure = self._failure or error
                raise
            finally:
                self._waiting.give(len(data))

        future = lane.pool.submit(work)
        self._count(len(data), 0)
        return future

    def _store_batch(self, maker: ObjectMaker | ObjectProcess, batch: Sequence[_SmallFile]) -> list[StoredContent]:
        contents = self._known(batch)
        unknown = [position for position, content in enumerate(contents) if content is None]
        digests = self._make(maker, [batch[position].source for position in unknown], ObjectKind.FILE)
        new = []
        for position, digest in zip(unknown, digests, strict=True):
            file = batch[position]
            contents[position] = content = StoredContent(file.source.size, self._compression, digest)
            if file.identity is not None:
                new.append((file.identity, content))
        self._remember(new)
        return [content for content in contents if content is not None]

    def _make(
        self, maker: ObjectMaker | ObjectProcess, sources: Sequence[PlainBytes], kind: ObjectKind
    ) -> list[Digest]:
        if not sources:
            return []
        made = maker.make(sources, kind)
        if maker is not self._maker:
            self._index.note_contents(made.new, kind)
        return [Digest(self._algorithm, raw) for raw in made.digests]

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
