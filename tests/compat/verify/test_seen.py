"""Which of the paths that a tracer sees are the layer's own."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.verify.isolation import Seen
from outcrop.cvmfs.names import repository_name
from outcrop.strace.asked_paths import AccessKind, AskedPath

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))
STARTED = AskedPath(os.fsencode(LAYOUT.prefix / "usr/bin/bash"), AccessKind.EXEC, True)


def foreign(*paths: str | PurePosixPath, started: bool = True) -> list[str]:
    seen = Seen(LAYOUT, ("/proc", "/etc/passwd"))
    seen.take([STARTED] if started else [])
    seen.take(AskedPath(os.fsencode(path), AccessKind.OPEN, True) for path in paths)
    return sorted(map(os.fsdecode, seen.foreign))


def test_the_prefix_and_the_way_there_are_its_own() -> None:
    assert foreign("/", "/cvmfs", "/cvmfs/", *LAYOUT.prefix.parents, LAYOUT.prefix, LAYOUT.prefix / "usr/bin") == []


@pytest.mark.parametrize(
    "path",
    [
        "/cvmfs/other.example.org",
        "/cvmfs/software.example.org/evil",
        f"{LAYOUT.prefix}-other/usr/bin",
        f"{LAYOUT.prefix.parent}/aarch64/usr/bin/bash",
        "/etc/evil",
        "/etc/passwd-",
        "/process",
    ],
)
def test_what_is_beside_it_is_not(path: str) -> None:
    assert foreign(path) == [path]


def test_what_is_declared_is_no_finding() -> None:
    assert foreign("/proc", "/proc/self/maps", "/etc/passwd", f"{LAYOUT.prefix}/../x86_64/lib") == []


def test_what_comes_before_the_layers_first_program_is_not_its() -> None:
    assert foreign("/etc/evil", started=False) == []


def test_a_directory_may_be_allowed_without_what_is_in_it() -> None:
    seen = Seen(LAYOUT, (), directories=("/usr",))
    seen.take([STARTED, *(AskedPath(path, AccessKind.READLINK, True) for path in (b"/usr", b"/usr/bin"))])
    assert set(seen.foreign) == {b"/usr/bin"}


def test_the_hosts_file_behind_a_link_must_be_asked_for_by_the_link() -> None:
    seen = Seen(LAYOUT, (), ("/etc/ssh",))
    places = (b"/etc/ssh", b"/etc/ssh/ssh_known_hosts", b"/etc/sshd")
    named = [AskedPath(path, AccessKind.OPEN, True) for path in places]
    opened = [AskedPath(path, AccessKind.OPEN, True, is_named=False) for path in places]
    link = AskedPath(os.fsencode(LAYOUT.prefix / "etc/ssh"), AccessKind.OPEN, True)
    seen.take([STARTED, link, *opened])
    assert set(seen.foreign) == {b"/etc/sshd"}
    seen.take(named)
    assert set(seen.foreign) == set(places)
