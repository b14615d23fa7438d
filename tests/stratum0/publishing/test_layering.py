"""Trees laid over trees: what a dictionary would hold afterwards, in catalogs that do not contradict themselves."""

from __future__ import annotations

import random
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.dirtab import NO_RULES
from outcrop.cvmfs.entry import Chunk, Entry, Mark, encode_entry
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, is_below, name, parent, repository_path
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import AlreadyExists, InvalidValue, NotFound, OutcropError
from outcrop.stratum0.catalogs.catalog_tree import MARKER, MAXIMUM_AWAKE, CatalogTree
from outcrop.stratum0.catalogs.early_nesting import EarlyNesting
from outcrop.stratum0.catalogs.markers import MarkerWriter
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.content_index import StoredContent
from outcrop.stratum0.publishing.incoming_tarball import TarballTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.publishing.layering import Layer, lay_over
from outcrop.stratum0.publishing.staging import Staging
from tests.conformance.section16 import check_repository
from tests.stratum0.archives import Member, hard_link, symlink, write_archive
from tests.stratum0.archives import directory as archived_directory
from tests.stratum0.catalog_store import CatalogStore, Found, tag
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.reading import entries

CHUNK_BYTES = 10


@dataclass(frozen=True)
class Thing:
    """What stands at one path: a `directory`, a `file`, a `chunked` file, a `link` or a `fifo`, and what is in it."""

    kind: str
    content: str = "x"
    mode: int = 0o644

    @property
    def is_directory(self) -> bool:
        return self.kind == "directory"

    def entry(self, entry_name: bytes) -> Entry:
        if self.kind == "directory":
            return Entry(entry_name, stat.S_IFDIR | self.mode, size=4096, mtime=1, linkcount=2)
        if self.kind == "link":
            target = self.content.encode()
            return Entry(entry_name, stat.S_IFLNK | 0o777, size=len(target), mtime=1, symlink=target)
        if self.kind == "fifo":
            return Entry(entry_name, stat.S_IFIFO | self.mode, mtime=1)
        if self.kind == "chunked":
            return Entry(entry_name, stat.S_IFREG | self.mode, 2 * CHUNK_BYTES, mtime=1, marks=Mark.CHUNKED)
        xattrs = Xattrs.of({b"user.content": self.content.encode()} if self.content == "y" else {})
        return Entry(entry_name, stat.S_IFREG | self.mode, 1, mtime=1, digest=tag(self.content), xattrs=xattrs)

    def chunks(self) -> tuple[Chunk, ...]:
        digests: Sequence[Digest] = [tag(self.content), tag("the end")] if self.kind == "chunked" else []
        return tuple(Chunk(number * CHUNK_BYTES, CHUNK_BYTES, digest) for number, digest in enumerate(digests))


DIRECTORY = Thing("directory", mode=0o755)
FILE = Thing("file")
Tree = Mapping[str, Thing | str]
"""Things by path; a text is the path, in the same tree, of the file that this is another name of."""


@dataclass(frozen=True)
class Change:
    """What is laid over what is there."""

    trees: Sequence[Tree] = ()
    at: str = "/"
    delete: Sequence[str] = ()
    replace: Sequence[str] = ()


def staged(change: Change) -> Staging:
    staging = Staging()
    for number, tree in enumerate(change.trees):
        for text in sorted(tree, key=lambda text: isinstance(tree[text], str)):
            thing, path = tree[text], repository_path(change.at + text)
            if isinstance(thing, str):
                staging.add_link(path, repository_path(change.at + thing), tree=number)
            else:
                staging.add(path, encode_entry(thing.entry(name(path))), thing.chunks(), tree=number)
    return staging


def no_empty_object() -> StoredContent:
    raise AssertionError("no marker is put without limits")


