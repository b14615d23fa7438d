"""A tree shows what its catalogs say, and refuses catalogs that say what they must not."""

from __future__ import annotations

import os
import re
import resource
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.tree import Tree
from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_edit import nested_mountpoint, nested_root
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import ObjectKind
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import FormatError, InvalidValue, NotFound, OutcropError
from tests.client.published import CONTENTS, Published, directory_entry, library, link_entry
from tests.client.reading import contents_of, store_of, tree_of


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with tree_of(library(), tmp_path / "cache") as (tree, _):
        yield tree


def tree_with(published: Published, root: CatalogReference, tmp_path: Path) -> Tree:
    """The tree of `root`, whose connections the test's end closes."""
    return Tree(contents_of(store_of(published), cache=tmp_path / "cache"), root, published.name)


def names(entries: list[Entry]) -> list[bytes]:
    return [entry.name for entry in entries]


def test_directories_list_what_they_hold_sorted_and_without_what_is_hidden(tree: Tree) -> None:
    expected = [b"README", b"absolute", b"circle", b"latest", b"out", b"shelf", b"variant"]
    assert names(tree.children(b"")) == expected
    assert names(tree.children(b"", hidden=True)) == sorted([*expected, b"hidden"])
    assert names(tree.children(b"/shelf/inner")) == [b"two"]


def test_hidden_entries_can_be_asked_for(tree: Tree) -> None:
    assert tree.entry(b"/hidden").is_hidden


def test_walk_goes_through_nested_catalogs_in_order(tree: Tree) -> None:
    assert [located.path for located in tree.walk(b"/shelf")] == [
        b"/shelf", b"/shelf/inner", b"/shelf/inner/two", b"/shelf/one",
    ]  # fmt: skip
    assert b"/hidden" in [located.path for located in tree.walk(hidden=True)]
    assert [located.path for located in tree.walk(b"/README")] == [b"/README"]


def test_pieces_follow_each_other(tree: Tree) -> None:
    pieces = tree.pieces(b"/shelf/one", tree.entry(b"/shelf/one"))
    assert [(piece.offset, piece.size) for piece in pieces] == [(0, 40_000), (40_000, 40_000), (80_000, 20_000)]
    assert {piece.object.kind for piece in pieces} == {ObjectKind.CHUNK}
    (whole,) = tree.pieces(b"/README", tree.entry(b"/README"))
    assert (whole.offset, whole.size, whole.compression) == (0, len(CONTENTS[b"/README"]), Compression.ZLIB)


def test_what_is_not_there_is_named(tree: Tree) -> None:
    assert tree.lookup(b"/nothing") is None
    for ask in (tree.entry, tree.children, lambda path: list(tree.walk(path)), tree.resolve):
        with pytest.raises(NotFound, match=r"/nothing in books\.example\.org does not exist"):
            ask(b"/nothing")
    with pytest.raises(InvalidValue, match="/README is not a directory"):
        tree.children(b"/README")
    with pytest.raises(InvalidValue, match="/shelf is not a regular file"):
        tree.pieces(b"/shelf", tree.entry(b"/shelf"))


@pytest.mark.parametrize(
    ("path", "end"),
    [
        (b"/latest", b"/shelf/one"),
        (b"/absolute/inner/two", b"/shelf/inner/two"),
        (b"/absolute/../README", b"/README"),
        (b"/variant", b"/README"),
        (b"", b""),
    ],
)
def test_links_are_followed_within_the_repository(tree: Tree, path: bytes, end: bytes) -> None:
    assert tree.resolve(path, {}).path == end


def test_last_link_is_not_followed_where_it_is_meant_itself(tree: Tree) -> None:
    assert tree.resolve(b"/latest", follow_last=False).entry.is_symlink
    assert tree.resolve(b"/absolute/one", follow_last=False).path == b"/shelf/one"


