"""Copies of revisions: made once, found again, right for the variables that their links name."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from outcrop.client.ladder.copies import Copies, check_private
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import NotFound, StorageError
from tests.client.published import CONTENTS, NAME, Published, directory_entry, library, link_entry
from tests.client.reading import Reader

NO_VARIABLES: Mapping[bytes, bytes] = {}


def made(
    reader: Reader,
    server: Path,
    paths: Sequence[bytes] = (),
    environment: Mapping[bytes, bytes] = NO_VARIABLES,
    key: Path | None = None,
) -> Path:
    """The copy of what `server` has."""
    with reader.open(server, key=key) as repository:
        copies = Copies.below(reader.settings.cache_directory)
        return copies.make(repository, [RepositoryPath(path) for path in paths], environment)


def found(
    reader: Reader, published: Published, paths: Sequence[bytes] = (), environment: Mapping[bytes, bytes] = NO_VARIABLES
) -> Path | None:
    assert published.root is not None
    copies = Copies.below(reader.settings.cache_directory)
    return copies.find(NAME, published.root.digest.text, [RepositoryPath(path) for path in paths], environment)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return library()


@pytest.fixture
def server(published: Published, tmp_path: Path) -> Path:
    return published.write(tmp_path / "server")


def test_a_copy_has_everything_and_is_found_again(reader: Reader, published: Published, server: Path) -> None:
    assert found(reader, published) is None
    copy = made(reader, server)
    for path, data in CONTENTS.items():
        assert (copy / os.fsdecode(path[1:])).read_bytes() == data
    assert found(reader, published) == copy
    assert made(reader, server) == copy


def test_a_part_is_a_copy_of_its_own(reader: Reader, published: Published, server: Path) -> None:
    copy = made(reader, server, [b"/shelf/inner"])
    assert [path.name for path in copy.iterdir()] == ["shelf"]
    assert (copy / "shelf" / "inner" / "two").is_file()
    assert found(reader, published) is None
    assert found(reader, published, [b"/shelf/inner"]) == copy


def test_a_part_brings_the_links_to_which_its_own_lead(reader: Reader, tmp_path: Path) -> None:
    place = b"/cvmfs/books.example.org"
    links = {
        b"/part/file": b"$(FILE:-" + place + b"/defaults/file)",
        b"/part/libraries": place + b"/defaults/libraries",
        b"/part/circle": place + b"/circle",
        b"/part/within": place + b"/part/file",
        b"/part/nowhere": place + b"/defaults/none",
        b"/defaults/file": b"$(ALL:-/etc/file)",
        b"/defaults/libraries": place + b"/injections/lib",
        b"/defaults/unwanted": b"/etc/unwanted",
        b"/injections": b"$(INJECTIONS:-/opt/site)",
        b"/circle": place + b"/circle/x",
    }
    published = Published()
    entries = {path: directory_entry(path[1:], linkcount=2) for path in (b"/part", b"/defaults")}
    entries |= {path: link_entry(os.path.basename(path), target) for path, target in links.items()}
    server = published.sign(published.catalog(entries)).write(tmp_path / "server")
    copy = made(reader, server, [b"/part"], {b"ALL": b"/site/file"})
    beyond = {str(path.relative_to(copy)): os.readlink(path) for path in copy.rglob("*") if path.is_symlink()}
    assert {path: target for path, target in beyond.items() if not path.startswith("part/")} == {
        "defaults/file": "/site/file",
        "defaults/libraries": "/cvmfs/books.example.org/injections/lib",
        "injections": "/opt/site",
        "circle": "/cvmfs/books.example.org/circle/x",
    }
    both = made(reader, server, [b"/part", b"/defaults"])
    assert os.readlink(both / "defaults" / "unwanted") == "/etc/unwanted"


def test_what_lies_below_another_path_is_copied_once(reader: Reader, server: Path) -> None:
    copy = made(reader, server, [b"/shelf/inner", b"/shelf"])
    assert sorted(path.name for path in (copy / "shelf").iterdir()) == ["inner", "one"]


def test_links_with_variables_are_filled_in_and_another_value_makes_another_copy(
    reader: Reader, published: Published, server: Path
) -> None:
    plain = made(reader, server)
    assert os.readlink(plain / "variant") == "README"
    other = made(reader, server, environment={b"BOOK": b"shelf"})
    assert other != plain
    assert os.readlink(other / "variant") == "shelf"
    assert found(reader, published, environment={b"BOOK": b"shelf", b"HOME": b"/home"}) == other
    assert found(reader, published, environment={b"HOME": b"/home"}) == plain
    assert found(reader, published, environment={b"BOOK": b"elsewhere"}) is None


def test_a_copy_without_its_record_is_not_trusted(reader: Reader, published: Published, server: Path) -> None:
    copy = made(reader, server)
    copy.with_suffix(".json").unlink()
    assert found(reader, published) is None
    assert made(reader, server) != copy


def test_a_path_that_is_not_there_leaves_nothing(reader: Reader, published: Published, server: Path) -> None:
    with pytest.raises(NotFound):
        made(reader, server, [b"/nowhere"])
    directory = reader.settings.cache_directory / "checkouts" / NAME
    assert [path.name for path in directory.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.fault
def test_of_many_processes_one_makes_the_copy(reader: Reader, server: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        copies = pool.starmap(made, [(reader, server, (), NO_VARIABLES, reader.key)] * 4)
    assert len(set(copies)) == 1


def test_where_the_cache_cannot_be_written_copies_lie_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    assert Copies.below(tmp_path / "file" / "cache").directory == tmp_path / f"outcrop-{os.getuid()}" / "checkouts"
    assert Copies.below(Path("relative")).directory == tmp_path / f"outcrop-{os.getuid()}" / "checkouts"


def test_copies_among_temporary_files_are_private_whatever_the_umask(
    reader: Reader, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old = os.umask(0o002)
    try:
        with reader.open(server) as repository:
            Copies.below(Path("relative")).make(repository, [], NO_VARIABLES)
    finally:
        os.umask(old)
    check_private(tmp_path / f"outcrop-{os.getuid()}")
    assert Copies.below(Path("relative")).directory.is_dir()


def test_a_directory_that_others_may_write_to_is_not_private(tmp_path: Path) -> None:
    place = tmp_path / "place"
    check_private(place)
    assert not place.exists()
    place.mkdir(0o700)
    check_private(place)
    place.chmod(0o777)
    with pytest.raises(StorageError, match="written by others"):
        check_private(place)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(StorageError, match="written by others"):
        check_private(tmp_path / "link")


def test_looking_where_copies_would_be_makes_nothing(tmp_path: Path) -> None:
    assert Copies.below(tmp_path / "cache").ground == tmp_path
    assert list(tmp_path.iterdir()) == []
