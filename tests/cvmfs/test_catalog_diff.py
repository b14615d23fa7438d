"""Differences of two revisions: what a comparison of full listings finds, without opening what is the same."""

from __future__ import annotations

import stat
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_diff import Aspect, Difference, Effect, Version, differences
from outcrop.cvmfs.catalog_edit import EditableCatalog, nested_mountpoint, nested_root
from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, join, name, parent
from outcrop.cvmfs.xattrs import Xattrs
from tests.cvmfs.databases import empty_database
from tests.cvmfs.refusal import refused

Listing = Mapping[RepositoryPath, Version]


@dataclass
class Shelf:
    """Catalogs by digest. `opened` notes the mountpoints of those that were asked for, `open` how many are."""

    data: dict[Digest, bytes] = field(default_factory=dict)
    opened: list[RepositoryPath] = field(default_factory=list)
    catalogs: list[Catalog] = field(default_factory=list)

    def store(self, path: RepositoryPath, catalog: EditableCatalog, revision: int = 1) -> CatalogReference:
        catalog.finish(revision=revision, now=1_700_000_000, previous=None)
        data = database_to_bytes(catalog.connection)
        digest = Digest.of(data)
        self.data[digest] = data
        return CatalogReference(path, digest, len(data))

    def load(self, reference: CatalogReference) -> Catalog:
        self.opened.append(reference.path)
        self.catalogs.append(Catalog.parse(self.data[reference.digest]))
        return self.catalogs[-1]

    def publish(self, listing: Listing, cuts: Iterable[RepositoryPath] = (), revision: int = 1) -> CatalogReference:
        """The root catalog of the tree `listing` with a nested catalog at each directory of `cuts`."""
        mountpoints = {ROOT, *(cut for cut in cuts if cut in listing and listing[cut].entry.is_directory)}
        references: dict[RepositoryPath, CatalogReference] = {}
        for mountpoint in sorted(mountpoints, key=len, reverse=True):
            root = listing[mountpoint].entry
            catalog = EditableCatalog.create(empty_database(), mountpoint, nested_root(root) if mountpoint else root)
            for path, version in sorted(listing.items()):
                if path != ROOT and _holder(parent(path), mountpoints) == mountpoint:
                    entry = nested_mountpoint(version.entry) if path in mountpoints else version.entry
                    catalog.put(path, entry, version.chunks)
            for path, reference in references.items():
                if _holder(parent(path), mountpoints) == mountpoint:
                    catalog.set_nested(reference)
            references[mountpoint] = self.store(mountpoint, catalog, revision if mountpoint == ROOT else 1)
        return references[ROOT]

    def compare(self, old: CatalogReference, new: CatalogReference, below: bytes = ROOT) -> list[Difference]:
        self.opened.clear()
        return list(differences(old, new, self.load, below=RepositoryPath(below)))


def _holder(directory: RepositoryPath, mountpoints: set[RepositoryPath]) -> RepositoryPath:
    while directory not in mountpoints:
        directory = parent(directory)
    return directory


def digest(number: int) -> Digest:
    return Digest(Algorithm.SHA1, bytes([number]) * 20)


def directory(entry_name: bytes = b"", **more: Any) -> Version:
    return Version(Entry(entry_name, stat.S_IFDIR | 0o755, size=4096, linkcount=2, **more))


def file(entry_name: bytes, number: int = 1, **more: Any) -> Version:
    return Version(Entry(entry_name, stat.S_IFREG | 0o644, size=number, digest=digest(number), **more))


def tree(paths: Mapping[str, int | None], **more: Any) -> dict[RepositoryPath, Version]:
    """A listing: files by the number of their content, directories as None or implied by what they hold."""
    listing = {ROOT: directory()}
    for text, number in paths.items():
        path = RepositoryPath(text.encode())
        above = parent(path)
        while above not in listing:
            listing[above] = directory(name(above))
            above = parent(above)
        listing[path] = directory(name(path)) if number is None else file(name(path), number, **more)
    return listing


def seen(version: Version) -> object:
    """What a reader can tell of an entry, written down without the code under test."""
    entry = version.entry
    common = (entry.mode, entry.mtime, entry.mtime_ns or 0, entry.uid, entry.gid, entry.xattrs)
    if entry.is_directory:
        return common
    kept = entry.marks & (Mark.HIDDEN | Mark.CHUNKED)
    return (*common, entry.size, entry.digest, entry.symlink, entry.linkcount, entry.compression, kept, version.chunks)


def brute_force(old: Listing, new: Listing) -> list[tuple[RepositoryPath, Effect]]:
    found = []
    for path in sorted(old.keys() | new.keys(), key=lambda one: one.split(b"/")):
        if path not in old:
            found.append((path, Effect.ADDED))
        elif path not in new:
            found.append((path, Effect.REMOVED))
        elif seen(old[path]) != seen(new[path]):
            found.append((path, Effect.CHANGED))
    return found


def applied(old: Listing, found: Iterable[Difference]) -> dict[RepositoryPath, object]:
    result = {path: seen(version) for path, version in old.items()}
    for one in found:
        if one.new is None:
            del result[one.path]
        else:
            result[one.path] = seen(one.new)
    return result


