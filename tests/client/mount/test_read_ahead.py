"""What is fetched before anybody asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.client.contents import Piece
from outcrop.client.mount import protocol
from outcrop.client.mount.filesystem import FileSystem, Later, Reader
from outcrop.client.mount.inodes import Nodes
from outcrop.client.mount.protocol import InitFlag, Opcode
from outcrop.client.mount.read_ahead import LARGEST_BYTES, MAXIMUM_WAITING, READY_BYTES, READY_FILE_BYTES, ReadAhead
from outcrop.client.mount.requests import Request
from outcrop.cvmfs.digest import Digest
from tests.client.mount.fake_kernel import read_body
from tests.client.mount.fake_tree import FakeTree
from tests.client.mount.test_inodes import child


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    tree = FakeTree(tmp_path)
    tree.network.set()
    for directory in range(20):
        for number in range(10):
            entry = tree.put_file(b"/d%02d/f%d" % (directory, number), b"%d.%d" % (directory, number))
            assert entry.digest is not None
            tree.remote.add(entry.digest)
    return tree


def number(nodes: Nodes, path: bytes) -> int:
    node = protocol.ROOT_NODE
    for name in path.split(b"/")[1:]:
        node = child(nodes, node, name)
    return node


class Asking:
    """Reads files of a file system whose read-ahead works at once."""

    def __init__(self, tree: FakeTree, submit: Callable[[Callable[[], None]], object] = lambda work: work()) -> None:
        self.tree = tree
        self.file_system = FileSystem(tree, submit=submit)
        self._read = self.file_system.handlers(InitFlag(0))[Opcode.READ]
        self._reader = Reader(4, self.file_system.activity.new_tally())

    def read(self, path: bytes) -> bool:
        """Reads a file; whether it had to be waited for."""
        node, body = number(self.file_system.nodes, path), memoryview(read_body(0, 4096))
        answer = self.file_system.ready(node, body) or self._read(node, body, self._reader)
        self.file_system.prepare(node)
        if isinstance(answer, Later):
            answer.prepare()
            assert bytes(answer.answer()) == self.content(path)  # type: ignore[arg-type]
            return True
        assert bytes(answer) == self.content(path)  # type: ignore[arg-type]
        return False

    def content(self, path: bytes) -> bytes:
        digest = self.tree.entries[path].digest
        assert digest is not None
        return (self.tree.directory / digest.text).read_bytes()


def ahead(tree: FakeTree) -> list[bytes]:
    paths = {entry.digest: path for path, entry in tree.entries.items()}
    return [paths[digest] for digest in tree.fetched_ahead]


def test_a_walk_waits_for_few_files_only(tree: FakeTree) -> None:
    asking = Asking(tree)
    waited = [path for path in sorted(tree.entries) if path.count(b"/") == 2 and asking.read(path)]
    assert waited == [b"/d00/f0", b"/d01/f0"]
    assert len(tree.fetched_ahead) == len(set(tree.fetched_ahead)) == 198


def test_a_walk_goes_across_kinds(tree: FakeTree) -> None:
    for number in range(30):
        entry = tree.put_file(b"/mixed/f%02d.%d" % (number, number % 5), b"mixed %d" % number)
        assert entry.digest is not None
        tree.remote.add(entry.digest)
    asking = Asking(tree)
    waited = [path for path in sorted(tree.entries) if path.startswith(b"/mixed/") and asking.read(path)]
    assert waited == [b"/mixed/f00.0", b"/mixed/f01.1"]


def test_one_file_brings_only_its_kind_behind_it(tree: FakeTree) -> None:
    tree.put_file(b"/d03/f5.txt", b"another kind")
    Asking(tree).read(b"/d03/f4")
    assert ahead(tree) == [b"/d03/f5", b"/d03/f6", b"/d03/f7", b"/d03/f8", b"/d03/f9"]


def test_some_files_at_random_bring_their_directory(tree: FakeTree) -> None:
    tree.put_file(b"/d19/f5.txt", b"another kind")
    asking = Asking(tree)
    for name in (b"f8", b"f6"):
        asking.read(b"/d19/" + name)
    tree.fetched_ahead.clear()
    asking.read(b"/d19/f2")
    assert set(ahead(tree)) == {b"/d19/f%d" % one for one in range(10)} - {b"/d19/f2"}
    assert not asking.read(b"/d19/f0")


def test_large_files_are_not_guessed(tree: FakeTree) -> None:
    entry = tree.put_file(b"/d05/f1x", bytes(LARGEST_BYTES + 1))
    assert entry.digest is not None
    tree.remote.add(entry.digest)
    Asking(tree).read(b"/d05/f1")
    assert b"/d05/f1x" not in ahead(tree)


def test_the_next_chunk_comes_with_the_one_that_is_read(tree: FakeTree) -> None:
    tree.put_chunked(b"/c", [b"0123", b"4567", b"89ab"])
    chunks = [piece.object.digest for piece in tree.layouts[b"/c"]]
    tree.remote |= set(chunks)
    asking = Asking(tree)
    handler = asking.file_system.handlers(InitFlag(0))[Opcode.READ]
    reader = Reader(4, asking.file_system.activity.new_tally())
    handler(number(asking.file_system.nodes, b"/c"), memoryview(read_body(0, 4)), reader)
    assert tree.fetched_ahead == [chunks[1]]


def test_a_line_that_lags_behind_is_not_asked_for_more(tree: FakeTree) -> None:
    waiting: list[Callable[[], None]] = []
    asking = Asking(tree, waiting.append)
    for directory in range(20):
        asking.read(b"/d%02d/f0" % directory)
    assert len(waiting) == MAXIMUM_WAITING


def test_a_guess_that_fails_is_nobodys_error(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    directory = nodes.directory(number(nodes, b"/d00"))
    tree.broken = True
    ReadAhead(nodes, lambda work: work()).missed(number(nodes, b"/d00/f0"), directory, 0)
    assert Digest.of(b"0.1") in tree.remote
    assert os.listdir(tree.directory)


class CountingTree(FakeTree):
    """Notes which objects of its cache are opened."""

    def open_cached(self, piece: Piece) -> int | None:
        opened.append(piece.object.digest)
        return super().open_cached(piece)


opened: list[Digest] = []


@pytest.fixture
def cached(tree: FakeTree) -> FakeTree:
    opened.clear()
    tree.remote.clear()
    return CountingTree(tree.directory, entries=tree.entries)


def test_a_walk_through_the_cache_finds_files_ready(cached: FakeTree) -> None:
    asking = Asking(cached)
    files = [path for path in sorted(cached.entries) if path.count(b"/") == 2]
    for path in files:
        asking.read(path)
    # Nothing is opened twice, and nothing is left behind.
    assert len(opened) == len(set(opened)) == len(files)
    assert cached.fetched_ahead == []
    nodes = asking.file_system.nodes
    ahead = asking.file_system._ahead
    assert not any(ahead.ready(number(nodes, path), 0, 1) for path in files)


def test_readers_at_random_bring_nothing_from_the_cache(cached: FakeTree) -> None:
    asking = Asking(cached)
    for path in (b"/d07/f3", b"/d02/f9", b"/d07/f5", b"/d07/f1", b"/d19/f0"):
        asking.read(path)
    assert len(opened) == 5


def test_a_file_that_is_ready_is_read_in_any_pieces(cached: FakeTree) -> None:
    content = os.urandom(10_000)
    for name in (b"/w/a", b"/w/b", b"/w/c"):
        cached.put_file(name, name)
    cached.put_file(b"/w/d", content)
    asking = Asking(cached)
    for name in (b"/w/a", b"/w/b", b"/w/c"):
        asking.read(name)
    node = number(asking.file_system.nodes, b"/w/d")
    ahead = asking.file_system._ahead
    found = b"".join(bytes(ahead.ready(node, offset, 4096) or b"") for offset in range(0, 10_000, 4096))
    assert found == content
    assert ahead.ready(node, 0, 4096) is None


def test_who_waits_for_a_file_is_not_lost_whatever_goes_wrong(
    cached: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(cached)
    ahead, nodes = asking.file_system._ahead, asking.file_system.nodes
    for name in (b"/d00/f0", b"/d00/f1"):
        asking.read(name)
    request = Request(Opcode.READ, 1, number(nodes, b"/d00/f3"), 1, memoryview(read_body(0, 4096)))

    def asked_for_and_broken(_piece: Piece, _into: memoryview) -> None:
        assert ahead.comes(request)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(cached, "read_cached", asked_for_and_broken)
    assert ahead.ready(number(nodes, b"/d00/f2"), 0, 4096)
    assert list(ahead.prepare(number(nodes, b"/d00/f2"))) == [request]


def test_what_is_ready_has_a_limit(cached: FakeTree) -> None:
    count = 2 * READY_BYTES // READY_FILE_BYTES
    for place in range(count):
        cached.put_file(b"/w/f%04d" % place, b"%d" % place * (READY_FILE_BYTES // 8))
    nodes = Nodes(cached)
    ahead = ReadAhead(nodes, lambda work: work())
    directory = nodes.directory(number(nodes, b"/w"))
    for index in range(count):
        piece = directory.whole_file(index)
        assert piece is not None
        assert ahead._make_ready(directory.number(index), piece)
    kept = [len(ahead.ready(directory.number(index), 0, 1 << 20) or b"") for index in range(count)]
    assert 0 < sum(kept) <= READY_BYTES
    assert kept[-1] > 0
    assert ahead._ready_bytes == 0


def test_a_file_that_is_damaged_is_never_ready(cached: FakeTree) -> None:
    entry = cached.entries[b"/d00/f5"]
    assert entry.digest is not None
    (cached.directory / entry.digest.text).write_bytes(b"0")
    asking = Asking(cached)
    for name in (b"f0", b"f1", b"f2", b"f3", b"f4"):
        asking.read(b"/d00/" + name)
    assert asking.file_system._ahead.ready(number(asking.file_system.nodes, b"/d00/f5"), 0, 10) is None
