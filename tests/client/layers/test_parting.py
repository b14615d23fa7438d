"""What can be planted, and the rest."""

from __future__ import annotations

import stat

import pytest

from outcrop.client.layers.metadata import Inode, Listing, Metadata
from outcrop.client.layers.parting import is_plantable, parted

DIRECTORY = Inode(stat.S_IFDIR | 0o755, nlink=2)
FILE = Inode(stat.S_IFREG | 0o644, size=3, redirect=b"/ab/cd")
CAPABILITY = (b"security.capability", b"x")


@pytest.mark.parametrize(
    ("inode", "plantable"),
    [
        (FILE, True),
        (FILE._replace(xattrs=((b"user.note", b"x"),)), True),
        (FILE._replace(xattrs=(CAPABILITY,)), False),
        (Inode(stat.S_IFCHR | 0o600, device=0x103), False),
        (Inode(stat.S_IFBLK | 0o600, device=0x103), False),
        (Inode(stat.S_IFSOCK | 0o600), True),
        (Inode(stat.S_IFLNK | 0o777, target=b"x"), True),
        (Inode(stat.S_IFLNK | 0o777, target=b"x", xattrs=((b"user.note", b"x"),)), False),
    ],
)
def test_devices_and_foreign_attributes_cannot_be_planted(inode: Inode, plantable: bool) -> None:
    assert is_plantable(inode) is plantable


def test_metadata_that_can_be_planted_stays_whole() -> None:
    whole = Metadata([DIRECTORY, FILE], [Listing(0, 0, [b"a"], [1])])
    assert parted(whole) == (whole, None)


def test_the_rest_has_the_directories_that_lead_to_it_and_nothing_else() -> None:
    capable = FILE._replace(xattrs=(CAPABILITY,))
    whole = Metadata(
        [DIRECTORY, DIRECTORY, DIRECTORY, FILE, capable, DIRECTORY],
        [
            Listing(0, 0, [b"deep", b"other"], [1, 5]),
            Listing(1, 0, [b"er"], [2]),
            Listing(2, 1, [b"a", b"b", b"c"], [3, 4, 4]),
            Listing(5, 0, [], []),
        ],
    )
    planted, rest = parted(whole)
    assert planted.listings[2].names == [b"a"]
    assert rest == Metadata(
        [DIRECTORY, DIRECTORY, DIRECTORY, capable],
        [Listing(0, 0, [b"deep"], [1]), Listing(1, 0, [b"er"], [2]), Listing(2, 1, [b"b", b"c"], [3, 3])],
    )


def test_a_directory_with_a_foreign_attribute_is_in_both() -> None:
    special = DIRECTORY._replace(xattrs=(CAPABILITY, (b"user.note", b"n")))
    whole = Metadata([DIRECTORY, special, FILE], [Listing(0, 0, [b"d"], [1]), Listing(1, 0, [b"f"], [2])])
    planted, rest = parted(whole)
    assert planted.inodes[1].xattrs == ((b"user.note", b"n"),)
    assert planted.listings == whole.listings
    assert rest == Metadata([DIRECTORY, special], [Listing(0, 0, [b"d"], [1]), Listing(1, 0, [], [])])


def test_the_root_itself_may_be_the_rest() -> None:
    special = DIRECTORY._replace(xattrs=(CAPABILITY,))
    planted, rest = parted(Metadata([special, FILE], [Listing(0, 0, [b"f"], [1])]))
    assert planted.inodes[0].xattrs == ()
    assert rest == Metadata([special], [Listing(0, 0, [], [])])