def laid(store: CatalogStore, change: Change, *, stays: Iterable[str] = ()) -> ChangeSummary:
    """Lays `change` over what is in `store`, and writes it as a revision."""
    summary = ChangeSummary()
    kept = {repository_path(text) for text in stays}
    staging = staged(change)
    layer = Layer(
        staging,
        repository_path(change.at),
        tuple(map(repository_path, change.delete)),
        tuple(map(repository_path, change.replace)),
        owner=(3, 4),
        now=9,
        brings_trees=bool(change.trees),
    )

    def change_tree(tree: CatalogTree) -> None:
        writer = MarkerWriter(tree, summary, no_empty_object, 9)
        lay_over(tree, layer, summary, kept.__contains__, EarlyNesting(tree, writer, None, NO_RULES))

    store.change(change_tree)
    staging.close()
    return summary


def filled(*trees: Tree, at: str = "/") -> CatalogStore:
    store = CatalogStore()
    laid(store, Change(trees, at))
    return store


def names(found: Mapping[bytes, Found]) -> set[str]:
    return {path.decode() for path in found}


def files(*texts: str) -> dict[str, Thing | str]:
    """Files, with the directories that lead to them."""
    tree: dict[str, Thing | str] = {}
    for text in texts:
        tree |= dict.fromkeys((one.decode() for one in ancestors(text.encode())[1:]), DIRECTORY)
        tree[text] = FILE
    return tree


def marked(*directories: str) -> dict[str, Thing | str]:
    """Directories with markers of nested catalogs in them."""
    return files(*(f"{directory}/.cvmfscatalog" for directory in directories))


# --- one thing at a time


def test_two_groups_of_hard_links_in_one_directory_stay_apart() -> None:
    store = filled({**files("/d/a", "/d/c"), "/d/b": "/d/a", "/d/d": "/d/c"})
    found = store.read()
    assert found[b"/d/a"].names == found[b"/d/b"].names == {b"a", b"b"}
    assert found[b"/d/c"].names == found[b"/d/d"].names == {b"c", b"d"}


def test_a_twin_under_another_name_joins_no_group_that_is_there() -> None:
    """What is there has the names a and x, what comes in a and b: alike in content and in the number of names."""
    store = filled({**files("/a"), "/x": "/a"})
    laid(store, Change([{**files("/a"), "/b": "/a"}]))
    found = store.read()
    assert found[b"/a"].names == {b"a", b"b"}
    assert found[b"/x"].names == {b"x"}


def test_files_that_swap_their_twins_are_changed() -> None:
    store = filled({**files("/a", "/b"), "/x": "/a", "/y": "/b"})
    laid(store, Change([{**files("/a", "/b"), "/y": "/a", "/x": "/b"}]))
    found = store.read()
    assert found[b"/a"].names == {b"a", b"y"}
    assert found[b"/b"].names == {b"b", b"x"}


def test_hard_links_that_come_in_again_are_no_change() -> None:
    tree = {**files("/d/a", "/d/c"), "/d/b": "/d/a", "/d/d": "/d/c"}
    store = filled(tree)
    before = store.root
    assert laid(store, Change([tree])).is_empty
    assert store.root == before


def test_what_is_made_on_the_way_belongs_to_the_newcomer() -> None:
    found = filled(files("/f"), at="/a/b").read()
    assert names(found) == {"/a", "/a/b", "/a/b/f"}
    made = found[b"/a/b"].entry
    assert (made.uid, made.gid, made.mtime, made.permissions) == (3, 4, 9, 0o755)


def test_replacing_more_than_comes_in_keeps_the_directories_on_the_way() -> None:
    store = filled({**files("/p/old", "/p/q/old"), "/p": replace(DIRECTORY, mode=0o750)})
    summary = laid(store, Change([files("/new")], at="/p/q", replace=["/p"]))
    found = store.read()
    assert names(found) == {"/p", "/p/q", "/p/q/new"}
    assert found[b"/p"].entry.permissions == 0o750
    assert {change.path for change in summary.changes} == {b"/p/old", b"/p/q/old", b"/p/q/new"}


