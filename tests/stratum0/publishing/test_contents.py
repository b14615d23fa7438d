"""Contents become objects: once, whole, and recognised when they come again; an error ends the work at once."""

from __future__ import annotations

import io
import os
import random
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from outcrop.cvmfs.chunking import ChunkLimits
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import InvalidValue, StorageError
from outcrop.storage.faulty import FaultyStore, fail_at
from outcrop.storage.interface import WritableStore
from outcrop.storage.memory import MemoryStore
from outcrop.stratum0.publishing.compressors import compressor
from outcrop.stratum0.publishing.content_index import SETTLED_NANOSECONDS, ContentIndex, FileIdentity, StoredContent
from outcrop.stratum0.publishing.contents import BATCH_FILES, ContentResult, ContentWriter
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import content, entries, published_tree

LIMITS = ChunkLimits(1000, 2000, 4000)
"""Chunks of some kilobytes: what takes 16 MiB in life."""


def new_index() -> ContentIndex:
    return ContentIndex(None, "", Algorithm.SHA1, Compression.ZLIB)


@contextmanager
def writing(store: WritableStore, index: ContentIndex | None = None) -> Iterator[ContentWriter]:
    with ContentWriter(
        store,
        algorithm=Algorithm.SHA1,
        compress=compressor("zlib"),
        compression=Compression.ZLIB,
        limits=LIMITS,
        index=index or new_index(),
        workers=2,
    ) as writer:
        yield writer


def plain(store: MemoryStore, stored: StoredContent) -> bytes:
    """The bytes of a content, each object checked against its name."""
    if stored.digest is not None:
        names = [ObjectName(stored.digest, ObjectKind.FILE)]
    else:
        names = [ObjectName(chunk.digest, ObjectKind.CHUNK) for chunk in stored.chunks]
    pieces = []
    for name in names:
        data = store.objects[name.path]
        assert Digest.of(data) == name.digest
        pieces.append(zlib.decompress(data))
    assert [len(piece) for piece in pieces] == ([chunk.size for chunk in stored.chunks] or [stored.size])
    return b"".join(pieces)


def identified(path: Path) -> FileIdentity:
    return FileIdentity.of(path.stat())


def written(directory: Path, name: str, data: bytes, *, settled: bool = True) -> Path:
    """A file; a settled one is as old as to be remembered."""
    path = directory / name
    path.write_bytes(data)
    if settled:
        wait = path.stat().st_ctime_ns + SETTLED_NANOSECONDS - time.time_ns()
        time.sleep(max(0, wait) / 1e9 + 0.01)
    return path