NAMES = st.sampled_from([b"a", b"b", b"c", b"\xff", b"d.e"])
ATTRIBUTES = st.fixed_dictionaries(
    {
        "mtime": st.sampled_from([0, -(2**63), 2**63 - 1]),
        "mtime_ns": st.sampled_from([None, 0, 7]),
        "uid": st.sampled_from([0, 1]),
        "xattrs": st.sampled_from([Xattrs(), Xattrs(((b"user.x", b"y"),))]),
    }
)


@st.composite
def versions(draw: st.DrawFn, entry_name: bytes) -> Version:
    more: dict[str, Any] = draw(ATTRIBUTES)
    kind = draw(st.sampled_from(["directory", "file", "chunked", "linked", "symlink", "device"]))
    number = draw(st.integers(1, 2))
    if kind == "directory":
        return directory(entry_name, **more)
    if kind == "symlink":
        target = b"x" * number
        return Version(Entry(entry_name, stat.S_IFLNK | 0o777, size=number, symlink=target, **more))
    if kind == "device":
        return Version(Entry(entry_name, stat.S_IFCHR | 0o666, size=number, **more))
    if kind == "chunked":
        chunks = (Chunk(0, 10, digest(number)), Chunk(10, 20, digest(3)))
        return Version(Entry(entry_name, stat.S_IFREG | 0o644, size=30, marks=Mark.CHUNKED, **more), chunks)
    if kind == "linked":
        return file(entry_name, number, linkcount=2, hardlink_group=draw(st.integers(1, 9)), **more)
    return file(entry_name, number, **more)


@st.composite
def listings(draw: st.DrawFn, base: Listing | None = None) -> dict[RepositoryPath, Version]:
    """A tree, by chance one that has much in common with `base`."""
    listing: dict[RepositoryPath, Version] = dict(base or {ROOT: directory()})
    for _ in range(draw(st.integers(0, 8))):
        directories = sorted(path for path, version in listing.items() if version.entry.is_directory)
        path = join(draw(st.sampled_from(directories)), draw(NAMES))
        for gone in [one for one in listing if is_below(one, path)]:
            del listing[gone]
        if draw(st.integers(0, 4)):
            listing[path] = draw(versions(name(path)))
    return listing


@st.composite
def two_trees(draw: st.DrawFn) -> tuple[Shelf, Listing, Listing, CatalogReference, CatalogReference]:
    old = draw(listings())
    new = draw(listings(old if draw(st.booleans()) else None))
    shelf = Shelf()
    cuts = st.sets(st.sampled_from(sorted(old.keys() | new.keys())))
    return shelf, old, new, shelf.publish(old, draw(cuts)), shelf.publish(new, draw(cuts), revision=2)


@pytest.mark.property
@given(two_trees())
def test_the_difference_is_that_of_full_listings_however_they_are_cut_into_catalogs(
    trees: tuple[Shelf, Listing, Listing, CatalogReference, CatalogReference],
) -> None:
    shelf, old, new, old_root, new_root = trees
    found = shelf.compare(old_root, new_root)
    assert [(one.path, one.effect) for one in found] == brute_force(old, new)
    assert applied(old, found) == {path: seen(version) for path, version in new.items()}
    assert all(one.aspects for one in found)


@pytest.mark.property
@given(two_trees(), st.lists(NAMES, max_size=3))
def test_a_path_restricts_the_difference_to_what_lies_below(
    trees: tuple[Shelf, Listing, Listing, CatalogReference, CatalogReference], names: list[bytes]
) -> None:
    shelf, old, new, old_root, new_root = trees
    below = b"".join(b"/" + one for one in names)
    found = shelf.compare(old_root, new_root, below)
    assert [(one.path, one.effect) for one in found] == [
        (path, effect) for path, effect in brute_force(old, new) if is_below(path, below)
    ]


def test_equal_nested_catalogs_are_not_opened() -> None:
    paths: dict[str, int | None] = {f"/n{number}/file": number for number in range(1, 9)}
    cuts = [RepositoryPath(b"/n%d" % number) for number in range(1, 9)]
    shelf = Shelf()
    old = shelf.publish(tree(paths), cuts)
    new = shelf.publish(tree(paths | {"/n3/file": 99}), cuts, revision=2)
    (found,) = shelf.compare(old, new)
    assert (found.path, found.aspects) == (b"/n3/file", Aspect.CONTENT)
    assert shelf.opened == [b"", b"", b"/n3", b"/n3"]


def test_a_path_opens_only_the_catalogs_that_lead_to_it() -> None:
    shelf = Shelf()
    cuts = [RepositoryPath(b"/a"), RepositoryPath(b"/b")]
    old = shelf.publish(tree({"/a/x": 1, "/b/x": 1}), cuts)
    new = shelf.publish(tree({"/a/x": 2, "/b/x": 2}), cuts, revision=2)
    assert [one.path for one in shelf.compare(old, new, b"/b/x")] == [b"/b/x"]
    assert b"/a" not in shelf.opened