def test_replacing_what_comes_in_again_is_no_change() -> None:
    tree = {**marked("/d"), **files("/d/e/f")}
    store = filled(tree, at="/p")
    assert laid(store, Change([tree], at="/p", replace=["/p"])).is_empty
    assert laid(store, Change([tree], at="/p", replace=["/"])).is_empty


def test_replacing_with_nothing_takes_away() -> None:
    store = filled(files("/p/a", "/q"))
    laid(store, Change(replace=["/p"]))
    assert names(store.read()) == {"/q"}


def test_what_stays_there_stays() -> None:
    store = filled(files("/p/a", "/p/kept"))
    laid(store, Change([files("/b")], at="/p", replace=["/p"]), stays=["/p/kept"])
    assert names(store.read()) == {"/p", "/p/b", "/p/kept"}


@pytest.mark.parametrize("text", ["/p", "/p/d/e"])
def test_what_is_deleted_may_come_in_anew(text: str) -> None:
    store = filled(files("/p/d/e/f", "/p/g"))
    summary = laid(store, Change([files("/new")], at=text, delete=[text]))
    assert names(store.read()) >= {text, text + "/new"}
    assert summary.changes[0].effect is Effect.REMOVED
    assert text + "/f" not in names(store.read())


@pytest.mark.parametrize("text", ["/p", "/p/d", "/p/d/e/f", "/p/d/x"])
@pytest.mark.parametrize("at", ["/", "/p", "/p/d"])
def test_deleting_what_comes_in_again_is_no_change(text: str, at: str) -> None:
    whole: Tree = {**marked("/p/d/e"), **files("/p/d/e/f", "/p/d/y"), "/p/d/x": "/p/d/y"}
    store = filled(whole)
    before = store.root
    prefix = at.rstrip("/")
    again = {path.removeprefix(prefix) or "/": thing for path, thing in whole.items() if path.startswith(prefix)}
    again |= {"/x": "/y"} if at == "/p/d" else {"/d/x": "/d/y"} if at == "/p" else {}
    assert laid(store, Change([again], at=at, delete=[text])).is_empty
    assert store.root == before


def test_what_is_deleted_and_comes_in_changed_is_told_once() -> None:
    store = filled(files("/p/f", "/p/g"))
    summary = laid(store, Change([{**files("/p/f"), "/p/f": Thing("file", "y")}], delete=["/p", "/p/f"]))
    told = {(change.path, change.effect) for change in summary.changes}
    assert told == {(b"/p/f", Effect.CHANGED), (b"/p/g", Effect.REMOVED)}


def test_what_is_deleted_may_come_in_as_another_kind() -> None:
    store = filled(files("/p/f", "/q"))
    laid(store, Change([{"/p": FILE, **files("/q/g")}], delete=["/p", "/q"]))
    assert names(store.read()) == {"/p", "/q", "/q/g"}


def test_a_deleted_directory_has_the_attributes_of_the_tree_that_takes_its_place() -> None:
    tree: Tree = {"/": DIRECTORY, "/f": FILE}
    store = filled({"/p": replace(DIRECTORY, mode=0o700), "/p/f": FILE})
    laid(store, Change([tree], at="/p"))
    assert store.read()[b"/p"].entry.permissions == 0o700
    laid(store, Change([tree], at="/p", delete=["/p"]))
    assert store.read()[b"/p"].entry.permissions == 0o755


@pytest.mark.parametrize("delete", [["/v/d", "/v/d/1"], ["/v/d/1", "/v/d"], ["/v/d", "/v/d", "/v/d/n/2", "/v/d/n"]])
def test_what_is_deleted_may_lie_below_what_is_deleted(delete: list[str]) -> None:
    store = filled({**marked("/v/d/n"), **files("/v/d/1", "/v/d/n/2", "/v/kept")})
    summary = laid(store, Change(delete=delete))
    assert names(store.read()) == {"/v", "/v/kept"}
    assert [(change.path, change.entries) for change in summary.changes] == [(b"/v/d", 5)]