def test_links_out_of_the_repository_and_in_circles_are_told(tree: Tree) -> None:
    with pytest.raises(NotFound) as caught:
        tree.resolve(b"/out")
    assert "leads out of the repository" in caught.value.hint
    with pytest.raises(InvalidValue, match="circle of symbolic links"):
        tree.resolve(b"/circle")


@pytest.mark.parametrize(
    "ask",
    [
        lambda tree: tree.entry(b"/nope"),
        lambda tree: tree.resolve(b"/nope"),
        lambda tree: tree.resolve(b"/shelf/nope/deeper"),
        lambda tree: tree.resolve(b"/latest/below"),
        lambda tree: tree.resolve(b"/out"),
        lambda tree: tree.resolve(b"/circle"),
        lambda tree: tree.children(b"/README"),
        lambda tree: tree.pieces(b"/shelf", tree.entry(b"/shelf")),
        lambda tree: tree.catalog_at(b"/shelf"),
    ],
)
def test_every_refusal_says_what_to_type_next(tree: Tree, ask: Callable[[Tree], object]) -> None:
    with pytest.raises(OutcropError) as caught:
        ask(tree)
    assert re.search(r"`outcrop (ls|stat) books\.example\.org( /\S*)?`", caught.value.hint)


class _Gone:
    """A server that has no catalogs any more."""

    def catalog(self, digest: Digest, size: int, what: str) -> Catalog:
        raise NotFound(what=f"http://server.example.org/data/{digest}")

    def ensure_catalogs(self, references: Iterable[CatalogReference]) -> None:
        pass


def test_root_catalog_that_no_server_has_is_a_revision_that_is_not_there() -> None:
    digest = Digest.parse("20" * 20)
    tree = Tree(_Gone(), CatalogReference(ROOT, digest, 0), RepositoryName("books.example.org"))
    with pytest.raises(NotFound, match=f"revision of books.example.org with the root catalog {digest} does") as caught:
        tree.entry(ROOT)
    assert "`outcrop stat books.example.org /`" in caught.value.hint


def test_variant_links_are_filled_in_from_settings_or_the_environment(tree: Tree) -> None:
    entry = tree.entry(b"/variant")
    assert tree.symlink_target(entry, {b"BOOK": b"shelf"}) == b"shelf"
    assert tree.symlink_target(entry, {}) == b"README"
    os.environ["BOOK"] = "latest"
    assert tree.symlink_target(entry) == b"latest"
    assert entry.symlink == b"$(BOOK:-README)"


def test_catalogs_can_be_had_for_oneself(tree: Tree) -> None:
    assert tree.nested_mountpoints() == (b"/shelf/inner",)
    catalog = tree.catalog_at(b"/shelf/inner")
    assert catalog.lookup(b"/shelf/inner/two") is not None
    catalog.close()
    with pytest.raises(NotFound, match="a catalog at /shelf "):
        tree.catalog_at(b"/shelf")


def forest(count: int) -> Published:
    """A repository with `count` nested catalogs side by side, one file in each."""
    published = Published()
    entries: dict[bytes, Entry] = {}
    nested = []
    for number in range(count):
        name = b"%03d" % number
        row = directory_entry(name)
        file = published.file(b"file", name)
        nested.append(published.catalog({b"/" + name + b"/file": file}, b"/" + name, root=nested_root(row)))
        entries[b"/" + name] = nested_mountpoint(row)
    return published.sign(published.catalog(entries, nested=nested))


def test_few_catalogs_are_open_at_once(tmp_path: Path) -> None:
    published = forest(40)
    assert published.root is not None
    tree = Tree(
        contents_of(store_of(published), cache=tmp_path), published.root, published.name, maximum_open_catalogs=4
    )
    before = len(os.listdir("/proc/self/fd"))
    assert len(list(tree.walk())) == 81
    assert len(os.listdir("/proc/self/fd")) <= before + 4
    tree.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_many_catalogs_are_read_with_few_descriptors(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(number) for number in os.listdir("/proc/self/fd"))
    with tree_of(forest(120), tmp_path) as (tree, _):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 70, hard))
        try:
            assert len(list(tree.walk())) == 241
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_threads_share_a_tree(tmp_path: Path) -> None:
    published = forest(30)
    assert published.root is not None
    contents = contents_of(store_of(published), cache=tmp_path)
    tree = Tree(contents, published.root, published.name, maximum_open_catalogs=3)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(len(list(tree.walk())))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [61] * 6
    tree.close()