def take(store: WritableStore, index: ContentIndex, *paths: Path) -> list[StoredContent]:
    """Stores files as one publication does, and saves what was learned."""
    with writing(store, index) as writer:
        results = [writer.add_file(os.fsencode(path), identified(path)) for path in paths]
        contents = [result.value for result in results]
    index.save()
    return contents


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 4001, 30_000])
def test_a_content_reads_back(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    path = written(tmp_path, "f", data, settled=False)
    store = MemoryStore()
    with writing(store) as writer:
        results = [writer.add_file(os.fsencode(path), identified(path)), writer.add_stream(io.BytesIO(data), size)]
    assert results[0].value == results[1].value
    assert plain(store, results[0].value) == data
    assert bool(results[0].value.chunks) == (size > 4000)


def test_many_small_contents_read_back_in_their_order() -> None:
    store = MemoryStore()
    contents = [b"%d" % (number % 100) for number in range(3 * BATCH_FILES + 5)]
    with writing(store) as writer:
        results = [writer.add_stream(io.BytesIO(data), len(data)) for data in contents]
        assert plain(store, results[7].value) == contents[7], "a value may be asked for while others come in"
    assert [plain(store, result.value) for result in results] == contents
    assert len(store.objects) == 100


@pytest.mark.parametrize("moment", ["flush", "shutdown"])
def test_an_interruption_at_the_end_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """A thread that goes on would use an index that is closed."""
    begun, go_on = threading.Event(), threading.Event()

    class SlowStore(MemoryStore):
        def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
            begun.set()
            assert go_on.wait(20)
            return super().write(name, data)

    owner = ContentWriter if moment == "flush" else ThreadPoolExecutor
    real = getattr(owner, moment)
    calls = 0

    def interrupted_once(self: object, *arguments: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            go_on.set()
            raise KeyboardInterrupt
        real(self, *arguments, **named)

    store = SlowStore()

    def store_something() -> None:
        with writing(store) as writer:
            for number in range(20):
                writer.add_stream(io.BytesIO(bytes(10_000 + number)), 10_000 + number)
            assert begun.wait(20)
            monkeypatch.setattr(owner, moment, interrupted_once)

    with pytest.raises(KeyboardInterrupt):
        store_something()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("contents")]


def test_a_content_that_is_cut_short_is_told() -> None:
    for size in (10, 30_000):
        with pytest.raises(EOFError, match="1 bytes of a member are missing"), writing(MemoryStore()) as writer:
            writer.add_stream(io.BytesIO(bytes(size - 1)), size)


@pytest.mark.parametrize("size", [10, 30_000])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, size: int, change: int) -> None:
    path = written(tmp_path, "f", bytes(size), settled=False)
    before = identified(path)
    path.write_bytes(bytes(size + change))
    with pytest.raises(InvalidValue, match="changed while it was read") as refused, writing(MemoryStore()) as writer:
        _ = writer.add_file(os.fsencode(path), before).value
    assert str(path) in refused.value.message


@pytest.mark.parametrize("size", [10, 30_000])
def test_a_file_that_is_gone_is_named(tmp_path: Path, size: int) -> None:
    path = written(tmp_path, "f", bytes(size), settled=False)
    before = identified(path)
    path.unlink()
    with pytest.raises(StorageError, match=r"f does not exist"), writing(MemoryStore()) as writer:
        _ = writer.add_file(os.fsencode(path), before).value


@pytest.mark.fault
@pytest.mark.parametrize("size", [10, 30_000])
def test_a_full_disk_ends_the_work(size: int) -> None:
    full = StorageError(what="the disk", problem="is full")
    store = FaultyStore(MemoryStore(), fail_at(3, full, frozenset({"write"})))
    taken: list[ContentResult] = []

    def take_all() -> None:
        with writing(store) as writer:
            for number in range(100_000):
                data = random.Random(number).randbytes(size)
                taken.append(writer.add_stream(io.BytesIO(data), size))

    with pytest.raises(StorageError, match="is full"):
        take_all()
    assert len(taken) < 50_000


# --- what was stored before


class Counted(MemoryStore):
    """A store that counts how often it was written to."""

    writes = 0

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        self.writes += 1
        return super().write(name, data)