@pytest.mark.parametrize("delete", [["/v/d", "/v/d/2"], ["/v/d/2", "/v/d"]])
def test_what_never_was_below_what_is_deleted_is_refused_by_name(delete: list[str]) -> None:
    with pytest.raises(NotFound, match="/v/d/2, which is to be deleted, does not exist"):
        laid(filled(files("/v/d/1")), Change(delete=delete))


def test_a_marker_that_is_deleted_by_name_goes_though_its_directory_comes_in_again() -> None:
    store = filled({**marked("/p"), **files("/p/f")})
    laid(store, Change([files("/p/f")], delete=["/p", "/p/.cvmfscatalog"]), stays=["/p/.cvmfscatalog"])
    assert names(store.read()) == {"/p", "/p/f"}


def test_the_root_cannot_be_deleted() -> None:
    with pytest.raises(InvalidValue, match="root of a repository cannot be deleted"):
        laid(filled(files("/a")), Change(delete=["/"]))


def test_what_is_not_there_cannot_be_deleted() -> None:
    with pytest.raises(NotFound, match="/b, which is to be deleted, does not exist"):
        laid(filled(files("/a")), Change(delete=["/b"]))


@pytest.mark.parametrize("old", ["link", "file", "fifo"])
def test_nothing_is_laid_below_what_is_no_directory(old: str) -> None:
    store = filled({"/p": Thing(old)})
    for change in (Change([files("/p/x")]), Change([files("/x")], at="/p"), Change([files("/x")], at="/p/q")):
        with pytest.raises(AlreadyExists, match=r"/p, which is no directory, already exists") as refused:
            laid(store, change)
        assert "--replace /p" in refused.value.hint


def test_a_member_below_a_link_of_a_later_tree_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"/p/x lies below /p, which is no directory"):
        filled(files("/p/x"), {"/p": Thing("link")})


def test_a_kept_directory_and_its_attributes_belong_to_who_published_it_last() -> None:
    store = filled({"/d": replace(DIRECTORY, mode=0o700)})
    summary = laid(store, Change([files("/d/f")]))
    assert store.read()[b"/d"].entry.permissions == 0o755
    assert [(one.path, one.effect, one.content) for one in summary.changes] == [
        (b"/d", Effect.CHANGED, False),
        (b"/d/f", Effect.ADDED, True),
    ]


def test_a_marker_that_turns_into_a_link_merges() -> None:
    store = filled({**marked("/d", "/d/e"), **files("/d/f")})
    assert set(store.nested()) == {b"/d", b"/d/e"}
    laid(store, Change([{"/d": DIRECTORY, "/d/.cvmfscatalog": Thing("link")}]))
    assert set(store.nested()) == {b"/d/e"}
    store.read()


def test_splitting_and_merging_keeps_hard_link_groups_apart() -> None:
    """Groups are numbered within a catalog, so two catalogs have the same numbers."""
    twins = {**files("/d/a", "/d/e/a", "/a"), "/d/b": "/d/a", "/d/e/b": "/d/e/a", "/b": "/a"}
    store = filled({**twins, **marked("/d", "/d/e")})
    for split in (False, True, False):
        if split:
            laid(store, Change([marked("/d", "/d/e")]))
        else:
            laid(store, Change(delete=["/d/.cvmfscatalog", "/d/e/.cvmfscatalog"]))
        assert bool(store.nested()) == split
        for directory in ("", "/d", "/d/e"):
            found = store.read()[f"{directory}/a".encode()]
            assert found.names == {b"a", b"b"}
            assert found.entry.hardlink_group


