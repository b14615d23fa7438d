"""What a cache directory holds and who uses it, by looking at everything in it. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.cache.ledger import Ledger
from outcrop.client.cache.pins import pinned_objects
from outcrop.client.cache.scan import Amount, Stored, Stray, all_stored, strays
from outcrop.client.cache.store import begins_or_began_with_us
from outcrop.errors import storage_error


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """One cache directory. `limit` is in bytes, None for none; `free` is what the file system still has.

    `counted` is how full the ledger says it is, None where nobody keeps one; `users` are processes that have something
    pinned or reserved. `in_transit` is on its way in, `leftovers` belong to processes that are gone."""

    directory: Path
    exists: bool
    writable: bool
    own: bool
    limit: int | None
    objects: Amount
    pinned: Amount
    in_transit: Amount
    leftovers: Amount
    counted: int | None
    users: int
    free: int


_NOTHING = Amount(0, 0)


def look_at(directory: Path, limit: int | None, now: float, *, lower: bool = False) -> CacheStatus:
    """What is in the cache `directory`; `lower` says that it is only read. StorageError where nobody may look."""
    root = os.fsencode(directory)
    if not directory.is_dir():
        return CacheStatus(directory, False, False, False, limit, _NOTHING, _NOTHING, _NOTHING, _NOTHING, None, 0, 0)
    try:
        pins = pinned_objects(root, now)
        objects: list[int] = []
        pinned: list[int] = []
        others: list[Stray] = [*strays(root)]
        for one in all_stored(root):
            if isinstance(one, Stored):
                objects.append(one.size)
                if one.name in pins:
                    pinned.append(one.size)
            else:
                others.append(one)
        ledger = Ledger(root)
        usage = ledger.usage()
        living = [one for one in ledger.accounts() if not one.is_gone(now)]
        file_system = os.statvfs(directory)
    except OSError as error:
        raise storage_error(error, str(directory)) from error
    return CacheStatus(
        directory=directory,
        exists=True,
        writable=not lower and os.access(directory / "txn", os.W_OK | os.X_OK),
        own=begins_or_began_with_us(directory),
        limit=limit,
        objects=_amount(objects),
        pinned=_amount(pinned),
        in_transit=_amount(one.size for one in others if not one.is_leftover(now)),
        leftovers=_amount(one.size for one in others if one.is_leftover(now)),
        counted=usage.bytes if usage is not None else None,
        users=len(living),
        free=file_system.f_bavail * file_system.f_frsize,
    )


def _amount(sizes: Iterable[int]) -> Amount:
    sizes = list(sizes)
    return Amount(len(sizes), sum(sizes))
