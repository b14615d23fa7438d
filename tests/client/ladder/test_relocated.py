"""Relocated copies: where they lie, when they are made, and how words are turned to them."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path, PurePosixPath

import pytest

from outcrop.client.ladder.copies import Copies
from outcrop.client.ladder.new_place import environment_in_new_place, in_new_place
from outcrop.client.ladder.relocated import is_there, place_for, relocate
from outcrop.client.ladder.relocator import the_relocator
from outcrop.client.relocate.record import RECORD_NAME
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import MissingCapability, StorageError
from tests.client.ladder.confined import SHOWN_AT
from tests.client.ladder.site import Site
from tests.client.reading import Reader
from tests.cvmfs.samples import DIRECTORY

TEST = RepositoryName("test.example.org")
OLD = PurePosixPath("/cvmfs/books.example.org")
COPY = Path("/cache/checkouts/books.example.org/0123-1")
LONG = PurePosixPath("/" + "x" * 200)
"""A prefix that is longer than any path of a test's own directory."""


class Relocator:
    """A stand-in that writes down what it was asked for."""

    def __init__(self) -> None:
        self.made: list[PurePosixPath] = []

    def __call__(self, source: Path, place: Path, old_prefix: PurePosixPath, new_prefix: PurePosixPath) -> None:
        assert not any(place.iterdir())
        (place / "hello").write_text(f"{source} {old_prefix} {new_prefix}")
        self.made.append(new_prefix)


@pytest.mark.parametrize(
    ("word", "turned"),
    [
        ("/cvmfs/books.example.org/bin/read", "/t/x/bin/read"),
        ("--prefix=/cvmfs/books.example.org", "--prefix=/t/x"),
        ("/cvmfs/books.example.org:/cvmfs/books.example.org/lib", "/t/x:/t/x/lib"),
        ("/cvmfs/books.example.org.uk/bin", "/cvmfs/books.example.org.uk/bin"),
        ("/cvmfs/books.example.org-old", "/cvmfs/books.example.org-old"),
        ("cat /cvmfs/books.example.org/a; ls", "cat /t/x/a; ls"),
        ("hello", "hello"),
        ("-I/cvmfs/books.example.org/include", "-I/t/x/include"),
        ("-Wl,-rpath,/cvmfs/books.example.org/lib", "-Wl,-rpath,/t/x/lib"),
        ("file:///cvmfs/books.example.org/a", "file:///t/x/a"),
        ("//cvmfs/books.example.org/a", "//t/x/a"),
        ("/data/cvmfs/books.example.org/result", "/data/cvmfs/books.example.org/result"),
        ("/data//cvmfs/books.example.org/result", "/data//cvmfs/books.example.org/result"),
        ("./cvmfs/books.example.org", "./cvmfs/books.example.org"),
        ("data/cvmfs/books.example.org", "data/cvmfs/books.example.org"),
        ("$ROOT/cvmfs/books.example.org", "$ROOT/cvmfs/books.example.org"),
        ("${ROOT}/cvmfs/books.example.org", "${ROOT}/cvmfs/books.example.org"),
        ("http://server:8000/cvmfs/books.example.org", "http://server:8000/cvmfs/books.example.org"),
    ],
)
def test_every_mention_of_the_old_place_as_a_path_is_turned(word: str, turned: str) -> None:
    assert in_new_place([word], OLD, PurePosixPath("/t/x")) == [turned]
    assert environment_in_new_place({"A": word}, OLD, PurePosixPath("/t/x")) == {"A": turned}


def test_the_place_is_never_longer_than_the_one_it_stands_for(tmp_path: Path) -> None:
    place = place_for(COPY, LONG, tmp_path / "base", {})
    assert place.parent == tmp_path / "base"
    assert len(str(place)) <= len(str(LONG))
    assert place == place_for(COPY, LONG, tmp_path / "base", {})
    assert place != place_for(COPY.with_name("0123-2"), LONG, tmp_path / "base", {})


def test_a_directory_that_is_too_long_is_refused_with_the_length_that_is_not(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability) as caught:
        place_for(COPY, OLD, tmp_path / ("y" * 40), {})
    assert "at most 19 characters" in caught.value.hint


