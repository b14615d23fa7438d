"""Numbers and ready-made replies of directories."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.mount import protocol
from outcrop.client.mount.directory import Directory, read_catalog
from outcrop.client.mount.inodes import Nodes
from outcrop.client.mount.listing import Listing
from outcrop.client.mount.owners import AS_PUBLISHED, Owners
from outcrop.client.mount.rows import BLOCK_ROWS
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Entry, EntryRow, Mark, decode_entry, encode_entry
from outcrop.cvmfs.paths import parent_hash, path_hash
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import FormatError
from tests.client.mount.fake_tree import FakeTree

ALL = 1 << 20


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    return FakeTree(tmp_path)


def names(nodes: Nodes, node: int) -> list[bytes]:
    return [record.name for record in protocol.parse_records(nodes.directory(node).listing(0, ALL))]


def child(nodes: Nodes, node: int, name: bytes) -> int:
    directory = nodes.directory(node)
    index = directory.index(name)
    assert index is not None
    fields = protocol.ENTRY_OUT.unpack(directory.reply(index))
    return int(fields[0])


def test_listing_begins_with_the_dots_and_is_sorted(tree: FakeTree) -> None:
    for name in (b"/b", b"/a", b"/c"):
        tree.put_file(name, b"")
    assert names(Nodes(tree), protocol.ROOT_NODE) == [b".", b"..", b"a", b"b", b"c"]


def test_listing_in_parts_is_the_listing(tree: FakeTree) -> None:
    for number in range(100):
        tree.put_file(b"/name-%d" % number, b"")
    directory = Nodes(tree).directory(protocol.ROOT_NODE)
    whole = list(protocol.parse_records(directory.listing(0, ALL)))
    for size in (200, 1000, 4096):
        parts: list[protocol.DirectoryRecord] = []
        while part := directory.listing(parts[-1].cookie if parts else 0, size):
            assert len(part) <= size
            parts += protocol.parse_records(part)
        assert parts == whole


def test_plain_listing_in_parts_has_the_same_names(tree: FakeTree) -> None:
    for number in range(10):
        tree.put_file(b"/name-%d" % number, b"")
    directory = Nodes(tree).directory(protocol.ROOT_NODE)
    found, cookie = [], 0
    while part := directory.plain_listing(cookie, 100):
        position = 0
        while position < len(part):
            _, cookie, length, _ = protocol.DIRENT.unpack_from(part, position)
            start = position + protocol.DIRENT.size
            found.append(part[start : start + length])
            position = start + -(-length // 8) * 8
    assert found == [record.name for record in protocol.parse_records(directory.listing(0, ALL))]


@pytest.mark.parametrize("cookie", [3, 4, 2**62])
def test_cookies_at_or_behind_the_end_lead_to_nothing(tree: FakeTree, cookie: int) -> None:
    tree.put_file(b"/a", b"")
    directory = Nodes(tree).directory(protocol.ROOT_NODE)
    assert directory.listing(cookie, ALL) == b""
    assert directory.plain_listing(cookie, ALL) == b""


def test_hidden_entries_are_found_and_not_listed(tree: FakeTree) -> None:
    tree.put_file(b"/.first", b"1")
    tree.put(b"/.cvmfs", Entry(b"", stat.S_IFDIR | 0o755, linkcount=2, marks=Mark.HIDDEN))
    tree.put_file(b"/.cvmfs/inside", b"2")
    tree.put_file(b"/last", b"3")
    nodes = Nodes(tree)
    assert names(nodes, protocol.ROOT_NODE) == [b".", b"..", b".first", b"last"]
    hidden = child(nodes, protocol.ROOT_NODE, b".cvmfs")
    assert names(nodes, hidden) == [b".", b"..", b"inside"]
    assert nodes.path(child(nodes, hidden, b"inside")) == b"/.cvmfs/inside"


def test_members_of_a_hard_link_group_share_a_number(tree: FakeTree) -> None:
    entry = tree.put_file(b"/d/a", b"x")
    for name in (b"/d/a", b"/d/b", b"/d/c"):
        tree.put(name, Entry(b"", entry.mode, size=1, linkcount=3, hardlink_group=1, digest=entry.digest))
    tree.put_file(b"/d/other", b"x")
    nodes = Nodes(tree)
    directory = child(nodes, protocol.ROOT_NODE, b"d")
    numbers = [child(nodes, directory, name) for name in (b"a", b"b", b"c", b"other")]
    assert numbers[0] == numbers[1] == numbers[2] != numbers[3]
    assert protocol.ENTRY_OUT.unpack(nodes.reply(numbers[0]))[16] == 3


def test_every_number_leads_back_to_its_path(tree: FakeTree) -> None:
    paths = [b"/a", b"/d/a", b"/d/e/f", b"/n/x", b"/n/m/y", b"/z"]
    for path in paths:
        tree.put_file(path, path)
    tree.nest(b"/n")
    tree.nest(b"/n/m")
    nodes = Nodes(tree)
    numbers = {}
    for path in paths:
        node = protocol.ROOT_NODE
        for name in path.split(b"/")[1:]:
            node = child(nodes, node, name)
        numbers[path] = node
    assert len(set(numbers.values())) == len(paths)
    assert {path: nodes.path(node) for path, node in numbers.items()} == {path: path for path in paths}


def test_a_catalog_is_read_once_and_only_when_looked_into(tree: FakeTree) -> None:
    tree.put_file(b"/n/x", b"")
    tree.put_file(b"/d/x", b"")
    tree.nest(b"/n")
    nodes = Nodes(tree)
    nested = child(nodes, protocol.ROOT_NODE, b"n")
    names(nodes, child(nodes, protocol.ROOT_NODE, b"d"))
    assert tree.listings == 1
    assert not nodes.is_near(nested)
    for _ in range(3):
        assert names(nodes, nested) == [b".", b"..", b"x"]
    assert tree.listings == 2
    assert nodes.is_near(nested)


def test_an_empty_nested_catalog_is_an_empty_directory(tree: FakeTree) -> None:
    tree.put(b"/n", Entry(b"", stat.S_IFDIR | 0o755, linkcount=2))
    tree.nest(b"/n")
    nodes = Nodes(tree)
    nested = child(nodes, protocol.ROOT_NODE, b"n")
    dots = list(protocol.parse_records(nodes.directory(nested).listing(0, ALL)))
    assert [(dot.name, dot.inode) for dot in dots] == [(b".", nested), (b"..", protocol.ROOT_NODE)]
    assert tree.listings == 2
    nodes.directory(nested)
    assert tree.listings == 2


def test_dots_name_the_directory_and_the_one_above(tree: FakeTree) -> None:
    tree.put_file(b"/n/d/x", b"")
    tree.nest(b"/n")
    nodes = Nodes(tree)
    above = child(nodes, protocol.ROOT_NODE, b"n")
    node = child(nodes, above, b"d")
    for place, parent in ((protocol.ROOT_NODE, protocol.ROOT_NODE), (above, protocol.ROOT_NODE), (node, above)):
        dots = list(protocol.parse_records(nodes.directory(place).listing(0, ALL)))[:2]
        assert [(dot.inode, dot.node) for dot in dots] == [(place, 0), (parent, 0)]


def test_numbers_that_were_never_given_are_unknown(tree: FakeTree) -> None:
    tree.put_file(b"/a", b"")
    nodes = Nodes(tree)
    nodes.directory(protocol.ROOT_NODE)
    for node in (0, 3, 2**63):
        with pytest.raises(KeyError):
            nodes.place(node)


def test_what_is_needed_of_an_entry_comes_back(tree: FakeTree) -> None:
    tree.put_file(b"/f", b"abc")
    tree.put_link(b"/l", b"$(HERE)/x")
    tree.put(b"/x", Entry(b"", stat.S_IFDIR | 0o711, linkcount=2, xattrs=Xattrs.of({b"user.a": b"b"})))
    tree.settings = {b"HERE": b"there"}
    nodes = Nodes(tree)
    file, link, directory = (nodes.node(child(nodes, protocol.ROOT_NODE, name)).entry for name in (b"f", b"l", b"x"))
    assert (file.size, file.digest, file.permissions) == (3, Digest.of(b"abc"), 0o644)
    assert link.symlink == b"$(HERE)/x"
    assert directory.xattrs.get(b"user.a") == b"b"
    place = nodes.place(child(nodes, protocol.ROOT_NODE, b"l"))
    assert place.directory.target(place.position) == b"there/x"
    assert protocol.ENTRY_OUT.unpack(nodes.reply(child(nodes, protocol.ROOT_NODE, b"l")))[7] == len(b"there/x")


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("compression", Compression)
def test_every_way_of_storing_a_file_comes_back(tree: FakeTree, algorithm: Algorithm, compression: Compression) -> None:
    digest = Digest(algorithm, bytes(range(20)))
    tree.put(
        b"/f",
        Entry(b"", stat.S_IFREG | 0o600, size=9, digest=digest, algorithm=algorithm, compression=compression),
    )
    place = Nodes(tree).directory(protocol.ROOT_NODE)
    piece = place.whole_file(0)
    assert piece is not None
    assert (piece.object.digest, piece.compression, piece.size) == (digest, compression, 9)
    assert place.entry(0).compression is compression


def row_of(entry: Entry) -> tuple[object, ...]:
    path = b"/" + entry.name
    return (*parent_hash(path), *path_hash(path), *encode_entry(entry))


FILE = Entry(b"f", stat.S_IFREG | 0o644, size=5, mtime=-1, mtime_ns=7, uid=3, gid=4, digest=Digest.of(b""))
PLAIN = [FILE, Entry(b"d", stat.S_IFDIR | 0o700, size=4096, linkcount=5, mtime=12)]


def read(*rows: tuple[object, ...], owners: Owners = AS_PUBLISHED) -> Directory:
    """The root directory of a catalog with these rows; its first entry has the number 11."""
    listing = Listing(path_hash(b""), rows, "a catalog", owners)
    return read_catalog(listing, 11, lambda entry: entry.symlink).directories[path_hash(b"")]


def attributes_of(entry: Entry, uid: int, gid: int) -> protocol.Attributes:
    return protocol.Attributes(entry.mode, entry.size, entry.mtime, entry.mtime_ns or 0, entry.linkcount, uid, gid)


@pytest.mark.parametrize("entry", [*PLAIN, replace(FILE, size=2**62 + 1), replace(FILE, name=b"n" * 255)])
@pytest.mark.parametrize("marks", [Mark.NONE, Mark.HIDDEN])
def test_many_records_at_once_are_the_same_as_one(entry: Entry, marks: Mark) -> None:
    found = read(row_of(replace(entry, marks=marks)))
    record = protocol.directory_record(11, attributes_of(entry, entry.uid, entry.gid), entry.name, 3)
    assert found.reply(0) == record[: protocol.ENTRY_OUT.size]
    if not marks:
        assert found.listing(2, ALL) == record
    assert (found.entry(0).digest, found.marks(0)) == (entry.digest, marks)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", b"a/b"), ("name", b""), ("name", b".."), ("name", b"a\0b"), ("name", "text"), ("name", None),
        ("mode", stat.S_IFDIR), ("mode", -1), ("mode", 2**32), ("mode", 1.5), ("mode", None), ("size", -1),
        ("size", 2**64), ("size", b"5"), ("mtime", 1.5), ("mtime", None), ("mtimens", 10**9), ("mtimens", -1),
        ("uid", -1), ("gid", 2**32), ("hardlinks", 0), ("hardlinks", 2**32), ("hash", None), ("hash", b"short"),
        ("flags", 1), ("flags", 2**40), ("symlink", b"x"), ("symlink", None), ("xattr", b"\1\0"), ("xattr", b"bad"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("entry", PLAIN, ids=["file", "directory"])
def test_a_row_that_breaks_a_rule_is_refused_among_others_too(entry: Entry, column: str, value: object) -> None:
    fields = EntryRow(*encode_entry(entry))._replace(**{column: value})
    others = [row_of(replace(FILE, name=b"other-%d" % number)) for number in range(3)]
    try:
        expected = decode_entry(fields, "a catalog")
        assert expected.name
        assert expected.size < 2**63
    except (FormatError, AssertionError):
        with pytest.raises(FormatError):
            read((*row_of(entry)[:4], *fields), *others)
    else:
        # Some columns say nothing about directories.
        found = read((*row_of(entry)[:4], *fields), *others)
        assert replace(expected, mtime=0, mtime_ns=None, uid=0, gid=0, linkcount=1) == found.entry(0)
        assert (
            found.reply(0)[protocol.ATTRIBUTES_OFFSET + 8 :]
            == protocol.directory_record(11, attributes_of(expected, expected.uid, expected.gid), b"", 3)[
                protocol.ATTRIBUTES_OFFSET + 8 : protocol.ENTRY_OUT.size
            ]
        )


def test_entries_belong_to_whom_this_machine_says() -> None:
    class Shifted:
        def uid(self, published: int) -> int:
            return published + 1

        def gid(self, published: int) -> int:
            return published * 2

    entries = [replace(FILE, name=b"f-%d" % uid, uid=uid, gid=uid) for uid in range(4)]
    link = Entry(b"l", stat.S_IFLNK | 0o777, size=1, uid=9, gid=9, symlink=b"x")
    found = read(*map(row_of, [*entries, link]), owners=Shifted())
    shown = [protocol.ENTRY_OUT.unpack(found.reply(index))[17:19] for index in range(len(found))]
    assert shown == [(1, 0), (2, 2), (3, 4), (4, 6), (10, 18)]


def test_a_directory_with_more_entries_than_are_read_at_once_is_whole(tree: FakeTree) -> None:
    count = 2 * BLOCK_ROWS + 7
    rows = [row_of(replace(FILE, name=b"%06d" % number)) for number in range(count)]
    elsewhere = [(1, 2, *row[2:]) for row in rows[:5]]
    catalog = read_catalog(Listing(path_hash(b""), [*elsewhere, *rows], "a catalog"), 2, lambda entry: entry.symlink)
    assert [len(directory) for directory in catalog.directories.values()] == [5, count]
    assert catalog.next == 2 + 5 + count
    last = catalog.directories[path_hash(b"")]
    assert last.number(last.index(b"%06d" % (count - 1)) or 0) == catalog.next - 1


def test_a_malformed_row_is_named() -> None:
    fields = encode_entry(FILE)._replace(uid=-1)
    rows = [(*parent_hash(b"/f"), *path_hash(b"/f"), *fields)]
    with pytest.raises(FormatError, match="uid"):
        read_catalog(Listing(path_hash(b""), rows, "a catalog"), 2, lambda entry: entry.symlink)


def test_two_entries_of_one_name_are_refused() -> None:
    rows = [row_of(FILE), row_of(FILE)]
    with pytest.raises(FormatError, match="two called"):
        read_catalog(Listing(path_hash(b""), rows, "a catalog"), 2, lambda entry: entry.symlink)


def test_rows_that_hang_nowhere_cannot_be_reached(tree: FakeTree) -> None:
    tree.put_file(b"/a", b"")
    tree.entries[b"/gone/b"] = tree.entries[b"/a"]
    nodes = Nodes(tree)
    assert names(nodes, protocol.ROOT_NODE) == [b".", b"..", b"a"]


def test_pages_say_the_same_as_sqlite(tree: FakeTree) -> None:
    for number in range(400):
        tree.put_file(b"/d%d/f%d" % (number % 7, number), b"%d" % number, 0o600 + number % 8)
    tree.put_link(b"/d1/link", b"$(HERE)/x")
    tree.put(b"/d2/.hidden", replace(tree.entries[b"/d1/f1"], marks=Mark.HIDDEN))
    tree.put(b"/d2/attributes", replace(tree.entries[b"/d1/f1"], xattrs=Xattrs.of({b"user.a": b"b"})))
    tree.put(b"/d3/fifo", Entry(b"", stat.S_IFIFO | 0o600))
    tree.put(b"/d3/old", replace(tree.entries[b"/d1/f1"], mtime=-5, mtime_ns=None))
    tree.put_chunked(b"/d4/chunked", [b"0123", b"45"])
    tree.settings = {b"HERE": b"there"}
    with tree.listing(b"") as listing:
        assert listing.scan is not None
        scanned = read_catalog(listing, 2, tree.symlink_target)
        asked = read_catalog(replace(listing, scan=None), 2, tree.symlink_target)
    assert (scanned.next, scanned.numbers) == (asked.next, asked.numbers)
    assert list(scanned.directories) == list(asked.directories)
    for key, directory in scanned.directories.items():
        other = asked.directories[key]
        assert directory.listing(2, ALL) == other.listing(2, ALL)
        assert (len(directory), directory.visible) == (len(other), other.visible)
        assert [directory.likeness(at) for at in range(len(directory))] == [
            other.likeness(at) for at in range(len(other))
        ]


def test_a_catalog_whose_rows_need_more_than_a_page_is_left_to_sqlite(tree: FakeTree) -> None:
    tree.put_link(b"/link", b"x" * 60_000)
    tree.put_file(b"/f", b"1")
    nodes = Nodes(tree)
    place = nodes.place(child(nodes, protocol.ROOT_NODE, b"link"))
    assert place.directory.target(place.position) == b"x" * 60_000
    assert names(nodes, protocol.ROOT_NODE) == [b".", b"..", b"f", b"link"]