def bound(revision: CatalogReference, path: bytes) -> CatalogReference:
    return replace(revision, path=RepositoryPath(path))


def test_bind_mountpoints_show_another_revision_below_another_path(tmp_path: Path) -> None:
    published = library()
    assert published.root is not None
    root = published.catalog(
        {b"/old": directory_entry(b"old", marks=Mark.BIND_MOUNTPOINT | Mark.HIDDEN)},
        bound=[bound(published.root, b"/old")],
    )
    tree = tree_with(published, root, tmp_path)
    assert b"shelf" in names(tree.children(b"/old"))
    assert tree.pieces(b"/old/shelf/one", tree.entry(b"/old/shelf/one"))[2].offset == 80_000
    assert names(tree.children(b"/old/shelf/inner")) == [b"two"]
    assert [located.path for located in tree.walk(hidden=True)] == [b"", b"/old"]
    assert b"/old/shelf/inner/two" in [located.path for located in tree.walk(b"/old")]
    assert tree.nested_mountpoints() == ()
    tree.close()


# Catalogs that say what they must not.


def test_nested_catalog_made_for_another_place_is_refused(tmp_path: Path) -> None:
    published = Published()
    row = directory_entry(b"a")
    nested = published.catalog({}, b"/a", root=nested_root(row), prefix=b"/b")
    root = published.catalog({b"/a": nested_mountpoint(row)}, nested=[nested])
    with pytest.raises(FormatError, match=r"root_prefix is /b"):
        tree_with(published, root, tmp_path).children(b"/a")


def test_root_catalog_that_is_a_nested_one_is_refused(tmp_path: Path) -> None:
    published = Published()
    nested = published.catalog({}, b"/a")
    with pytest.raises(FormatError, match="root_prefix is /a"):
        tree_with(published, nested, tmp_path).entry(b"")


@pytest.mark.parametrize(
    "change", [{"mode": 0o040777}, {"uid": 1}, {"mtime": 5}, {"xattrs": Xattrs.of({b"user.a": b"b"})}, {"linkcount": 9}]
)
def test_nested_root_that_differs_from_its_mountpoint_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    published = Published()
    row = directory_entry(b"a")
    nested = published.catalog({}, b"/a", root=nested_root(replace(row, **change)))  # type: ignore[arg-type]
    root = published.catalog({b"/a": nested_mountpoint(row)}, nested=[nested])
    with pytest.raises(FormatError, match="differs from its mountpoint"):
        tree_with(published, root, tmp_path).children(b"/a")


def test_nested_catalog_without_a_marked_directory_is_refused(tmp_path: Path) -> None:
    published = Published()
    row = directory_entry(b"a")
    nested = published.catalog({}, b"/a", root=nested_root(row))
    for entries in ({}, {b"/a": row}):
        root = published.catalog(entries, nested=[nested])
        with pytest.raises(FormatError, match="not marked as one on both sides"):
            tree_with(published, root, tmp_path).children(b"/a")


@pytest.mark.parametrize("path", [b"/a/../b", b"/a//b", b"/a/", b"/."])
def test_nested_catalog_at_a_path_that_is_none_is_refused(tmp_path: Path, path: bytes) -> None:
    published = Published()
    root = published.catalog({}, nested=[CatalogReference(RepositoryPath(path), Digest.of(b""), 0)])
    with pytest.raises(FormatError):
        tree_with(published, root, tmp_path).children(b"")


