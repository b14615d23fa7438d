"""What the kernel is answered, message by message."""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from outcrop.client.contents import Piece
from outcrop.client.mount import protocol
from outcrop.client.mount.protocol import InitFlag, Opcode
from outcrop.client.mount.session import MAXIMUM_FETCHES, is_dying
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.xattrs import Xattrs
from tests.client.mount.fake_kernel import FakeKernel, conversation, read_body
from tests.client.mount.fake_tree import FakeTree


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    return FakeTree(tmp_path)


@pytest.fixture
def kernel(tree: FakeTree) -> Iterator[FakeKernel]:
    with conversation(tree) as kernel:
        yield kernel


def test_names_are_found_and_missing_ones_remembered(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put_file(b"/d/f", b"abc")
    node = kernel.lookup(b"/d/f")
    answer = kernel.ask(Opcode.GETATTR, node, bytes(16))
    assert answer.body[16:] == kernel.ask(Opcode.LOOKUP, kernel.lookup(b"/d"), b"f\0").body[40:]
    missing = kernel.ask(Opcode.LOOKUP, 1, b"missing\0")
    assert missing.errno == 0
    fields = protocol.ENTRY_OUT.unpack(missing.body)
    assert fields[0] == protocol.NO_NODE
    assert fields[2] == protocol.LONGEST


def test_dots_are_found_for_servers_of_nfs(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put_file(b"/d/f", b"")
    directory = kernel.lookup(b"/d")
    assert protocol.ENTRY_OUT.unpack(kernel.ask(Opcode.LOOKUP, directory, b".\0").body)[0] == directory
    assert protocol.ENTRY_OUT.unpack(kernel.ask(Opcode.LOOKUP, directory, b"..\0").body)[0] == protocol.ROOT_NODE


def test_a_file_is_no_directory(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put_file(b"/f", b"")
    node = kernel.lookup(b"/f")
    assert kernel.ask(Opcode.LOOKUP, node, b"x\0").errno == errno.ENOTDIR
    assert kernel.ask(Opcode.READDIRPLUS, node, read_body(0, 4096)).errno == errno.ENOTDIR


def test_numbers_that_were_never_given_are_stale(kernel: FakeKernel) -> None:
    assert kernel.ask(Opcode.GETATTR, 4711, bytes(16)).errno == errno.ESTALE


def test_links_lead_where_the_settings_say(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put_link(b"/l", b"$(A:-default)/x")
    tree.put_file(b"/f", b"")
    assert kernel.ask(Opcode.READLINK, kernel.lookup(b"/l")).body == b"default/x"
    assert kernel.ask(Opcode.READLINK, kernel.lookup(b"/f")).errno == errno.EINVAL


@pytest.mark.parametrize(("offset", "size"), [(0, 10), (0, 4096), (3, 4), (9, 10), (10, 10), (11, 5), (2**40, 1)])
def test_reading_gives_the_bytes_asked_for(tree: FakeTree, kernel: FakeKernel, offset: int, size: int) -> None:
    tree.put_file(b"/f", b"0123456789")
    node = kernel.lookup(b"/f")
    for _ in range(2):
        answer = kernel.read(node, offset, size)
        assert (answer.errno, answer.body) == (0, b"0123456789"[offset : offset + size])


@pytest.mark.parametrize(("offset", "size"), [(0, 100), (0, 4), (3, 2), (4, 4), (2, 9), (11, 1), (12, 5), (50, 5)])
@pytest.mark.parametrize("is_remote", [False, True])
def test_reading_goes_across_chunks(
    tree: FakeTree, kernel: FakeKernel, offset: int, size: int, is_remote: bool
) -> None:
    tree.put_chunked(b"/f", [b"0123", b"4567", b"89ab"])
    if is_remote:
        tree.remote |= {Digest.of(b"4567"), Digest.of(b"89ab")}
        tree.network.set()
    node = kernel.lookup(b"/f")
    answer = kernel.read(node, offset, size)
    assert (answer.errno, answer.body) == (0, b"0123456789ab"[offset : offset + size])


def test_more_files_than_may_be_open_are_read_in_turn(tree: FakeTree, kernel: FakeKernel) -> None:
    contents = {b"/f%d" % number: os.urandom(1000) for number in range(20)}
    for path, content in contents.items():
        tree.put_file(path, content)
    before = len(os.listdir("/proc/self/fd"))
    for offset in (0, 500):
        for path, content in contents.items():
            assert kernel.read(kernel.lookup(path), offset, 500).body == content[offset : offset + 500]
    assert len(os.listdir("/proc/self/fd")) - before <= 8


def test_a_cached_file_that_became_shorter_is_an_error_and_no_zeros(
    tree: FakeTree, kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    entry = tree.put_file(b"/f", b"0123456789")
    assert entry.digest is not None
    (tree.directory / entry.digest.text).write_bytes(b"0123")
    assert kernel.read(kernel.lookup(b"/f"), 0, 100).errno == errno.EIO
    assert "ends after 4 of 10 bytes" in caplog.text


def test_a_fetch_under_way_holds_up_nobody_else(tree: FakeTree, kernel: FakeKernel) -> None:
    slow = tree.put_file(b"/slow", b"slow")
    tree.put_file(b"/quick", b"quick")
    assert slow.digest is not None
    tree.remote.add(slow.digest)
    node = kernel.lookup(b"/slow")
    waiting = [kernel.send(Opcode.READ, node, read_body(0, 4)) for _ in range(2 * MAXIMUM_FETCHES)]
    assert kernel.read(kernel.lookup(b"/quick"), 0, 10).body == b"quick"
    assert kernel.ask(Opcode.STATFS).errno == 0
    tree.network.set()
    assert [kernel.receive(unique).body for unique in waiting] == [b"slow"] * len(waiting)
    assert tree.fetches == 1


def test_a_fetch_that_fails_is_an_error_with_a_line_in_the_log(
    tree: FakeTree, kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    entry = tree.put_file(b"/f", b"content")
    assert entry.digest is not None
    tree.remote.add(entry.digest)
    tree.broken = True
    tree.network.set()
    node = kernel.lookup(b"/f")
    assert kernel.read(node, 0, 10).errno == errno.EIO
    assert "http://localhost does not answer" in caplog.text
    tree.broken = False
    assert kernel.read(node, 0, 10).body == b"content"


def test_a_fault_of_ours_is_an_error_with_a_traceback(
    tree: FakeTree, kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    tree.put_file(b"/f", b"content")
    node = kernel.lookup(b"/f")
    tree.directory = Path("\0")
    assert kernel.read(node, 0, 10).errno == errno.EIO
    assert "a fault in outcrop itself" in caplog.text
    assert kernel.ask(Opcode.GETATTR, node, bytes(16)).errno == 0


def test_a_process_that_is_being_killed_need_not_wait(tree: FakeTree, kernel: FakeKernel) -> None:
    entry = tree.put_file(b"/f", b"content")
    assert entry.digest is not None
    tree.remote.add(entry.digest)
    node = kernel.lookup(b"/f")
    lives = kernel.send(Opcode.READ, node, read_body(0, 10), pid=os.getpid())
    kernel.send(Opcode.INTERRUPT, 0, protocol.INTERRUPT_IN.pack(lives))
    kernel.send(Opcode.INTERRUPT, 0, protocol.INTERRUPT_IN.pack(4711))
    assert kernel.ask(Opcode.GETATTR, node, bytes(16)).errno == 0
    tree.network.set()
    assert kernel.receive(lives).body == b"content"


def test_dying_is_seen_by_the_pending_signals(tmp_path: Path) -> None:
    for pid, pending in ((1, "0000000000000000"), (2, "0000000000000100"), (3, "0000000000004002")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nSigPnd:\t{pending}\nShdPnd:\t0000000000000000\n")
    assert [is_dying(pid, tmp_path) for pid in (1, 2, 3, 4)] == [False, True, False, False]


def test_a_nested_catalog_on_its_way_holds_up_nobody_else(tree: FakeTree) -> None:
    tree.put_file(b"/n/f", b"nested")
    tree.put_file(b"/f", b"here")
    tree.nest(b"/n")
    come = threading.Event()

    class SlowTree(FakeTree):
        def _catalog(self, mountpoint: bytes):  # type: ignore[no-untyped-def]
            if mountpoint:
                assert come.wait(20)
            return super()._catalog(mountpoint)

    slow = SlowTree(tree.directory, entries=tree.entries, nested=tree.nested)
    with conversation(slow) as kernel:
        nested = kernel.lookup(b"/n")
        waiting = [kernel.send(Opcode.LOOKUP, nested, b"f\0") for _ in range(8)]
        waiting += [kernel.send(Opcode.READDIRPLUS, nested, read_body(0, 4096)) for _ in range(8)]
        assert kernel.read(kernel.lookup(b"/f"), 0, 10).body == b"here"
        come.set()
        assert {kernel.receive(unique).errno for unique in waiting} == {0}


def test_whoever_asks_for_what_is_being_made_ready_gets_it_from_there(tree: FakeTree) -> None:
    for name in (b"a", b"b", b"c", b"d"):
        tree.put_file(b"/" + name, name * 10)
    begun, come = threading.Event(), threading.Event()
    opened: list[Digest] = []

    class SlowTree(FakeTree):
        def open_cached(self, piece: Piece) -> int | None:
            opened.append(piece.object.digest)
            if piece.object.digest == Digest.of(b"c" * 10):
                begun.set()
                assert come.wait(20)
            return super().open_cached(piece)

    with conversation(SlowTree(tree.directory, entries=tree.entries)) as kernel:
        for name in (b"a", b"b"):
            assert kernel.read(kernel.lookup(b"/" + name), 0, 4096).body == name * 10
        assert begun.wait(20)
        # The other reader takes this, and stays free for what comes next.
        waiting = kernel.send(Opcode.READ, kernel.lookup(b"/c"), read_body(0, 4096))
        assert kernel.ask(Opcode.GETATTR, kernel.lookup(b"/a"), bytes(16)).errno == 0
        come.set()
        assert kernel.receive(waiting).body == b"c" * 10
        assert kernel.read(kernel.lookup(b"/d"), 0, 4096).body == b"d" * 10
    assert sorted(opened, key=lambda digest: digest.text) == sorted(set(opened), key=lambda digest: digest.text)
    assert len(opened) == 4


def test_a_file_on_a_slow_disk_holds_up_nobody_else(tree: FakeTree) -> None:
    tree.put_file(b"/slow", b"slow")
    tree.put_file(b"/f", b"here")
    come = threading.Event()

    class SlowTree(FakeTree):
        def open_cached(self, piece: Piece) -> int | None:
            if piece.size == 4 and piece.object.digest == Digest.of(b"slow"):
                assert come.wait(20)
            return super().open_cached(piece)

    with conversation(SlowTree(tree.directory, entries=tree.entries)) as kernel:
        waiting = kernel.send(Opcode.READ, kernel.lookup(b"/slow"), read_body(0, 4))
        assert kernel.ask(Opcode.GETATTR, kernel.lookup(b"/f"), bytes(16)).errno == 0
        come.set()
        assert kernel.receive(waiting).body == b"slow"


def test_attributes_are_listed_and_information_is_not(tree: FakeTree, kernel: FakeKernel) -> None:
    entry = tree.put_file(b"/f", b"abc")
    tree.put(
        b"/f",
        Entry(
            b"", entry.mode, size=3, digest=entry.digest, xattrs=Xattrs.of({b"user.a": b"1", b"security.b": b"\0\xff"})
        ),
    )
    tree.put_file(b"/plain", b"")
    node = kernel.lookup(b"/f")
    listing = kernel.ask(Opcode.LISTXATTR, node, protocol.GETXATTR_IN.pack(1000, 0))
    assert listing.body == b"security.b\0user.a\0"
    assert kernel.ask(Opcode.LISTXATTR, kernel.lookup(b"/plain"), protocol.GETXATTR_IN.pack(1000, 0)).body == b""
    assert kernel.xattr(node, b"security.b").body == b"\0\xff"
    assert kernel.xattr(node, b"user.hash").body == Digest.of(b"abc").text.encode()
    assert kernel.xattr(node, b"user.missing").errno == errno.ENODATA
    assert kernel.xattr(node, b"security.capability").errno == errno.ENODATA


def test_the_size_of_an_attribute_is_told_and_must_fit(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put_file(b"/f", b"abc")
    node = kernel.lookup(b"/f")
    assert protocol.GETXATTR_OUT.unpack(kernel.xattr(node, b"user.hash", 0).body) == (40, 0)
    assert kernel.xattr(node, b"user.hash", 39).errno == errno.ERANGE


def test_information_says_what_is_mounted_and_how_files_are_stored(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put_file(b"/n/f", b"abc")
    tree.put_chunked(b"/c", [b"0123", b"45"])
    tree.put_link(b"/l", b"$(X)")
    tree.nest(b"/n")

    def value(path: bytes, name: str) -> str | None:
        answer = kernel.xattr(kernel.lookup(path), name.encode())
        return answer.body.decode() if answer.errno == 0 else None

    assert [value(b"", f"user.{name}") for name in ("fqrn", "revision", "root_hash", "tag", "host", "pubkeys")] == [
        "fake.example.org", "7", "ab" * 20, "v1", "http://localhost", "KEY\n",
    ]  # fmt: skip
    first, second = Digest.of(b"0123").text, Digest.of(b"45").text
    assert value(b"/c", "user.chunk_list") == f"hash,offset,size\n{first},0,4\n{second},4,2\n"
    assert value(b"/c", "user.chunks") == "2"
    assert value(b"/c", "user.hash") is None
    assert value(b"/n/f", "user.chunk_list") == f"hash,offset,size\n{Digest.of(b'abc').text},0,3\n"
    assert [value(b"/n/f", f"user.{name}") for name in ("compression", "external_file", "direct_io", "chunks")] == [
        "zlib", "0", "0", "1",
    ]  # fmt: skip
    assert value(b"/l", "xfsroot.rawlink") == "$(X)"
    assert value(b"/n", "user.chunks") is None
    counters = value(b"/n/f", "user.catalog_counters")
    assert counters is not None
    assert counters.startswith(f"catalog_hash: {tree.catalog(b'/n').digest}\ncatalog_mountpoint: /n\nchunked,0\n")
    assert value(b"/n/f", "user.pid") == str(os.getpid())


@pytest.mark.parametrize(
    "opcode",
    [
        Opcode.SETATTR, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME,
        Opcode.LINK, Opcode.WRITE, Opcode.SETXATTR, Opcode.REMOVEXATTR, Opcode.CREATE, Opcode.FALLOCATE,
        Opcode.RENAME2, Opcode.COPY_FILE_RANGE, Opcode.TMPFILE,
    ],
)  # fmt: skip
def test_everything_that_writes_is_refused(kernel: FakeKernel, opcode: Opcode) -> None:
    assert kernel.ask(opcode, 1, bytes(200)).errno == errno.EROFS


@pytest.mark.parametrize(
    "opcode", [Opcode.OPEN, Opcode.OPENDIR, Opcode.FLUSH, Opcode.ACCESS, Opcode.FSYNC, 39, 46, 999]
)
def test_what_the_kernel_can_do_alone_is_not_supported(kernel: FakeKernel, opcode: int) -> None:
    assert kernel.ask(opcode, 1, bytes(64)).errno == errno.ENOSYS


def test_forgetting_has_no_answer(kernel: FakeKernel) -> None:
    kernel.send(Opcode.FORGET, 1, bytes(8))
    kernel.send(Opcode.BATCH_FORGET, 0, bytes(8))
    assert kernel.ask(Opcode.DESTROY, 0).errno == 0


def test_a_kernel_that_insists_on_open_gets_it(tree: FakeTree) -> None:
    tree.put_file(b"/f", b"abc")
    with conversation(tree, flags=InitFlag.ASYNC_READ) as kernel:
        node = kernel.lookup(b"/f")
        for opcode, place in ((Opcode.OPEN, node), (Opcode.OPENDIR, 1)):
            answer = kernel.ask(opcode, place, bytes(8))
            assert (answer.errno, len(answer.body)) == (0, 16)
        assert kernel.read(node, 0, 10).body == b"abc"
        assert kernel.ask(Opcode.RELEASE, node, bytes(24)).errno == 0


def test_statfs_counts_bytes_and_entries(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put_file(b"/f", bytes(10000))
    fields = protocol.STATFS_OUT.unpack(kernel.ask(Opcode.STATFS).body)
    assert (fields[0], fields[3]) == (3, 2)


def test_special_files_show_their_kind(tree: FakeTree, kernel: FakeKernel) -> None:
    tree.put(b"/chr", Entry(b"", stat.S_IFCHR | 0o644, size=os.makedev(1, 3)))
    tree.put(b"/fifo", Entry(b"", stat.S_IFIFO | 0o600))
    fields = protocol.ENTRY_OUT.unpack(kernel.ask(Opcode.LOOKUP, 1, b"chr\0").body)
    assert (fields[7], fields[15], fields[19]) == (0, stat.S_IFCHR | 0o644, protocol.device_number(1, 3))
    fields = protocol.ENTRY_OUT.unpack(kernel.ask(Opcode.LOOKUP, 1, b"fifo\0").body)
    assert fields[15] == stat.S_IFIFO | 0o600


@pytest.fixture(autouse=True)
def log_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="outcrop.mount")