def test_one_root_catalog_is_no_difference_and_not_opened() -> None:
    shelf = Shelf()
    root = shelf.publish(tree({"/a": 1}))
    assert shelf.compare(root, root) == []
    assert shelf.opened == []


def test_splitting_and_merging_catalogs_is_no_change() -> None:
    listing = tree({"/a/b/c/file": 1, "/a/other": 2})
    shelf = Shelf()
    whole = shelf.publish(listing)
    split = shelf.publish(listing, [RepositoryPath(b"/a"), RepositoryPath(b"/a/b/c")])
    assert shelf.compare(whole, split) == shelf.compare(split, whole) == []


def test_numbers_of_hard_link_groups_sizes_and_link_counts_of_directories_are_no_change() -> None:
    old = tree({"/d/a": 1, "/d/b": 1}, linkcount=2, hardlink_group=1)
    new = tree({"/d/a": 1, "/d/b": 1}, linkcount=2, hardlink_group=7)
    path = RepositoryPath(b"/d")
    new[path] = Version(replace(new[path].entry, size=77, linkcount=9))
    shelf = Shelf()
    assert shelf.compare(shelf.publish(old), shelf.publish(new, revision=2)) == []


def test_unknown_nanoseconds_are_none() -> None:
    shelf = Shelf()
    old, new = tree({"/a": 1}, mtime_ns=None), tree({"/a": 1}, mtime_ns=0)
    assert shelf.compare(shelf.publish(old), shelf.publish(new, revision=2)) == []


@pytest.mark.parametrize(
    ("new", "aspects"),
    [
        (file(b"a", 2), Aspect.CONTENT),
        (file(b"a", 1, uid=5), Aspect.ATTRIBUTES),
        (file(b"a", 1, linkcount=2), Aspect.ATTRIBUTES),
        (file(b"a", 2, mtime=5), Aspect.CONTENT | Aspect.ATTRIBUTES),
        (directory(b"a"), Aspect.KIND | Aspect.CONTENT | Aspect.ATTRIBUTES),
    ],
)
def test_what_differs_is_told(new: Version, aspects: Aspect) -> None:
    shelf = Shelf()
    before, after = tree({"/a": 1}), tree({})
    after[RepositoryPath(b"/a")] = new
    (found,) = shelf.compare(shelf.publish(before), shelf.publish(after, revision=2))
    assert found.aspects == aspects
    assert found.is_content == (aspects != Aspect.ATTRIBUTES)


def test_a_bind_mountpoint_is_compared_by_what_it_shows() -> None:
    shelf = Shelf()
    roots = []
    for number in (1, 2):
        catalog = EditableCatalog.create(empty_database(), ROOT, directory().entry)
        catalog.put(b"/bound", replace(directory(b"bound").entry, marks=Mark.BIND_MOUNTPOINT))
        catalog.connection.execute(
            "INSERT INTO bind_mountpoints VALUES (CAST(? AS TEXT), ?, 1)", (b"/bound", digest(number).text)
        )
        roots.append(shelf.store(ROOT, catalog, number))
    (found,) = shelf.compare(roots[0], roots[1])
    assert (found.path, found.aspects) == (b"/bound", Aspect.CONTENT)


def test_deep_paths_and_few_open_catalogs() -> None:
    deep = "/x" * 1500
    listing = tree({deep: 1})
    cuts = [RepositoryPath(b"/x" * depth) for depth in range(100, 1500, 100)]
    shelf = Shelf()
    found = shelf.compare(shelf.publish(tree({})), shelf.publish(listing, cuts, revision=2))
    assert len(found) == 1500


def test_catalogs_are_closed_when_the_walk_ends_early() -> None:
    shelf = Shelf()
    walk = differences(shelf.publish(tree({})), shelf.publish(tree({"/a": 1, "/b": 2}), revision=2), shelf.load)
    assert isinstance(walk, Generator)
    assert next(walk).path == b"/a"
    walk.close()
    for catalog in shelf.catalogs:
        with refused("the database"):
            catalog.lookup(b"")


def test_a_catalog_made_for_another_place_is_refused() -> None:
    shelf = Shelf()
    elsewhere = EditableCatalog.create(empty_database(), b"/elsewhere", nested_root(directory(b"elsewhere").entry))
    wrong = shelf.store(RepositoryPath(b"/a"), elsewhere)
    catalog = EditableCatalog.create(empty_database(), ROOT, directory().entry)
    catalog.put(b"/a", nested_mountpoint(directory(b"a").entry))
    catalog.set_nested(wrong)
    with refused("root_prefix"):
        shelf.compare(shelf.publish(tree({})), shelf.store(ROOT, catalog, 2))


def test_a_mountpoint_that_leads_nowhere_is_refused() -> None:
    shelf = Shelf()
    catalog = EditableCatalog.create(empty_database(), ROOT, directory().entry)
    catalog.put(b"/a", nested_mountpoint(directory(b"a").entry))
    with refused("the nested catalog /a"):
        shelf.compare(shelf.publish(tree({})), shelf.store(ROOT, catalog, 2))