def test_nested_catalog_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    published = Published()
    row = directory_entry(b"a")
    elsewhere = CatalogReference(RepositoryPath(b"/b"), Digest.of(b""), 0)
    nested = published.catalog({}, b"/a", root=nested_root(row), nested=[elsewhere])
    root = published.catalog({b"/a": nested_mountpoint(row)}, nested=[nested])
    with pytest.raises(FormatError, match="/b is not below the catalog"):
        tree_with(published, root, tmp_path).children(b"/a")


def test_chain_of_catalogs_without_end_is_refused(tmp_path: Path) -> None:
    published = Published()
    path = b"/a" * 70
    below: CatalogReference | None = None
    while path:
        row = directory_entry(b"a")
        entries = {path + b"/a": nested_mountpoint(row)} if below is not None else {}
        below = published.catalog(entries, path, root=nested_root(row), nested=[below] if below is not None else [])
        path = path[:-2]
    assert below is not None
    root = published.catalog({b"/a": nested_mountpoint(directory_entry(b"a"))}, nested=[below])
    with pytest.raises(FormatError, match="more than 64 deep"):
        list(tree_with(published, root, tmp_path).walk())


@pytest.mark.parametrize("name", ["..", ".", "a/b", ""])
def test_names_that_are_no_names_are_refused(tmp_path: Path, name: str) -> None:
    published = Published()
    statement = f"UPDATE catalog SET name = '{name}' WHERE name = 'evil'"
    root = published.catalog({b"/evil": link_entry(b"evil", b"/etc")}, statements=[statement])
    with pytest.raises(FormatError):
        tree_with(published, root, tmp_path).children(b"")


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    published = Published()
    entries = {b"/x": link_entry(b"x", b"/etc"), b"/y": directory_entry(b"y")}
    root = published.catalog(entries, statements=["UPDATE catalog SET name = 'x' WHERE name = 'y'"])
    with pytest.raises(FormatError, match="is one of two called b'x'"):
        tree_with(published, root, tmp_path).children(b"")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW endless AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "CREATE TRIGGER surprise AFTER INSERT ON catalog BEGIN DELETE FROM catalog; END",
    ],
)
def test_catalog_that_computes_its_rows_is_refused(tmp_path: Path, statement: str) -> None:
    published = Published()
    root = published.catalog({}, statements=[statement])
    with pytest.raises(FormatError, match="no plain table or index"):
        tree_with(published, root, tmp_path).children(b"")


def test_object_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    published = Published()
    digest = published.add(b"no database", ObjectKind.CATALOG)
    root = CatalogReference(RepositoryPath(b""), digest, 11)
    with pytest.raises(FormatError, match="the catalog at /"):
        tree_with(published, root, tmp_path).entry(b"")


def test_a_tree_that_was_closed_is_read_again(tmp_path: Path) -> None:
    with tree_of(library(), tmp_path) as (tree, _):
        before = [located.path for located in tree.walk()]
        with tree._shelf.use(tree.root):
            tree.close()
            assert tree.mountpoint(b"/shelf/inner").path == b"/shelf/inner"
        tree.close()
        assert [located.path for located in tree.walk()] == before


def test_catalog_that_rots_while_it_is_open_is_fetched_again(tmp_path: Path) -> None:
    published = library()
    with tree_of(published, tmp_path) as (tree, _):
        path = RepositoryPath(b"/shelf/one")
        before = tree.pieces(path, tree.entry(path))
        assert published.root is not None
        text = published.root.digest.text
        catalog = tmp_path / text[:2] / text[2:]
        data = catalog.read_bytes()
        rotten = data.replace(before[0].object.digest.raw, bytes(20))
        assert rotten != data
        with open(catalog, "r+b") as opened:
            opened.write(rotten)
        assert tree.pieces(path, tree.entry(path)) == before
        catalog.unlink()
        assert tree.pieces(path, tree.entry(path)) == before
