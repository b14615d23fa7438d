"""Paths become accesses of repositories, with the links and interpreters on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outcrop.client.trace.access import Access
from outcrop.client.trace.recorder import Recorder, Watched
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.strace.asked_paths import AccessKind, AskedPath

BOOKS = RepositoryName("books.example.org")


@dataclass(frozen=True)
class Files:
    """Links and programs, by path."""

    links: Mapping[bytes, bytes] = field(default_factory=dict)
    interpreters: Mapping[bytes, bytes] = field(default_factory=dict)

    def target(self, path: bytes) -> bytes | None:
        return self.links.get(path)

    def interpreter(self, path: bytes) -> bytes | None:
        return self.interpreters.get(path)


def recorded(files: Files, *asked: AskedPath, watched: Watched | None = None) -> list[tuple[str, str, bool]]:
    """Kind, repository and path of what was recorded, and whether it was found."""
    recorder = Recorder(watched or Watched(Path("/cvmfs")), files)
    recorder.record(asked)
    return [(one.kind.value, one.repository + one.path.decode(), one.found) for one in recorder.accesses]


def opened(path: bytes, *, found: bool = True) -> AskedPath:
    return AskedPath(path, AccessKind.OPEN, found)


def test_only_what_lies_in_a_repository_is_recorded() -> None:
    asked = map(opened, [b"/etc/passwd", b"/cvmfs", b"/cvmfs/nodomain/a", b"/cvmfsx/books.example.org/a"])
    assert recorded(Files(), *asked, opened(b"/cvmfs/books.example.org//a/./b")) == [
        ("open", "books.example.org/a/b", True)
    ]


def test_links_on_the_way_are_recorded() -> None:
    links = {
        b"/cvmfs/books.example.org/latest": b"versions/2",
        b"/cvmfs/books.example.org/versions/2/tool": b"/cvmfs/books.example.org/bin/tool",
    }
    assert recorded(Files(links), opened(b"/cvmfs/books.example.org/latest/tool")) == [
        ("readlink", "books.example.org/latest", True),
        ("readlink", "books.example.org/versions/2/tool", True),
        ("open", "books.example.org/bin/tool", True),
    ]


def test_link_from_outside_leads_in_and_one_inside_leads_out() -> None:
    links = {b"/opt/books": b"/cvmfs/books.example.org", b"/cvmfs/books.example.org/host": b"/opt/host"}
    assert recorded(Files(links), opened(b"/opt/books/a"), opened(b"/cvmfs/books.example.org/host/x")) == [
        ("open", "books.example.org/a", True),
        ("readlink", "books.example.org/host", True),
    ]


def test_parent_of_where_a_link_leads() -> None:
    links = {b"/cvmfs/books.example.org/a": b"deep/er"}
    assert recorded(Files(links), opened(b"/cvmfs/books.example.org/a/../x"))[-1][1] == "books.example.org/deep/x"


def test_directory_that_is_only_passed_through_is_needed_too() -> None:
    assert recorded(Files(), opened(b"/cvmfs/books.example.org/bin/../share/x")) == [
        ("stat", "books.example.org/bin", True),
        ("open", "books.example.org/share/x", True),
    ]


def test_link_itself_is_not_followed_where_the_program_did_not() -> None:
    files = Files({b"/cvmfs/books.example.org/a": b"b"})
    asked = AskedPath(b"/cvmfs/books.example.org/a", AccessKind.READLINK, True, follows=False)
    assert recorded(files, asked) == [("readlink", "books.example.org/a", True)]


def test_circle_of_links_ends() -> None:
    files = Files({b"/cvmfs/books.example.org/a": b"a"})
    assert recorded(files, opened(b"/cvmfs/books.example.org/a", found=False))


def test_what_was_not_found_is_kept_apart() -> None:
    assert recorded(Files(), opened(b"/cvmfs/books.example.org/no", found=False)) == [
        ("open", "books.example.org/no", False)
    ]


def test_interpreters_of_programs_are_recorded() -> None:
    files = Files(
        interpreters={
            b"/home/run.sh": b"/cvmfs/books.example.org/bin/sh",
            b"/cvmfs/books.example.org/bin/sh": b"/cvmfs/books.example.org/lib/ld.so",
        }
    )
    assert recorded(files, AskedPath(b"/home/run.sh", AccessKind.EXEC, True)) == [
        ("exec", "books.example.org/bin/sh", True),
        ("exec", "books.example.org/lib/ld.so", True),
    ]


def test_one_repository_in_a_place_of_its_own() -> None:
    files = Files({b"/data/mnt": b"/srv/mnt"})
    watched = Watched(Path("/data/mnt"), BOOKS)
    assert recorded(files, opened(b"/data/mnt/a"), opened(b"/srv/mnt"), watched=watched) == [
        ("open", "books.example.org/a", True),
        ("open", "books.example.org", True),
    ]


def test_each_access_is_recorded_once() -> None:
    recorder = Recorder(Watched(Path("/cvmfs")), Files())
    recorder.record([opened(b"/cvmfs/books.example.org/a")] * 3)
    recorder.record([opened(b"/cvmfs/books.example.org/./a")])
    assert recorder.accesses == (Access(BOOKS, RepositoryPath(b"/a"), AccessKind.OPEN, True),)


@pytest.mark.parametrize("name", [b"\xff", b"..", b"."])
def test_odd_names_are_no_repositories(name: bytes) -> None:
    assert recorded(Files(), opened(b"/cvmfs/" + name + b"/a")) == []
