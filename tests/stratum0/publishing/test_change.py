"""What counts as another content: whatever a reader finds, or does not get at any more."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry
from outcrop.stratum0.publishing.change import has_other_content

FILE = Entry(b"f", stat.S_IFREG | 0o755, size=3, digest=Digest.of(b"abc"))
DIRECTORY = Entry(b"d", stat.S_IFDIR | 0o755, size=4096)
LINK = Entry(b"l", stat.S_IFLNK | 0o777, size=1, symlink=b"t")


@pytest.mark.parametrize(
    ("old", "new", "different"),
    [
        (FILE, replace(FILE, mtime=9), False),
        (FILE, replace(FILE, mode=stat.S_IFREG | 0o555), False),
        (FILE, replace(FILE, mode=stat.S_IFREG), True),
        (FILE, replace(FILE, mode=stat.S_IFREG | 0o750), True),
        (FILE, replace(FILE, mode=stat.S_IFREG | 0o644), True),
        (replace(FILE, mode=stat.S_IFREG | 0o600), replace(FILE, mode=stat.S_IFREG | 0o400), False),
        (FILE, replace(FILE, digest=Digest.of(b"xyz")), True),
        (DIRECTORY, replace(DIRECTORY, mode=stat.S_IFDIR | 0o555, mtime=9), False),
        (DIRECTORY, replace(DIRECTORY, mode=stat.S_IFDIR | 0o700), True),
        (LINK, replace(LINK, mode=stat.S_IFLNK | 0o700), False),
        (LINK, replace(LINK, symlink=b"u"), True),
        (FILE, DIRECTORY, True),
    ],
)
def test_another_content_is_what_a_reader_notices(old: Entry, new: Entry, different: bool) -> None:
    assert has_other_content(old, (), new, ()) is different
