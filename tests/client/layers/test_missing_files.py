"""What the layer of missing files answers."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from outcrop.client.contents import Contents
from outcrop.client.layers.metadata import IMAGE_NAME, Inode, Listing, Metadata
from outcrop.client.layers.missing_files import FIRST_ENTRY, Answer, MissingFiles, Reading, Refused, Wanted
from outcrop.client.layers.objects import Needed, PlainObject, ServedFile
from outcrop.client.layers.parting import parted
from outcrop.client.layers.revision_metadata import Revision, revision_metadata
from outcrop.client.layers.shown_entries import ShownEntries
from outcrop.client.mount import protocol
from outcrop.client.mount.protocol import Opcode
from outcrop.cvmfs.compression import Compression
from outcrop.errors import NotFound
from tests.client.published import CONTENTS, library
from tests.client.reading import contents_of, store_of, tree_of

_IMAGE = b"an image"


class Asking:
    """The kernel, as far as it knows names and reads."""

    def __init__(self, files: MissingFiles) -> None:
        self.files = files

    def number(self, path: bytes) -> int:
        node = protocol.ROOT_NODE
        for name in path.strip(b"/").split(b"/"):
            answer = self.files.answer(Opcode.LOOKUP, node, memoryview(name + b"\0"))
            assert isinstance(answer, bytes)
            node = protocol.ENTRY_OUT.unpack(answer)[0]
            if node == protocol.NO_NODE:
                raise FileNotFoundError(path)
        return node

    def read(self, path: bytes, offset: int = 0, size: int = 1 << 20) -> Answer:
        body = protocol.READ_IN.pack(0, offset, size, 0, 0, 0, 0)
        return self.files.answer(Opcode.READ, self.number(path), memoryview(body))

    def size(self, path: bytes) -> int:
        answer = self.files.answer(Opcode.GETATTR, self.number(path), memoryview(b""))
        assert isinstance(answer, bytes)
        return int.from_bytes(answer[protocol.ATTR_OUT_HEAD.size + 8 :][:8], "little")


@pytest.fixture
def revision(tmp_path: Path) -> Revision:
    with tree_of(library(), tmp_path / "first") as (tree, _):
        return revision_metadata(tree, {}, 1000)


@pytest.fixture
def fetched() -> list[PlainObject]:
    return []


@pytest.fixture
def kernel(tmp_path: Path, revision: Revision, fetched: list[PlainObject]) -> Iterator[Asking]:
    image = tmp_path / "image"
    image.write_bytes(_IMAGE)
    with tree_of(library(), tmp_path / "cache") as (tree, contents):
        descriptor = os.open(image, os.O_RDONLY)
        yield Asking(
            MissingFiles(
                revision.needed, contents, lambda path: tree.pieces(path, tree.entry(path)), fetched.extend, descriptor
            )
        )
        os.close(descriptor)


def whole(revision: Revision, path: bytes) -> PlainObject:
    size = len(CONTENTS[path])
    return next(one for one in revision.needed.objects if one.size == size)


def test_an_object_is_fetched_once_and_then_answered_at_once(
    kernel: Asking, revision: Revision, fetched: list[PlainObject]
) -> None:
    one = whole(revision, b"/README")
    wanted = kernel.read(b"/files/" + one.name)
    assert isinstance(wanted, Wanted)
    assert kernel.files.fetch(wanted) == CONTENTS[b"/README"]
    assert fetched == [one]
    assert kernel.read(b"/files/" + one.name) == CONTENTS[b"/README"]
    assert kernel.read(b"/files/" + one.name, 5, 3) == CONTENTS[b"/README"][5:8]
    assert kernel.read(b"/files/" + one.name, 500, 3) == b""
    assert kernel.size(b"/files/" + one.name) == one.size


@pytest.mark.parametrize(("offset", "size"), [(0, 100_000), (39_990, 20), (40_000, 10), (79_999, 20_001), (99_999, 9)])
def test_a_file_in_chunks_is_put_together(kernel: Asking, offset: int, size: int) -> None:
    reading = kernel.read(b"/files/served/0", offset, size)
    assert isinstance(reading, Reading)
    expected = CONTENTS[b"/shelf/one"][offset : offset + size]
    assert reading.answer() == expected
    assert kernel.read(b"/files/served/0", offset, size) == expected
    assert kernel.size(b"/files/served/0") == 100_000


def test_what_no_file_needs_is_not_there(kernel: Asking) -> None:
    for path in (b"/files/ab/" + b"0" * 38, b"/files/served/1", b"/files/served/x", b"/none", b"/entries"):
        with pytest.raises(FileNotFoundError):
            kernel.number(path)


def test_the_image_is_there(kernel: Asking) -> None:
    assert kernel.read(b"/" + IMAGE_NAME) == _IMAGE
    assert kernel.size(b"/" + IMAGE_NAME) == len(_IMAGE)


def test_what_it_cannot_do_is_refused(kernel: Asking) -> None:
    assert kernel.files.answer(Opcode.GETXATTR, 1, memoryview(b"")) == Refused(errno.ENOSYS)
    assert isinstance(kernel.files.answer(Opcode.STATFS, 1, memoryview(b"")), bytes)


def test_files_behind_a_missing_one_come_along_and_those_of_other_directories_do_not(tmp_path: Path) -> None:
    published = library()
    digests = [published.add(b"%d" % number) for number in range(100)]
    objects = [
        PlainObject(one.raw, one.algorithm, Compression.ZLIB, 2 if number > 9 else 1, number // 20)
        for number, one in enumerate(digests)
    ]
    contents = contents_of(store_of(published), cache=tmp_path)
    asking = Asking(MissingFiles(Needed(objects, []), contents, lambda _path: ()))
    wanted = asking.read(b"/files/" + objects[15].name)
    assert isinstance(wanted, Wanted)
    assert list(wanted.ahead) == objects[16:20]
    asking.files.fetch_ahead(wanted)
    assert asking.read(b"/files/" + objects[17].name) == b"17"
    contents.close()


def test_without_a_server_only_what_is_cached_is_answered(tmp_path: Path, revision: Revision) -> None:
    full, empty = store_of(library()), store_of(library())
    empty.objects.clear()
    one = whole(revision, b"/README")
    needed = Needed(revision.needed.objects, [ServedFile(b"/shelf/one", 100_000)])
    contents: Contents = contents_of(full, cache=tmp_path / "cache")
    contents.ensure([one.piece])
    contents.close()
    contents = contents_of(empty, cache=tmp_path / "cache")
    asking = Asking(MissingFiles(needed, contents, lambda _path: ()))
    assert asking.read(b"/files/" + one.name) == CONTENTS[b"/README"]
    other = next(each for each in needed.objects if each != one)
    wanted = asking.read(b"/files/" + other.name)
    assert isinstance(wanted, Wanted)
    with pytest.raises(NotFound):
        asking.files.fetch(wanted)
    contents.close()


class Entries(Asking):
    """The layer of entries of a revision with a device, a file with a capability, and a link beside them."""

    def __init__(self, contents: Contents, objects: list[PlainObject]) -> None:
        directory = Inode(stat.S_IFDIR | 0o755, mtime=5, nlink=2)
        capable = Inode(stat.S_IFREG | 0o755, size=objects[0].size, redirect=b"/" + objects[0].name,
                        xattrs=((b"security.capability", b"x"), (b"user.overlay.opaque", b"y")))  # fmt: skip
        whole = Metadata(
            [directory, Inode(stat.S_IFCHR | 0o600, device=0x103), directory, capable, Inode(stat.S_IFIFO | 0o600)],
            [Listing(0, 0, [b"null", b"pipe", b"sub"], [1, 4, 2]), Listing(2, 0, [b"tool"], [3])],
        )
        rest = parted(whole).rest
        assert rest is not None
        entries = ShownEntries(rest, FIRST_ENTRY, 7, 8)
        super().__init__(MissingFiles(Needed(objects, []), contents, lambda _path: (), entries=entries))

    def attribute(self, path: bytes, name: bytes, size: int = 100) -> Answer:
        body = protocol.GETXATTR_IN.pack(size, 0) + name + b"\0"
        return self.files.answer(Opcode.GETXATTR, self.number(path), memoryview(body))


@pytest.fixture
def entries(tmp_path: Path) -> Iterator[Entries]:
    published = library()
    digest = published.add(b"the tool")
    contents = contents_of(store_of(published), cache=tmp_path)
    yield Entries(contents, [PlainObject(digest.raw, digest.algorithm, Compression.ZLIB, 8, 0)])
    contents.close()


def test_entries_that_cannot_be_planted_are_listed_with_the_directories_that_lead_to_them(entries: Entries) -> None:
    body = protocol.READ_IN.pack(0, 0, 1 << 20, 0, 0, 0, 0)
    for path, names in ((b"/entries", [b".", b"..", b"null", b"sub"]), (b"/entries/sub", [b".", b"..", b"tool"])):
        answer = entries.files.answer(Opcode.READDIRPLUS, entries.number(path), memoryview(body))
        assert isinstance(answer, bytes)
        assert [record.name for record in protocol.parse_records(answer)] == names
        cookies = protocol.READ_IN.pack(0, 2, 1 << 20, 0, 0, 0, 0)
        answer = entries.files.answer(Opcode.READDIRPLUS, entries.number(path), memoryview(cookies))
        assert isinstance(answer, bytes)
        assert [record.name for record in protocol.parse_records(answer)] == names[2:]
    with pytest.raises(FileNotFoundError):
        entries.number(b"/entries/pipe")


def test_entries_have_their_attributes_and_their_bytes(entries: Entries) -> None:
    assert entries.attribute(b"/entries/sub/tool", b"security.capability") == b"x"
    assert entries.attribute(b"/entries/sub/tool", b"user.overlay.overlay.opaque") == b"y"
    assert entries.attribute(b"/entries/sub/tool", b"user.overlay.redirect") == Refused(errno.ENODATA)
    assert entries.attribute(b"/entries/sub/tool", b"security.capability", 0) == protocol.GETXATTR_OUT.pack(1, 0)
    listed = entries.files.answer(
        Opcode.LISTXATTR, entries.number(b"/entries/sub/tool"), memoryview(protocol.GETXATTR_IN.pack(100, 0))
    )
    assert listed == b"security.capability\0user.overlay.overlay.opaque\0"
    wanted = entries.read(b"/entries/sub/tool")
    assert isinstance(wanted, Wanted)
    assert entries.files.fetch(wanted) == b"the tool"
    assert entries.read(b"/entries/sub/tool", 4) == b"tool"
    readlink = entries.files.answer(Opcode.READLINK, entries.number(b"/entries/null"), memoryview(b""))
    assert readlink == Refused(errno.EINVAL)