def test_bind_mountpoints_move_along() -> None:
    store = filled(files("/d/e/f", "/g"))
    bound = [CatalogReference(repository_path(text), tag(text), 7) for text in ("/d/e", "/g-of-another")]
    catalog_of = {False: b"", True: b"/d"}

    def bind(tree: CatalogTree) -> None:
        for reference in bound:
            holder = tree._open[ROOT]
            holder.catalog.connection.execute(
                "INSERT INTO bind_mountpoints VALUES (CAST(? AS TEXT), ?, ?)",
                (reference.path, reference.digest.text, reference.size),
            )
            holder.changed = True

    store.change(bind)
    for split in (True, False, True):
        laid(store, Change([marked("/d")]) if split else Change(delete=["/d/.cvmfscatalog"]))
        tree = store.open()
        inside = tree._inside(repository_path("/d")).catalog
        assert inside.properties.root_prefix == catalog_of[split]
        assert bound[0] in inside.bind_mountpoints()
        assert bound[1] in tree._open[ROOT].catalog.bind_mountpoints()
        tree.close()
    laid(store, Change(delete=["/d"]))
    tree = store.open()
    assert tree._open[ROOT].catalog.bind_mountpoints() == (bound[1],)
    tree.close()


# --- more catalogs than memory holds at once

MANY = MAXIMUM_AWAKE + 40


def many(inner: str = "/inner") -> dict[str, Thing | str]:
    """Many nested catalogs, each with another one in it."""
    directories = [f"/n{number:03}{deeper}" for number in range(MANY) for deeper in ("", inner)]
    return {**marked(*directories), **files(*(f"{directory}/f" for directory in directories))}


@pytest.fixture(scope="module")
def crowd() -> CatalogStore:
    return filled(many())


def copied(store: CatalogStore) -> CatalogStore:
    return CatalogStore(dict(store.catalogs), store.root, store.revision)


def test_more_catalogs_than_memory_holds_come_out_whole(crowd: CatalogStore) -> None:
    assert len(crowd.nested()) == 2 * MANY
    assert names(crowd.read()) == set(many())


def test_changes_in_more_catalogs_than_memory_holds_are_all_written(crowd: CatalogStore) -> None:
    store = copied(crowd)
    paths = [f"/n{number:03}/inner/f" for number in range(MANY)]
    tree = files(*paths) | dict.fromkeys(paths, Thing("file", "y"))
    summary = laid(store, Change([tree]))
    assert summary.changed == MANY
    assert {path for path, one in store.read().items() if one.entry.digest == tag("y")} == {p.encode() for p in paths}
    assert len(store.stored) == 2 * MANY + 1


def test_a_directory_in_each_of_more_catalogs_than_memory_holds_is_counted(crowd: CatalogStore) -> None:
    store = copied(crowd)
    laid(store, Change([{**files(*(f"/n{number:03}/inner/new/f" for number in range(MANY)))}]))
    assert store.read()[b"/n000/inner"].entry.linkcount == 3


def test_replacing_all_by_little_more_touches_little(crowd: CatalogStore) -> None:
    store = copied(crowd)
    summary = laid(store, Change([{**many(), **files("/n007/inner/more")}], replace=["/"]))
    assert [change.path for change in summary.changes] == [b"/n007/inner/more"]
    assert len(store.stored) == 3
    assert names(store.read()) == {*many(), "/n007/inner/more"}


def test_deleting_more_catalogs_than_memory_holds_counts_what_goes(crowd: CatalogStore) -> None:
    store = copied(crowd)
    summary = laid(store, Change([files("/n001/inner/g")], replace=["/"]))
    assert names(store.read()) == {"/n001", "/n001/inner", "/n001/inner/g"}
    assert summary.removed == len(many()) - 2
    assert store.nested() == {}


# --- whatever comes

NAMES = ["a", "b", "c", ".cvmfscatalog"]
CONTENTS = ["x", "y"]


