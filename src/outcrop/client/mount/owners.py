"""To whom entries belong on this machine, which need not be who published them."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from outcrop.cvmfs.entry import Entry


class Owners(Protocol):
    """Turns published user and group numbers into those that a mount shows. The same number always gives the same
    answer, from 0 to 2**32 - 1."""

    def uid(self, published: int) -> int: ...

    def gid(self, published: int) -> int: ...


class _AsPublished:
    def uid(self, published: int) -> int:
        return published

    def gid(self, published: int) -> int:
        return published


AS_PUBLISHED: Owners = _AsPublished()
"""Everything belongs to whom the catalogs say."""


def owned(entry: Entry, owners: Owners) -> Entry:
    """`entry`, belonging to whom `owners` say."""
    if owners is AS_PUBLISHED:
        return entry
    return replace(entry, uid=owners.uid(entry.uid), gid=owners.gid(entry.gid))