@pytest.mark.parametrize("size", [10, 30_000])
class TestRecognised:
    def test_an_unchanged_file_is_not_even_opened(self, tmp_path: Path, size: int) -> None:
        path = written(tmp_path, "f", random.Random(1).randbytes(size))
        store, index = Counted(), new_index()
        (first,) = take(store, index, path)
        writes = store.writes
        before = identified(path)
        path.unlink()
        with writing(store, index) as writer:
            again = writer.add_file(os.fsencode(path), before).value
        assert again == first
        assert store.writes == writes

    def test_other_bytes_with_the_old_times_are_noticed(self, tmp_path: Path, size: int) -> None:
        path = written(tmp_path, "f", random.Random(1).randbytes(size))
        store, index = MemoryStore(), new_index()
        take(store, index, path)
        before = path.stat()
        other = random.Random(2).randbytes(size)
        with path.open("r+b") as file:
            file.write(other)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert plain(store, take(store, index, path)[0]) == other

    def test_a_file_that_just_changed_is_not_remembered(self, tmp_path: Path, size: int) -> None:
        path = written(tmp_path, "f", random.Random(1).randbytes(size), settled=False)
        store, index = MemoryStore(), new_index()
        take(store, index, path)
        assert index.files([identified(path)]) == [None]

    def test_an_object_that_is_gone_is_stored_again(self, tmp_path: Path, size: int) -> None:
        data = random.Random(1).randbytes(size)
        path = written(tmp_path, "f", data)
        store, index = MemoryStore(), new_index()
        take(store, index, path)
        for gone in list(store.objects):
            objects = dict(store.objects)
            del store.objects[gone]
            assert plain(store, take(store, index, path)[0]) == data
            assert store.objects == objects

    def test_a_copy_is_read_and_not_compressed_again(self, tmp_path: Path, size: int) -> None:
        data = random.Random(1).randbytes(size)
        store, index = Counted(), new_index()
        first = take(store, index, written(tmp_path, "f", data, settled=False))
        writes = store.writes
        assert take(store, index, written(tmp_path, "copy", data, settled=False)) == first
        assert store.writes == writes


# --- whole publications


def tree_of(directory: Path, size: int = 10) -> Path:
    directory.mkdir()
    for number in range(3):
        written(directory, f"f{number}", random.Random(number).randbytes(size), settled=number == 2)
    return directory


def test_a_dry_run_remembers_nothing(publisher: Publisher, tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree")
    request = IngestRequest(trees=(DirectoryTree(tree),))
    objects = set(publisher.repository.store.names())
    assert not publisher.publish(request, dry_run=True).published
    assert set(publisher.repository.store.names()) == objects
    assert publisher.publish(request).published
    store = publisher.repository.store
    published = published_tree(store)
    for path, entry in entries(store).items():
        assert content(store, published, path, entry) == (tree / os.fsdecode(path[1:])).read_bytes()


def test_a_refused_change_does_no_harm_to_the_next(publisher: Publisher, tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree")
    (tree / "su").touch()
    (tree / "su").chmod(0o4755)
    with pytest.raises(InvalidValue, match="set-user-ID"):
        publisher.publish(IngestRequest(trees=(DirectoryTree(tree),)))
    (tree / "su").unlink()
    assert publisher.publish(IngestRequest(trees=(DirectoryTree(tree),))).summary.added == 3


@pytest.mark.parametrize(
    "other",
    [{"compressor": "none"}, {"minimum_chunk_size": 4096, "average_chunk_size": 8192, "maximum_chunk_size": 9000}],
)
def test_other_settings_store_anew(publisher: Publisher, tmp_path: Path, other: dict[str, object]) -> None:
    tree = tree_of(tmp_path / "tree", 30_000)
    request = IngestRequest(trees=(DirectoryTree(tree),))
    publisher.publish(request)
    store = publisher.repository.store
    before = {entry.digest for entry in entries(store).values()}
    changed = msgspec.structs.replace(publisher.repository.settings, **other)
    publisher.repository = replace(publisher.repository, settings=changed)
    assert publisher.publish(request).summary.changed == 3
    published = published_tree(store)
    assert before.isdisjoint(entry.digest for entry in entries(store).values())
    for path, entry in entries(store).items():
        assert content(store, published, path, entry) == (tree / os.fsdecode(path[1:])).read_bytes()
    assert not publisher.publish(request).published


def test_a_damaged_index_is_no_obstacle(publisher: Publisher, tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree")
    request = IngestRequest(trees=(DirectoryTree(tree),))
    publisher.publish(request)
    (index,) = publisher.directory.glob("*.contents")
    data = bytearray(index.read_bytes())
    data[len(data) // 3 :] = b"\xff" * (len(data) - len(data) // 3)
    index.write_bytes(data)
    (tree / "new").touch()
    assert publisher.publish(request).summary.added == 1
    (tree / "newer").touch()
    assert publisher.publish(request).summary.added == 1
