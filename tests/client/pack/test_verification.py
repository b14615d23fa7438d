"""A pack that was changed in any way is found out."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.pack import verification
from outcrop.client.pack.manifest import PackedEntry, PackManifest
from outcrop.client.pack.reading_images import Which, unpacked_erofs, unpacked_squashfs
from outcrop.client.pack.verification import verify_pack
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import FormatError, IntegrityError, InvalidValue, MissingCapability, NotFound
from tests.client.pack.packs import made, need_programs
from tests.client.published import FILE, Published, library


def linked() -> Published:
    """A file with two names."""
    published = Published()
    one = published.file(b"one", b"same", linkcount=2, hardlink_group=1)
    two = published.file(b"two", b"same", linkcount=2, hardlink_group=1)
    return published.sign(published.catalog({b"/one": one, b"/two": two}))


def rewrite(path: Path) -> None:
    path.write_bytes(b"R" + path.read_bytes()[1:-1] + b"!")


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("latest")


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("README", rewrite, "has other bytes"),
        ("README", lambda path: path.write_bytes(b"x"), "has 1 bytes, not 9"),
        ("README", lambda path: path.chmod(0o600), "has the permissions 0600, not 0644"),
        ("README", Path.unlink, "is missing"),
        ("README", replace_by_link, "is a symlink, not a file"),
        ("latest", relink, "leads to elsewhere, not shelf/one"),
        ("more", Path.touch, "is not in the manifest"),
        ("shelf", lambda path: path.chmod(0o700), "has the permissions 0700, not 0755"),
    ],
)
def test_change_in_a_directory_is_named(
    tmp_path: Path, name: str, change: Callable[[Path], object], problem: str
) -> None:
    output = made(library(), tmp_path / "x")
    assert verify_pack(output).problems == ()
    change(output / "cvmfs" / "books.example.org" / name)
    assert verify_pack(output).problems == (f"/cvmfs/books.example.org/{name} {problem}",)


@pytest.mark.parametrize("name", ["x", "x.tar"])
def test_names_of_one_file_are_one_file(tmp_path: Path, name: str) -> None:
    output = made(linked(), tmp_path / name)
    found = verify_pack(output)
    assert (found.problems, found.files, found.bytes) == ((), 1, 4)


def test_copies_in_the_place_of_names_are_found(tmp_path: Path) -> None:
    output = made(linked(), tmp_path / "x")
    two = output / "cvmfs" / "books.example.org" / "two"
    data = two.read_bytes()
    two.unlink()
    two.write_bytes(data)
    two.chmod(0o644)
    assert verify_pack(output).problems == ("/cvmfs/books.example.org/two is not the same file as /one",)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.zst", "x.oci", "x.oci.tar"])
def test_archives_and_images_are_checked_as_they_are(tmp_path: Path, name: str) -> None:
    need_programs(name)
    assert verify_pack(made(library(), tmp_path / name)).problems == ()


def test_changed_bytes_in_an_archive_are_found(tmp_path: Path) -> None:
    output = made(library(), tmp_path / "x.tar")
    data = output.read_bytes()
    output.write_bytes(data.replace(b"Read me.", b"Read us."))
    assert verify_pack(output).problems == ("/cvmfs/books.example.org/README has other bytes",)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.zst"])
def test_archive_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    need_programs(name)
    output = made(library(), tmp_path / name)
    output.write_bytes(output.read_bytes()[: output.stat().st_size // 2])
    with pytest.raises((FormatError, InvalidValue)):
        verify_pack(output)


def test_layer_with_other_bytes_is_not_believed(tmp_path: Path) -> None:
    output = made(library(), tmp_path / "x.oci")
    blobs = list((output / "blobs" / "sha256").iterdir())
    layer = next(blob for blob in blobs if blob.read_bytes()[:2] == b"\x1f\x8b")
    layer.write_bytes(gzip.compress(gzip.decompress(layer.read_bytes()).replace(b"Read me.", b"Read us.")))
    with pytest.raises(IntegrityError, match="have another digest"):
        verify_pack(output)


IMAGES = ["x.squashfs", "x.erofs"]


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("repository", [library, linked])
def test_images_of_file_systems_are_read(tmp_path: Path, name: str, repository: Callable[[], Published]) -> None:
    need_programs(name)
    assert verify_pack(made(repository(), tmp_path / name)).problems == ()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("outcrop-")] == []


def test_squashfs_image_is_unpacked_where_nothing_says_it_as_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_programs("x.squashfs")
    monkeypatch.setattr(verification, "squashfs_as_tar", lambda _path: None)
    assert verify_pack(made(linked(), tmp_path / "x.squashfs")).problems == ()


@pytest.mark.parametrize("name", IMAGES)
def test_image_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    need_programs(name)
    output = made(library(), tmp_path / name)
    os.truncate(output, 1100)  # both have room to spare behind what is in them
    with pytest.raises((FormatError, InvalidValue)):
        verify_pack(output)


def test_changed_bytes_in_an_image_are_found(tmp_path: Path) -> None:
    need_programs("x.erofs")
    output = made(library(), tmp_path / "x.erofs")
    data = output.read_bytes()
    assert data.count(b"1" * 1000) > 1
    output.write_bytes(data.replace(b"1" * 1000, b"0" * 1000, 1))
    assert verify_pack(output).problems == ("/cvmfs/books.example.org/shelf/one has other bytes",)


@pytest.mark.parametrize("read", [unpacked_squashfs, unpacked_erofs])
def test_image_that_no_program_reads_is_no_riddle(
    tmp_path: Path, read: Callable[[Path, Which], AbstractContextManager[Path]]
) -> None:
    with pytest.raises(MissingCapability) as caught:
        read(tmp_path / "x", lambda _name: None)
    assert "mount the image" in caught.value.hint


@pytest.mark.parametrize("name", ["x.oci", "x.oci.tar"])
def test_name_that_deletes_in_a_layer_is_refused(tmp_path: Path, name: str) -> None:
    published = Published()
    published.sign(published.catalog({b"/.wh.keep": published.file(b".wh.keep", b"kept")}))
    with pytest.raises(MissingCapability, match=r"the name of /\.wh\.keep says"):
        made(published, tmp_path / name)
    assert verify_pack(made(published, tmp_path / "x.tar")).problems == ()


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2000)
    with pytest.raises(FormatError):
        verify_pack(tmp_path / "file")
    with pytest.raises(InvalidValue, match="is no pack"):
        verify_pack(tmp_path)
    with pytest.raises(NotFound):
        verify_pack(tmp_path / "nothing")


names = st.binary(min_size=1, max_size=10).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
places = st.lists(names, max_size=3).map(lambda parts: RepositoryPath(b"".join(b"/" + part for part in parts)))
entries = st.one_of(
    st.builds(PackedEntry, places, st.just(EntryKind.DIRECTORY), st.integers(0, 0o7777)),
    st.builds(
        PackedEntry, places, st.just(EntryKind.FILE), st.integers(0, 0o7777), st.integers(0, 2**60), st.just("0" * 64)
    ),
    st.builds(
        PackedEntry, places, st.just(EntryKind.FILE), st.integers(0, 0o7777), st.just(0), st.just(""), st.just(b""),
        places,
    ),
    st.builds(
        PackedEntry, places, st.just(EntryKind.SYMLINK), st.integers(0, 0o7777), st.just(0), st.just(""), names
    ),
)  # fmt: skip


@pytest.mark.property
@given(st.lists(entries, max_size=5).map(tuple), st.none() | st.lists(places, max_size=2).map(tuple), places)
def test_manifest_reads_as_it_was_written(
    listed: tuple[PackedEntry, ...], paths: tuple[RepositoryPath, ...] | None, at: RepositoryPath
) -> None:
    manifest = PackManifest(RepositoryName("books.example.org"), 7, Digest.of(b"x"), at, paths, listed)
    assert PackManifest.parse(manifest.encode()) == manifest


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"revision": "7"},
        {"repository": "x"},
        {"root_catalog": "x"},
        {"at": "x"},
        {"paths": "x"},
        {"entries": None},
        {"entries": [7]},
        {"entries": [{"path": "/a", "type": "thing", "mode": "0644"}]},
        {"entries": [{"path": "/a", "type": "file", "mode": "0644"}]},
        {"entries": [{"path": "/a", "type": "file", "mode": "9", "size": 1, "sha256": "0" * 64}]},
        {"entries": [{"path": "/../a", "type": "directory", "mode": "0755"}]},
    ],
)
def test_manifest_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    output = made(library(), tmp_path / "x")
    path = output / ".outcrop-pack.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FormatError, match="the manifest of the pack"):
        verify_pack(output)
    assert os.path.exists(path)


def test_mode_of_the_manifest_is_plain(tmp_path: Path) -> None:
    assert (made(library(), tmp_path / "x") / ".outcrop-pack.json").stat().st_mode == FILE
