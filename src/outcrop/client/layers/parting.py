"""What of a revision's metadata can be planted as files by an ordinary user, and the rest.

A user namespace lets nobody make devices, nor set attributes other than `user.…`. What needs either is *the rest*: it
is shown by a layer above the planted one, which is answered by us, with the directories that lead to it. Overlayfs
merges directories that are in both.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import NamedTuple

from outcrop.client.layers.metadata import Inode, Listing, Metadata

_OWN_PREFIX = b"user."
_PLAIN_KINDS = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK})
_WITH_ATTRIBUTES = frozenset({stat.S_IFREG, stat.S_IFDIR})
"""Links and special files have no `user.…` attributes on Linux."""


class Parted(NamedTuple):
    """`planted` has the numbers of the whole, `rest` has its own; None where there is no rest."""

    planted: Metadata
    rest: Metadata | None


def is_plantable(inode: Inode) -> bool:
    """Whether an ordinary user can make this in a namespace of his own."""
    kind = stat.S_IFMT(inode.mode)
    if kind not in _PLAIN_KINDS:
        return False
    return not inode.xattrs or (
        kind in _WITH_ATTRIBUTES and all(name.startswith(_OWN_PREFIX) for name, _ in inode.xattrs)
    )


def parted(whole: Metadata) -> Parted:
    """`whole` in two layers. Directories that cannot be planted as they are stand in both."""
    foreign = {number for number, inode in enumerate(whole.inodes) if not is_plantable(inode)}
    if not foreign:
        return Parted(whole, None)
    return Parted(_planted(whole, foreign), _rest(whole, foreign))


def _planted(whole: Metadata, foreign: set[int]) -> Metadata:
    inodes = [
        inode if number not in foreign else inode._replace(xattrs=tuple(one for one in inode.xattrs if _is_own(one)))
        for number, inode in enumerate(whole.inodes)
    ]
    left_out = {number for number in foreign if not stat.S_ISDIR(inodes[number].mode)}
    listings = []
    for listing in whole.listings:
        kept = [position for position, number in enumerate(listing.inodes) if number not in left_out]
        listings.append(_only(listing, kept))
    return Metadata(inodes, listings)


def _rest(whole: Metadata, foreign: set[int]) -> Metadata:
    parents = {listing.inode: listing.parent for listing in whole.listings}
    kept = foreign | {0}
    for listing in whole.listings:
        directory = listing.inode
        if directory in foreign or not foreign.isdisjoint(listing.inodes):
            while directory not in kept or directory in foreign:
                kept.add(directory)
                if directory == 0:
                    break
                directory = parents[directory]
    numbers = {number: position for position, number in enumerate(sorted(kept))}
    listings = []
    for listing in whole.listings:
        if listing.inode in numbers:
            some = _only(listing, [at for at, number in enumerate(listing.inodes) if number in numbers])
            listings.append(
                Listing(
                    numbers[some.inode],
                    numbers[some.parent],
                    some.names,
                    [numbers[number] for number in some.inodes],
                )
            )
    return Metadata([whole.inodes[number] for number in sorted(kept)], listings)


def _only(listing: Listing, positions: Sequence[int]) -> Listing:
    return listing._replace(
        names=[listing.names[position] for position in positions],
        inodes=[listing.inodes[position] for position in positions],
    )


def _is_own(attribute: tuple[bytes, bytes]) -> bool:
    return attribute[0].startswith(_OWN_PREFIX)
