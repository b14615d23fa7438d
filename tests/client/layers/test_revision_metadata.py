"""The metadata of published revisions."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from outcrop.client.layers.metadata import Metadata
from outcrop.client.layers.revision_metadata import AskedVariables, Revision, revision_metadata
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.entry import Mark
from outcrop.errors import FormatError, MissingCapability
from tests.client.published import CONTENTS, MTIME, Published, directory_entry, file_entry, library
from tests.client.reading import tree_of

_MANY = 1000


def read(published: Published, cache: Path, variables: dict[bytes, bytes] | None = None, most: int = _MANY) -> Revision:
    with tree_of(published, cache) as (tree, _):
        return revision_metadata(tree, variables or {}, most)


def paths(metadata: Metadata) -> dict[bytes, int]:
    """The number of each path."""
    found = {b"": 0}
    above = {0: b""}
    for listing in metadata.listings:
        for name, number in zip(listing.names, listing.inodes, strict=True):
            path = above[listing.inode] + b"/" + name
            found[path] = number
            if stat.S_ISDIR(metadata.inodes[number].mode):
                above[number] = path
    return found


def test_every_visible_entry_of_all_catalogs_is_there(tmp_path: Path) -> None:
    revision = read(library(), tmp_path)
    assert set(paths(revision.metadata)) == {
        b"", b"/README", b"/shelf", b"/shelf/one", b"/shelf/inner", b"/shelf/inner/two", b"/latest", b"/absolute",
        b"/out", b"/circle", b"/variant",
    }  # fmt: skip


def test_a_file_of_one_object_is_found_in_the_cache_and_one_in_chunks_is_served(tmp_path: Path) -> None:
    revision = read(library(), tmp_path)
    inodes, number = revision.metadata.inodes, paths(revision.metadata)
    whole, chunked = inodes[number[b"/README"]], inodes[number[b"/shelf/one"]]
    names = [one.name for one in revision.needed.objects]
    assert whole.redirect.removeprefix(b"/") in names
    assert (whole.size, whole.mtime) == (len(CONTENTS[b"/README"]), MTIME)
    assert chunked.redirect == b"/served/0"
    assert revision.needed.served == [(b"/shelf/one", 100_000)]


def test_links_are_filled_in_and_what_they_asked_for_is_known(tmp_path: Path) -> None:
    asked = AskedVariables({b"BOOK": b"atlas", b"OTHER": b"x"})
    with tree_of(library(), tmp_path) as (tree, _):
        revision = revision_metadata(tree, asked, _MANY)
    inode = revision.metadata.inodes[paths(revision.metadata)[b"/variant"]]
    assert (inode.target, inode.size) == (b"atlas", 5)
    assert dict(asked.asked) == {b"BOOK": b"atlas"}


def test_an_empty_file_needs_no_object(tmp_path: Path) -> None:
    published = Published()
    published.sign(published.catalog({b"/empty": published.file(b"empty", b"")}))
    revision = read(published, tmp_path)
    assert revision.metadata.inodes[1].redirect == b""
    assert list(revision.needed.objects) == []


def test_names_of_one_file_share_a_number(tmp_path: Path) -> None:
    published = Published()
    linked = published.file(b"a", b"both", hardlink_group=3, linkcount=2)
    other = published.file(b"b", b"both", hardlink_group=3, linkcount=2)
    published.sign(published.catalog({b"/a": linked, b"/b": other}))
    revision = read(published, tmp_path)
    number = paths(revision.metadata)
    assert number[b"/a"] == number[b"/b"]
    assert revision.metadata.inodes[number[b"/a"]].nlink == 2


def test_one_digest_read_in_two_ways_is_an_object_once_and_served_once(tmp_path: Path) -> None:
    published = Published()
    digest = published.add(b"inner")
    stored = next(data for name, data in published.files.items() if name.endswith(digest.text[2:]))
    published.sign(
        published.catalog({
            b"/plain": file_entry(b"plain", len(stored), digest, compression=Compression.NONE),
            b"/zipped": file_entry(b"zipped", 5, digest),
        })
    )  # fmt: skip
    revision = read(published, tmp_path)
    assert len(revision.needed.objects) == 1
    assert len(revision.needed.served) == 1


def test_what_is_bound_into_the_visible_tree_is_entered(tmp_path: Path) -> None:
    published = Published()
    old = published.catalog({b"/old": published.file(b"old", b"old")})
    bound = directory_entry(b"past", marks=Mark.BIND_MOUNTPOINT)
    reference = type(old)(b"/past", old.digest, old.size)  # type: ignore[arg-type]
    published.sign(published.catalog({b"/past": bound}, bound=[reference]))
    assert b"/past/old" in paths(read(published, tmp_path).metadata)


def test_more_entries_than_allowed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="more than 4 entries"):
        read(library(), tmp_path, most=4)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    published = Published()
    twice = "INSERT INTO catalog SELECT 1, 1, parent_1, parent_2, hardlinks, hash, size, mode, mtime, mtimens, flags, "
    twice += "name, symlink, uid, gid, xattr FROM catalog WHERE CAST(name AS TEXT) = 'a'"
    published.sign(published.catalog({b"/a": published.file(b"a", b"x")}, statements=[twice]))
    with pytest.raises(FormatError, match="one of two"):
        read(published, tmp_path)
