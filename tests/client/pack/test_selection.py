"""What goes into a pack is what was asked for, and what that needs."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from outcrop.client.pack.selection import SelectionOptions, select_paths, select_trace
from outcrop.client.trace.access import Access
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import InvalidValue, NotFound
from outcrop.strace.asked_paths import AccessKind
from tests.client.published import NAME, Published, directory_entry, library, link_entry
from tests.client.reading import tree_of


def tree(links: Mapping[str, bytes]) -> Published:
    """Directories `a` and `b` with a file each, and `links` by path."""
    published = Published()
    entries: dict[bytes, Entry] = {}
    for name in (b"a", b"b"):
        entries[b"/" + name] = directory_entry(name)
        entries[b"/" + name + b"/file"] = published.file(b"file", name)
    for path, target in links.items():
        raw = path.encode()
        entries[raw] = link_entry(raw.rpartition(b"/")[2], target)
    return published.sign(published.catalog(entries))


def chosen(published: Published, cache: Path, *paths: str, options: SelectionOptions | None = None) -> list[str]:
    with tree_of(published, cache) as (opened, _):
        selection = select_paths(opened, map(repository_path, paths), options or SelectionOptions())
    return [located.path.decode() or "/" for located in selection.entries]


def traced(published: Published, cache: Path, *accesses: tuple[str, AccessKind]) -> list[str]:
    found = [Access(NAME, repository_path(path), kind, True) for path, kind in accesses]
    with tree_of(published, cache) as (opened, _):
        return [located.path.decode() or "/" for located in select_trace(opened, found).entries]


def test_file_comes_with_the_directories_that_lead_to_it(tmp_path: Path) -> None:
    assert chosen(library(), tmp_path, "/shelf/inner/two") == ["/", "/shelf", "/shelf/inner", "/shelf/inner/two"]


def test_directory_brings_all_that_lies_below_it(tmp_path: Path) -> None:
    assert chosen(library(), tmp_path, "/shelf") == ["/", "/shelf", "/shelf/inner", "/shelf/inner/two", "/shelf/one"]


def test_hidden_entries_come_when_they_are_named(tmp_path: Path) -> None:
    assert "/hidden" not in chosen(library(), tmp_path, "/")
    assert "/hidden" in chosen(library(), tmp_path, "/hidden")


def test_order_and_repetition_of_arguments_make_no_difference(tmp_path: Path) -> None:
    assert chosen(library(), tmp_path, "/shelf", "/README") == chosen(
        library(), tmp_path, "/README", "shelf/", "/shelf"
    )


def test_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="/nothing"):
        chosen(library(), tmp_path, "/README", "/nothing")


@pytest.mark.parametrize(
    ("target", "brought"),
    [
        (b"../b/file", ["/b", "/b/file"]),
        (b"../b", ["/b", "/b/file"]),
        (b"/cvmfs/books.example.org/b/file", ["/b", "/b/file"]),
        (b"/cvmfs/books.example.org", ["/b", "/b/file"]),
        (b"file", []),
        (b"../../b/file", []),
        (b"/cvmfs/other.example.org/b", []),
        (b"/etc/passwd", []),
        (b"nowhere", []),
        (b"link", []),
        (b"$(WHERE)/b", []),
    ],
)
def test_links_bring_what_they_lead_to_inside_the_repository(tmp_path: Path, target: bytes, brought: list[str]) -> None:
    published = tree({"/a/link": target})
    assert chosen(published, tmp_path, "/a") == ["/", "/a", "/a/file", "/a/link", *brought]


def test_links_are_followed_along_a_chain_and_through_directories(tmp_path: Path) -> None:
    published = tree({"/a/link": b"../second/file", "/second": b"third", "/third": b"b"})
    assert chosen(published, tmp_path, "/a/link") == ["/", "/a", "/a/link", "/b", "/b/file", "/second", "/third"]


def test_links_of_what_a_link_brought_are_followed(tmp_path: Path) -> None:
    published = tree({"/a/link": b"../b", "/b/back": b"../c", "/c": b"a/file"})
    assert chosen(published, tmp_path, "/a/link") == [
        "/", "/a", "/a/file", "/a/link", "/b", "/b/back", "/b/file", "/c",
    ]  # fmt: skip


def test_variant_links_are_followed_when_they_are_filled_in(tmp_path: Path) -> None:
    published = tree({"/a/link": b"$(WHERE:-nowhere)/file"})
    options = SelectionOptions(settings={b"WHERE": b"../b"})
    assert chosen(published, tmp_path, "/a/link", options=options)[-1] == "/b/file"
    with tree_of(published, tmp_path) as (opened, _):
        selection = select_paths(opened, [RepositoryPath(b"/a/link")], options)
    (link,) = [located.entry for located in selection.entries if located.entry.is_symlink]
    assert (link.symlink, link.size) == (b"../b/file", 9)


def test_trace_brings_exactly_what_was_read(tmp_path: Path) -> None:
    published = tree({"/a/link": b"../b/file"})
    read = [("/a", AccessKind.DIRECTORY), ("/b/file", AccessKind.OPEN)]
    assert traced(published, tmp_path, *read) == ["/", "/a", "/b", "/b/file"]


def test_trace_of_a_link_brings_what_was_done_with_it(tmp_path: Path) -> None:
    published = tree({"/a/link": b"../b/file"})
    assert traced(published, tmp_path, ("/a/link", AccessKind.READLINK)) == ["/", "/a", "/a/link"]
    assert traced(published, tmp_path, ("/a/link", AccessKind.OPEN))[-2:] == ["/b", "/b/file"]


def test_trace_may_hold_what_this_revision_has_not(tmp_path: Path) -> None:
    published = tree({})
    read = [("/a/file", AccessKind.OPEN), ("/gone", AccessKind.STAT)]
    assert traced(published, tmp_path, *read) == ["/", "/a", "/a/file"]
    with pytest.raises(InvalidValue, match="no path that this revision"):
        traced(published, tmp_path, ("/gone", AccessKind.STAT))


def test_trace_of_another_repository_is_refused(tmp_path: Path) -> None:
    other = Access(RepositoryName("other.example.org"), RepositoryPath(b"/a"), AccessKind.OPEN, True)
    missing = Access(NAME, RepositoryPath(b"/a"), AccessKind.OPEN, False)
    with tree_of(library(), tmp_path) as (opened, _), pytest.raises(InvalidValue) as caught:
        select_trace(opened, [other, missing])
    assert "other.example.org" in caught.value.hint


def owned() -> Published:
    """A program that lends what its owner may."""
    published = Published()
    xattrs = Xattrs.of({b"security.capability": b"\1" * 20, b"user.note": b"x"})
    entry = published.file(b"f", b"x", uid=7, gid=8, mode=stat.S_IFREG | 0o6755, xattrs=xattrs)
    return published.sign(published.catalog({b"/f": entry}))


def test_nobody_lends_anything_when_owners_are_replaced(tmp_path: Path) -> None:
    with tree_of(owned(), tmp_path) as (opened, _):
        plain = select_paths(opened, [RepositoryPath(b"/f")]).entries[-1].entry
        kept = select_paths(opened, [RepositoryPath(b"/f")], SelectionOptions(owner=True)).entries[-1].entry
    assert (plain.uid, plain.gid, plain.permissions) == (0, 0, 0o755)
    assert [key for key, _ in plain.xattrs] == [b"user.note"]
    assert (kept.uid, kept.gid, kept.permissions, len(list(kept.xattrs))) == (7, 8, 0o6755, 2)


def test_selection_says_whence_it_is(tmp_path: Path) -> None:
    published = library(revision=3)
    assert published.root is not None
    with tree_of(published, tmp_path) as (opened, _):
        selection = select_paths(opened, [RepositoryPath(b"/README")])
    assert (selection.repository, selection.revision, selection.root_catalog) == (NAME, 3, published.root.digest)
    assert (selection.size, selection.paths) == (9, (b"/README",))
    assert Mark.HIDDEN not in selection.entries[-1].entry.marks
