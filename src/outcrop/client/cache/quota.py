"""How much a cache may hold and what goes first, as rules on numbers.

**Size.** A file counts as the blocks of 4 KiB that it fills, at least one: small files are most of a software
repository, and what they take on disk is what a limit is about.

**When.** Nothing goes until the limit is reached. Then the least recently used goes until half of the limit is left, as
in the reference client: looking at everything costs the same however little is removed, and half makes it rare.

**Largest object.** Pinned catalogs are kept up to half of the limit. So half of it is what one object may have.

**In transit.** Room is reserved before a file is written. What all processes reserve ahead of their needs is together
at most a sixteenth of the limit.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from outcrop.client.content import BLOCK_BYTES

DEFAULT_LIMIT_BYTES = 4000 * 1024 * 1024
"""The reference client's default configuration: `CVMFS_QUOTA_LIMIT=4000`."""

_AHEAD = 16
"""The part of the limit that may be reserved ahead of needs."""

_LARGEST_STEP_BYTES = 64 * 1024 * 1024
"""Reserving 64 MiB at once costs less than a thousandth of writing them."""

_RANK_BITS, _BLOCK_BITS = 40, 24
_RANKS = 1 << (_RANK_BITS - 1)
_BLOCK_MASK = (1 << _BLOCK_BITS) - 1
"""64 bits for an object: its age in milliseconds (17 years) and its blocks (64 GiB)."""

_NANOSECONDS_PER_RANK = 1_000_000
CLOCK_TOLERANCE_RANKS = 60_000
"""Clocks of nodes that share a file system differ by less than a minute; a later time comes from a wrong clock."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The limit of a cache in bytes."""

    limit: int

    @property
    def low_water(self) -> int:
        """What is left when something had to go."""
        return self.limit // 2

    @property
    def largest(self) -> int:
        """What one object may have, and what pins may keep together."""
        return self.limit // 2

    def step(self, members: int) -> int:
        """How much one of `members` processes reserves ahead, in whole blocks."""
        share = self.limit // (_AHEAD * max(members, 1))
        return min(share, _LARGEST_STEP_BYTES) // BLOCK_BYTES * BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class Cut:
    """Which objects go: all whose rank is below `rank`, and of those at it as many as make `bytes_at_rank`."""

    rank: int
    bytes_at_rank: int


NOTHING = Cut(-1, 0)


class Ranks:
    """Objects by when they were last used: the lowest rank goes first. Eight bytes an object.

    A time in the future was written by a clock that was wrong. What is in use gets the right time at its next use, so
    what still has a wrong one goes first."""

    def __init__(self, now_ns: int) -> None:
        self._now = now_ns // _NANOSECONDS_PER_RANK
        self._packed = array("Q")

    def rank(self, used_ns: int) -> int:
        """The rank of an object that was last used at `used_ns` (nanoseconds since 1970)."""
        age = self._now - used_ns // _NANOSECONDS_PER_RANK
        if age < -CLOCK_TOLERANCE_RANKS:
            return 0
        return max(_RANKS - max(age, 0), 1)

    def add(self, used_ns: int, size: int) -> None:
        """An object of `size` bytes on disk."""
        blocks = min(size // BLOCK_BYTES, _BLOCK_MASK)
        self._packed.append(self.rank(used_ns) << _BLOCK_BITS | blocks)

    def cut(self, excess: int) -> Cut:
        """What goes so that `excess` bytes become free; everything, where that is not enough."""
        if excess <= 0:
            return NOTHING
        rank, below, at_rank = -1, 0, 0
        for one in sorted(self._packed):
            if one >> _BLOCK_BITS != rank:
                rank, below, at_rank = one >> _BLOCK_BITS, below + at_rank, 0
            at_rank += (one & _BLOCK_MASK) * BLOCK_BYTES
            if below + at_rank >= excess:
                return Cut(rank, excess - below)
        return Cut(rank, at_rank)

    def __len__(self) -> int:
        return len(self._packed)


@dataclass(frozen=True, slots=True)
class PinnedObject:
    """An object that a living process has pinned: its name, its size on disk, when it was last used."""

    name: bytes
    size: int
    used_ns: int


def honoured(pinned: Iterable[PinnedObject], quota_bytes: int) -> set[bytes]:
    """The names of those that stay: the most recently used ones that fit into `quota_bytes` together."""
    kept: set[bytes] = set()
    room = quota_bytes
    for one in sorted(pinned, key=lambda one: one.used_ns, reverse=True):
        room -= one.size
        if room < 0:
            break
        kept.add(one.name)
    return kept
