"""What becomes of numbers, names and open files when another revision shows."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.mount import protocol
from outcrop.client.mount.filesystem import FileSystem
from outcrop.client.mount.inodes import Nodes
from outcrop.client.mount.succession import StaleName, Succession
from outcrop.cvmfs.entry import Entry
from outcrop.errors import NetworkError
from tests.client.mount.fake_tree import DIRECTORY, FakeTree
from tests.client.mount.test_inodes import ALL, child, names

ROOT = protocol.ROOT_NODE


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    tree = FakeTree(tmp_path)
    for path in (b"/a", b"/d/a", b"/d/b", b"/d/e/deep", b"/n/x", b"/n/m/y", b"/other/z"):
        tree.put_file(path, path)
    tree.put_link(b"/l", b"a")
    tree.put(b"/empty", DIRECTORY)
    tree.nest(b"/n")
    tree.nest(b"/n/m")
    return tree


def number(nodes: Nodes, path: bytes) -> int:
    node = ROOT
    for name in path.split(b"/")[1:]:
        node = child(nodes, node, name)
    return node


def everything(tree: FakeTree, nodes: Nodes) -> dict[bytes, int]:
    return {path: number(nodes, path) for path in tree.entries}


def stale(nodes: Nodes, change: Succession) -> set[bytes]:
    return {nodes.path(one.directory) + b"/" + one.name for one in change.stale_names}


def test_nothing_changes_where_nothing_has_changed(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    next_tree = tree.successor()
    change = nodes.move(next_tree)
    assert change.notices() == []
    assert nodes.tree is next_tree
    assert everything(next_tree, nodes) == before


def test_only_what_differs_gets_a_new_number(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    newer.put_file(b"/d/b", b"changed")
    newer.put_file(b"/d/c", b"added")
    del newer.entries[b"/d/a"]
    change = nodes.move(newer)
    after = everything(newer, nodes)
    assert stale(nodes, change) == {b"/d/a", b"/d/b", b"/d/c"}
    assert {path for path in after if after[path] != before.get(path)} == {b"/d/b", b"/d/c"}
    assert names(nodes, after[b"/d"]) == [b".", b"..", b"b", b"c", b"e"]
    assert nodes.path(after[b"/d/e/deep"]) == b"/d/e/deep"
    assert change.stale_listings == [after[b"/d"]]


def test_an_old_number_goes_on_to_mean_the_old_file(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    newer.put_file(b"/d/b", b"changed")
    del newer.entries[b"/d/a"]
    nodes.move(newer)
    for path in (b"/d/a", b"/d/b"):
        node = nodes.node(before[path])
        assert (node.path, node.entry.digest, node.tree) == (path, tree.entries[path].digest, tree)
    assert nodes.node(number(nodes, b"/d/b")).tree is newer


def test_what_the_kernel_has_given_back_is_let_go(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    del newer.entries[b"/d/a"]
    nodes.move(newer)
    nodes.forget(before[b"/d/b"])
    nodes.forget(before[b"/d/a"])
    assert nodes.path(before[b"/d/b"]) == b"/d/b"
    with pytest.raises(KeyError):
        nodes.place(before[b"/d/a"])


def test_numbers_stay_over_many_revisions(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    current = tree
    for revision in range(5):
        current = current.successor()
        current.put_file(b"/d/new%d" % revision, b"%d" % revision)
        nodes.move(current)
    after = everything(current, nodes)
    assert {path: after[path] for path in before} == before
    assert {nodes.path(one) for one in after.values()} == set(current.entries)
    assert all(nodes.reply(one)[:8] == one.to_bytes(8, "little") for one in after.values())


def test_a_directory_keeps_its_number_when_its_attributes_change(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    newer.put(b"/d", replace(DIRECTORY, mtime=99))
    newer.entries[b""] = replace(DIRECTORY, mtime=77)
    change = nodes.move(newer)
    assert everything(newer, nodes) == before
    assert sorted(change.stale_attributes) == [ROOT, before[b"/d"]]
    for node, mtime in ((before[b"/d"], 99), (ROOT, 77)):
        assert protocol.ENTRY_OUT.unpack(nodes.reply(node))[9] == mtime


def test_a_directory_that_is_gone_still_shows_what_was_in_it(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    for path in (b"/n", b"/n/x", b"/n/m", b"/n/m/y", b"/d/e", b"/d/e/deep"):
        del newer.entries[path]
    newer.nested = {b""}
    change = nodes.move(newer)
    assert stale(nodes, change) == {b"/n", b"/d/e"}
    assert names(nodes, before[b"/n"]) == [b".", b"..", b"m", b"x"]
    assert nodes.node(before[b"/n/m/y"]).tree is tree
    assert nodes.node(before[b"/d/e/deep"]).path == b"/d/e/deep"


def test_a_catalog_below_a_directory_that_is_gone_is_still_read(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    nested = number(nodes, b"/n/m")
    newer = tree.successor()
    for path in (b"/n", b"/n/x", b"/n/m", b"/n/m/y"):
        del newer.entries[path]
    newer.nested = {b""}
    nodes.move(newer)
    assert names(nodes, nested) == [b".", b"..", b"y"]


def test_only_changed_catalogs_are_read_again(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    everything(tree, nodes)
    newer = tree.successor()
    newer.listings = 0
    newer.put_file(b"/n/x", b"changed")
    nodes.move(newer)
    assert newer.listings == 2
    everything(newer, nodes)
    assert newer.listings == 2


def test_catalogs_that_nobody_looked_into_stay_unread(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    nodes.directory(ROOT)
    newer = tree.successor()
    newer.listings = 0
    newer.put_file(b"/n/x", b"changed")
    nodes.move(newer)
    assert newer.listings == 1
    assert nodes.node(number(nodes, b"/n/x")).entry.digest == newer.entries[b"/n/x"].digest


@pytest.mark.parametrize("looked_into", [True, False])
def test_a_catalog_may_be_split(tree: FakeTree, looked_into: bool) -> None:
    nodes = Nodes(tree)
    nodes.directory(ROOT)
    before = everything(tree, nodes) if looked_into else {b"/d": number(nodes, b"/d")}
    newer = tree.successor()
    newer.nest(b"/d")
    newer.put_file(b"/d/a", b"changed")
    change = nodes.move(newer)
    assert b"/d/a" in stale(nodes, change)
    after = everything(newer, nodes)
    assert {path for path in before if after[path] != before[path]} <= {b"/d/a"}


@pytest.mark.parametrize("looked_into", [True, False])
def test_catalogs_may_be_joined(tree: FakeTree, looked_into: bool) -> None:
    nodes = Nodes(tree)
    nodes.directory(ROOT)
    before = everything(tree, nodes) if looked_into else {b"/n": number(nodes, b"/n")}
    newer = tree.successor()
    newer.entries[b"/n"] = replace(DIRECTORY, name=b"n")
    newer.nested = {b"", b"/n/m"}
    nodes.move(newer)
    after = everything(newer, nodes)
    assert {path: after[path] for path in before} == before


def test_an_empty_directory_is_filled_and_a_full_one_emptied(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    newer.put_file(b"/empty/now", b"not")
    del newer.entries[b"/other/z"]
    change = nodes.move(newer)
    assert stale(nodes, change) == {b"/empty/now", b"/other/z"}
    assert names(nodes, before[b"/empty"]) == [b".", b"..", b"now"]
    assert names(nodes, before[b"/other"]) == [b".", b".."]
    back = newer.successor()
    del back.entries[b"/empty/now"]
    back.put_file(b"/other/z", b"/other/z")
    nodes.move(back)
    assert names(nodes, before[b"/empty"]) == [b".", b".."]
    assert nodes.node(number(nodes, b"/other/z")).path == b"/other/z"


def test_an_entry_of_another_kind_is_another_entry(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    del newer.entries[b"/a"]
    newer.put_file(b"/a/inside", b"")
    newer.put_link(b"/l", b"elsewhere")
    for path in (b"/d", b"/d/a", b"/d/b", b"/d/e", b"/d/e/deep"):
        del newer.entries[path]
    newer.put_file(b"/d", b"a file now")
    change = nodes.move(newer)
    assert stale(nodes, change) == {b"/a", b"/l", b"/d"}
    assert stat.S_ISDIR(nodes.node(number(nodes, b"/a")).entry.mode)
    assert names(nodes, number(nodes, b"/a")) == [b".", b"..", b"inside"]
    assert names(nodes, before[b"/d"]) == [b".", b"..", b"a", b"b", b"e"]
    assert nodes.node(before[b"/l"]).entry.symlink == b"a"


def test_chunks_decide_whether_a_chunked_file_is_the_same(tree: FakeTree) -> None:
    tree.put_chunked(b"/c", [b"0123", b"4567"])
    tree.put_chunked(b"/k", [b"0123", b"4567"])
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    newer.put_chunked(b"/c", [b"0123", b"WXYZ"])
    change = nodes.move(newer)
    assert stale(nodes, change) == {b"/c"}
    assert number(nodes, b"/k") == before[b"/k"]
    old, new = nodes.node(before[b"/c"]), nodes.node(number(nodes, b"/c"))
    assert old.tree.pieces(old.path, old.entry) != new.tree.pieces(new.path, new.entry)


def grouped(tree: FakeTree, *paths: bytes) -> None:
    entry = tree.put_file(paths[0], b"x")
    for path in paths:
        tree.put(path, Entry(b"", entry.mode, size=1, linkcount=len(paths), hardlink_group=1, digest=entry.digest))


def test_hard_links_go_on_to_share_a_number(tree: FakeTree) -> None:
    grouped(tree, b"/g/b", b"/g/c")
    nodes = Nodes(tree)
    before = everything(tree, nodes)
    newer = tree.successor()
    newer.put_file(b"/g/aa", b"in front")
    nodes.move(newer)
    assert number(nodes, b"/g/b") == number(nodes, b"/g/c") == before[b"/g/b"]
    last = newer.successor()
    del last.entries[b"/g/c"]
    grouped(last, b"/g/a", b"/g/b")
    nodes.move(last)
    assert number(nodes, b"/g/a") == number(nodes, b"/g/b")
    assert protocol.ENTRY_OUT.unpack(nodes.reply(number(nodes, b"/g/b")))[16] == 2


def test_a_revision_that_cannot_be_had_changes_nothing(tree: FakeTree) -> None:
    nodes = Nodes(tree)
    before = everything(tree, nodes)

    class Broken(FakeTree):
        def catalog(self, path: bytes):  # type: ignore[no-untyped-def]
            if path:
                raise NetworkError(what="http://localhost", problem="does not answer")
            return super().catalog(path)

    broken = Broken(tree.directory, entries=dict(tree.entries), nested=set(tree.nested))
    broken.put_file(b"/n/x", b"changed")
    with pytest.raises(NetworkError):
        nodes.move(broken)
    assert nodes.tree is tree
    assert everything(tree, nodes) == before


def test_notices_to_the_kernel_name_names_first(tree: FakeTree) -> None:
    change = Succession(2, stale_names=[StaleName(3, b"x")], stale_listings=[3], stale_attributes=[4])
    name, listing, attributes = change.notices()
    assert name[16:] == protocol.NOTIFY_ENTRY_OUT.pack(3, 1, 0) + b"x\0"
    assert listing[16:] == protocol.NOTIFY_INODE_OUT.pack(3, 0, 0)
    assert attributes[16:] == protocol.NOTIFY_INODE_OUT.pack(4, -1, 0)
    assert [protocol.OUT_HEADER.unpack_from(one) for one in change.notices()] == [
        (len(name), 3, 0), (len(listing), 2, 0), (len(attributes), 2, 0),
    ]  # fmt: skip


def test_listing_of_a_file_system_follows(tree: FakeTree) -> None:
    file_system = FileSystem(tree)
    everything(tree, file_system.nodes)
    newer = tree.successor()
    newer.put_file(b"/added", os.urandom(10))
    file_system.nodes.move(newer)
    assert file_system.tree is newer
    found = [record.name for record in protocol.parse_records(file_system.nodes.directory(ROOT).listing(0, ALL))]
    assert b"added" in found