def test_a_directory_that_others_may_write_to_holds_no_copies(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base").chmod(0o777)
    with pytest.raises(MissingCapability, match="may be written by others"):
        place_for(COPY, LONG, tmp_path / "base", {})


def test_a_copy_is_made_once(tmp_path: Path) -> None:
    relocator = Relocator()
    place = place_for(COPY, LONG, tmp_path / "base", {})
    assert not is_there(place, COPY)
    relocate(COPY, place, LONG, relocator)
    relocate(COPY, place, LONG, relocator)
    assert relocator.made == [PurePosixPath(place)]
    assert is_there(place, COPY)
    assert (place / "hello").read_text() == f"{COPY} {LONG} {place}"


def test_another_copy_with_the_same_label_is_not_taken_for_ours(tmp_path: Path) -> None:
    place = place_for(COPY, LONG, tmp_path / "base", {})
    relocate(COPY, place, LONG, Relocator())
    with pytest.raises(MissingCapability, match="relocated form of"):
        relocate(COPY.with_name("0123-2"), place, LONG, Relocator())


def test_what_fails_leaves_no_half_copy(tmp_path: Path) -> None:
    def break_down(source: Path, place: Path, old_prefix: PurePosixPath, new_prefix: PurePosixPath) -> None:
        (place / "half").touch()
        raise StorageError(what="the disk", problem="is full")

    place = place_for(COPY, LONG, tmp_path / "base", {})
    with pytest.raises(StorageError):
        relocate(COPY, place, LONG, break_down)
    assert not is_there(place, COPY)
    assert list(place.parent.iterdir()) == []


def test_who_is_overtaken_uses_what_the_other_one_made(tmp_path: Path) -> None:
    """On a file system without locks nobody waits for another."""
    goal = place_for(COPY, LONG, tmp_path / "base", {})

    def be_overtaken(source: Path, place: Path, old_prefix: PurePosixPath, new_prefix: PurePosixPath) -> None:
        Relocator()(source, place, old_prefix, new_prefix)
        goal.with_name(f".outcrop-copy-{goal.name}").write_bytes(os.fsencode(COPY))
        goal.mkdir()
        (goal / "hello").write_text("from the other one")

    relocate(COPY, goal, LONG, be_overtaken)
    assert is_there(goal, COPY)
    assert (goal / "hello").read_text() == "from the other one"


def test_special_files_and_hard_links_of_the_reference_are_relocated(
    samples: Path, shared_reader: Reader, tmp_path: Path
) -> None:
    key = DIRECTORY / "keys" / f"{TEST}.pub"
    with shared_reader.open(samples / TEST, name=TEST, key=key) as repository:
        copy = Copies.below(shared_reader.settings.cache_directory).make(repository, (), {})
    before = _looks(copy)
    place = place_for(copy, LONG, tmp_path / "base", {})
    relocate(copy, place, LONG, the_relocator())
    after = _looks(place)
    assert after.pop(RECORD_NAME)
    assert after == before
    assert {stat.S_IFMT(mode) for mode, _, _, _ in after.values()} >= {stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFLNK}
    assert _looks(copy) == before


def _looks(tree: Path) -> dict[str, tuple[int, int, int, int]]:
    """Kind and mode, time, number of names and size of everything below `tree`, directories without theirs."""
    found = {}
    for path in tree.rglob("*"):
        status = path.lstat()
        links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
        size = status.st_size if links else 0
        found[str(path.relative_to(tree))] = (status.st_mode, status.st_mtime_ns, links, size)
    return found


@pytest.mark.integration
@pytest.mark.xdist_group("ladder")
def test_an_ordinary_user_runs_from_a_relocated_copy_with_special_files(site: Site, samples: Path) -> None:
    shutil.copytree(samples / TEST, site.directory / TEST)
    shutil.copy(DIRECTORY / "keys" / f"{TEST}.pub", site.directory)
    options = ["--way", "relocated", "--relocate-to", "/mnt/home/r", "--key", str(SHOWN_AT / f"{TEST}.pub")]
    line = site.outcrop(
        "run", *options, f"file://{SHOWN_AT / TEST}", "--", "sh", "-c", 'ls -F "$OUTCROP_RUN_PREFIX/special"'
    )
    report = site.on_a_machine(line, fuse=False, namespaces=False)
    assert report.code == 0, report.complaint
    assert {"fifo|", "sock="} <= set(report.output.split())
