"""Metadata planted as files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from outcrop.client.layers.metadata import Inode, Listing, Metadata
from outcrop.client.layers.planting import plant

MTIME, MTIME_NS = 1_500_000_000, 123_456_789
DIRECTORY = Inode(stat.S_IFDIR | 0o555, mtime=MTIME, mtime_ns=MTIME_NS, nlink=2)
FILE = Inode(stat.S_IFREG | 0o640, mtime=MTIME, mtime_ns=MTIME_NS, size=5_000_000, redirect=b"/ab/cd")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    try:
        os.setxattr(tmp_path, "user.outcrop.test", b"x")
    except OSError:
        pytest.skip("this file system keeps no user attributes")
    os.removexattr(tmp_path, "user.outcrop.test")
    return tmp_path


@pytest.mark.parametrize("processes", [1, 2])
def test_everything_is_planted_with_its_attributes(place: Path, processes: int) -> None:
    here = os.getcwd()
    inodes = [DIRECTORY, DIRECTORY._replace(xattrs=((b"user.note", b"d"),)), FILE._replace(nlink=2),
              Inode(stat.S_IFLNK | 0o777, mtime=-5, target=b"caf\xe9"), Inode(stat.S_IFIFO | 0o600, mtime=MTIME),
              *([FILE] * 5000)]  # fmt: skip
    many = [b"f%04d" % number for number in range(5000)]
    listings = [
        Listing(0, 0, [b"caf\xe9", b"dir"], [3, 1]),
        Listing(1, 0, [b"a", b"b", *many, b"pipe"], [2, 2, *range(5, 5005), 4]),
    ]
    try:
        plant(Metadata(inodes, listings), place, processes)
    finally:
        os.chdir(here)
    directory = place / "dir"
    assert sorted(os.listdir(directory)) == ["a", "b", *(os.fsdecode(name) for name in many), "pipe"]
    status = (directory / "a").stat()
    assert (status.st_size, status.st_blocks, status.st_mtime_ns) == (5_000_000, 0, MTIME * 10**9 + MTIME_NS)
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert status.st_ino == (directory / "b").stat().st_ino
    assert os.getxattr(directory / "f0042", "user.overlay.redirect") == b"/ab/cd"
    assert os.getxattr(directory / "f0042", "user.overlay.metacopy") == b""
    assert os.getxattr(directory, "user.note") == b"d"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o555
    assert directory.stat().st_mtime_ns == MTIME * 10**9 + MTIME_NS
    link = os.fsencode(place) + b"/caf\xe9"
    assert os.readlink(link) == b"caf\xe9"
    assert os.lstat(link).st_mtime_ns == -5 * 10**9