def texts(depth: int = 4) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(NAMES[:3]), min_size=1, max_size=depth).map(lambda parts: "/" + "/".join(parts))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A tree as a directory on disk may hold it."""
    tree: dict[str, Thing | str] = {"/": draw(st.sampled_from([DIRECTORY, replace(DIRECTORY, mode=0o700)]))}
    for _ in range(draw(st.integers(0, 8))):
        directories = sorted(
            text for text, thing in tree.items() if thing in (DIRECTORY, replace(DIRECTORY, mode=0o700))
        )
        directory = draw(st.sampled_from(directories)).rstrip("/")
        last = draw(st.sampled_from(NAMES))
        if last == ".cvmfscatalog":
            thing = Thing(draw(st.sampled_from(["file", "file", "file", "link"])))
        else:
            kind = draw(st.sampled_from(["directory", "directory", "file", "file", "chunked", "link", "fifo"]))
            thing = Thing(kind, draw(st.sampled_from(CONTENTS)), 0o755 if kind == "directory" else 0o644)
            thing = replace(thing, content="x") if kind in ("directory", "fifo") else thing
        if f"{directory}/{last}" not in tree:
            tree[f"{directory}/{last}"] = thing
    for _ in range(draw(st.integers(0, 3))):
        linkable = sorted(text for text, thing in tree.items() if not isinstance(thing, str) and not thing.is_directory)
        if linkable:
            target = draw(st.sampled_from(linkable))
            tree.setdefault(target.rpartition("/")[0] + "/" + draw(st.sampled_from("abcdef")), target)
    return tree


CHANGES = st.builds(
    Change,
    st.lists(trees(), max_size=2),
    st.just("/") | texts(2),
    st.lists(texts(), max_size=2),
    st.lists(st.just("/") | texts(2), max_size=2),
)


@dataclass
class Model:
    """The tree as a dictionary. Two names of one file in one directory have the same `inodes`."""

    things: dict[RepositoryPath, Thing] = field(default_factory=dict)
    inodes: dict[RepositoryPath, int] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)

    def lay(self, change: Change) -> bool:
        """Makes the change; False, and nothing is changed, if it must be refused."""
        things, inodes = dict(self.things), dict(self.inodes)
        done = self._lay(change)
        if not done:
            self.things, self.inodes = things, inodes
        return done

    def _lay(self, change: Change) -> bool:
        at = repository_path(change.at)
        incoming, inodes = self._incoming(change, at)
        deleted = [repository_path(text) for text in change.delete]
        if not all(path in self.things for path in deleted):
            return False
        way = {*ancestors(at), at} if change.trees else set[RepositoryPath]()
        for path in (*deleted, *map(repository_path, change.replace)):
            self._replace(path, incoming, way)
        for path in sorted(way - {ROOT}):
            if path in self.things and not self.things[path].is_directory:
                return False
            if path not in self.things or (path == at and any(is_below(at, one) for one in deleted)):
                self.things[path] = incoming.get(path, DIRECTORY)
        for path, thing in sorted(incoming.items(), key=lambda one: one[0].count(b"/")):
            old = self.things.get(path)
            if path in (ROOT, at):
                continue
            if parent(path) != ROOT and not self.things[parent(path)].is_directory:
                return False
            if old is not None and old.is_directory != thing.is_directory:
                return False
            self.things[path] = thing
            self.inodes[path] = inodes[path]
        return True

    def _incoming(
        self, change: Change, at: RepositoryPath
    ) -> tuple[dict[RepositoryPath, Thing], dict[RepositoryPath, int]]:
        things: dict[RepositoryPath, Thing] = {}
        inodes: dict[RepositoryPath, int] = {}
        for tree in change.trees:
            own: dict[str, int] = {}
            for text in sorted(tree, key=lambda text: isinstance(tree[text], str)):
                thing, path = tree[text], RepositoryPath(at + repository_path(text))
                own[text] = own[thing] if isinstance(thing, str) else next(self._numbers)
                target = tree[thing] if isinstance(thing, str) else thing
                assert isinstance(target, Thing)
                things[path], inodes[path] = target, own[text]
        return things, inodes

    def _remove(self, top: RepositoryPath) -> None:
        for path in [one for one in self.things if is_below(one, top)]:
            del self.things[path]

    def _replace(self, top: RepositoryPath, incoming: Mapping[RepositoryPath, Thing], way: set[RepositoryPath]) -> None:
        for path in sorted(one for one in self.things if is_below(one, top)):
            if path in self.things:
                upcoming = incoming.get(path) or (DIRECTORY if path in way else None)
                if upcoming is None or upcoming.is_directory != self.things[path].is_directory:
                    self._remove(path)

    def nested(self) -> set[RepositoryPath]:
        markers = [path for path, thing in self.things.items() if name(path) == MARKER and thing.kind == "file"]
        return {parent(path) for path in markers} - {ROOT}

    def names(self, path: RepositoryPath) -> set[bytes]:
        same = (one for one in self.things if parent(one) == parent(path) and not self.things[one].is_directory)
        return {name(one) for one in same if self.inodes[one] == self.inodes[path]}


def require_equal(store: CatalogStore, model: Model) -> None:
    found = store.read()
    assert set(found) == set(model.things)
    for path, thing in model.things.items():
        expected, one = thing.entry(name(path)), found[path]
        for attribute in ("kind", "permissions", "symlink", "digest", "xattrs", "is_chunked"):
            assert getattr(one.entry, attribute) == getattr(expected, attribute), (path, attribute)
        assert one.chunks == thing.chunks()
        assert thing.is_directory or one.names == model.names(path)
    assert set(store.nested()) == model.nested()


@pytest.mark.property
@given(st.lists(CHANGES, min_size=1, max_size=5))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_catalogs_hold_what_a_dictionary_would(changes: list[Change]) -> None:
    store, model = CatalogStore(), Model()
    laid(store, Change([{}]))
    store.change(lambda tree: tree.put(ROOT, tree.root))
    for change in changes:
        root = store.root
        before = dict(model.things)
        accepted = model.lay(change)
        if not accepted:
            with pytest.raises(OutcropError):
                laid(store, change)
            event("refused")
            assert store.root == root
        else:
            summary = laid(store, change)
            event(f"accepted, {len(store.stored)} catalogs")
            assert summary.is_empty == (store.root == root)
            added = {change.path for change in summary.changes if change.effect is Effect.ADDED}
            assert added >= set(model.things) - set(before)
            assert len(model.things) - len(before) == summary.added - summary.removed
        require_equal(store, model)


# --- published


def random_members(choice: random.Random) -> list[Member]:
    """A small archive with all kinds of members, in it directories that are only implied."""
    places = ["", "a/", "b/", "a/b/", "a/b/c/"]
    files = sorted({choice.choice(places) + choice.choice("xyz") + ".f" for _ in range(6)})
    members = [Member(path, choice.choice([b"", b"1", b"22"]), mode=choice.choice([0o644, 0o600])) for path in files]
    members += [hard_link(f"{path[:-2]}.{number}", path) for number, path in enumerate(choice.sample(files, 2))]
    members += [symlink(choice.choice(places) + "s", choice.choice(["x.f", "/y"]))]
    for place in choice.sample(places[1:], 2):
        members += [archived_directory(place), Member(f"{place}.cvmfscatalog")]
    return members


@pytest.mark.parametrize("seed", range(4))
def test_every_revision_of_random_changes_is_sound(publisher: Publisher, tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    published = 0
    for number in range(8):
        archive = write_archive(tmp_path / f"{number}.tar", *random_members(choice))
        there = sorted(entries(publisher.repository.store))
        delete = [choice.choice(there)] if there and choice.random() < 0.5 else []
        request = IngestRequest(
            trees=(TarballTree(archive),),
            at=repository_path(choice.choice(["/", "/a", "/deep/er"])),
            delete=tuple(map(RepositoryPath, delete)),
            replace=(repository_path(choice.choice(["/", "/a", "/none"])),) if choice.random() < 0.3 else (),
        )
        with suppress(AlreadyExists, NotFound):
            published += publisher.publish(request).published
    assert published >= 4
    now = publisher.now + timedelta(seconds=1)
    assert check_repository(publisher.storage, [publisher.public_key], NAME, now=now, all_revisions=True) == []
