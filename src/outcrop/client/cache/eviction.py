"""Making room: the least recently used objects go, one process at a time.

Two looks at the cache. The first counts everything and finds the moment before which an object must have been used
last to go. The second removes these, each after a fresh look at when it was last used: what somebody has used in
between, stays. What is on its way in is in another directory and never touched; what is pinned is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from outcrop.client.cache.bookkeeping import bookkeeping
from outcrop.client.cache.layout import PREFIXES
from outcrop.client.cache.ledger import Ledger, Measurement
from outcrop.client.cache.lock import FileLock
from outcrop.client.cache.pins import pinned_objects, remove_void_pins
from outcrop.client.cache.quota import Cut, PinnedObject, Quota, Ranks, honoured
from outcrop.client.cache.scan import Stray, remove, stored_objects, strays
from outcrop.progress import SILENT, Progress


@dataclass(slots=True)
class Eviction:
    """What went: objects and their bytes on disk; and what was left behind by processes that are gone."""

    objects: int = 0
    bytes: int = 0
    leftovers: int = 0


@dataclass(slots=True)
class _Survey:
    """What one look at everything found."""

    ranks: Ranks
    objects: int = 0
    bytes: int = 0
    pinned: list[PinnedObject] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)


class Sweeper:
    """Removes objects from the cache `root`. Methods raise OSError where its files cannot be read or removed.

    `removed` is told the bytes that became free, now and then."""

    def __init__(
        self,
        root: bytes,
        ledger: Ledger,
        removed: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._root = root
        self._ledger = ledger
        self._removed = removed
        self._clock = clock
        self.lock = FileLock(bookkeeping(root) + b"/evicting", clock)

    def measure(self) -> Measurement:
        """Looks at everything and begins the ledger anew. Only who holds the lock may."""
        return self._look(Ranks(0), set())[1]

    def evict(
        self, quota: Quota, goal: int | None = None, progress: Progress = SILENT, *, dry_run: bool = False
    ) -> Eviction:
        """Removes what was not used for longest until the cache, with all that is reserved in it, has `goal` bytes (the
        low-water mark by default). Only who holds the lock may. `dry_run` says what would go.

        Pins count up to what `quota` allows them."""
        now = self._clock()
        survey, measured = self._look(Ranks(int(now * 1e9)), pinned_objects(self._root, now))
        usage = self._ledger.usage()
        total = usage.bytes if usage is not None else measured.bytes
        kept = honoured(survey.pinned, quota.largest)
        for one in survey.pinned:
            if one.name not in kept:
                survey.ranks.add(one.used_ns, one.size)
        cut = survey.ranks.cut(total - (quota.low_water if goal is None else goal))
        eviction = self._remove_below(cut, survey.ranks, kept, progress, dry_run=dry_run)
        if not dry_run:
            eviction.leftovers = self._remove_leftovers(survey.strays, now)
        return eviction

    def _look(self, ranks: Ranks, pinned: Collection[bytes]) -> tuple[_Survey, Measurement]:
        now = self._clock()
        before = self._ledger.accounts()
        gone = {one.name for one in before if one.is_gone(now)}
        survey = _Survey(ranks)
        for prefix in PREFIXES:
            self.lock.renew()
            for one in stored_objects(self._root, prefix):
                if isinstance(one, Stray):
                    survey.strays.append(one)
                    continue
                survey.objects += 1
                survey.bytes += one.size
                if one.name in pinned:
                    survey.pinned.append(PinnedObject(one.name, one.size, one.used_ns))
                else:
                    ranks.add(one.used_ns, one.size)
        survey.strays += strays(self._root)
        measured = Measurement(survey.bytes, survey.objects, now)
        self._ledger.rebase(measured, before, lambda one: one.name in gone)
        return survey, measured

    def _remove_below(
        self, cut: Cut, ranks: Ranks, kept: Collection[bytes], progress: Progress, *, dry_run: bool
    ) -> Eviction:
        eviction = Eviction()
        if cut.rank < 0:
            return eviction
        progress.start("Evicting", len(PREFIXES), "steps")
        left_at_rank = cut.bytes_at_rank
        for prefix in PREFIXES:
            self.lock.renew()
            before = eviction.bytes
            for one in stored_objects(self._root, prefix):
                if isinstance(one, Stray) or one.name in kept:
                    continue
                rank = ranks.rank(one.used_ns)
                if rank > cut.rank or (rank == cut.rank and left_at_rank <= 0):
                    continue
                if not dry_run and not remove(one.path):
                    continue
                if rank == cut.rank:
                    left_at_rank -= one.size
                eviction.objects += 1
                eviction.bytes += one.size
            if not dry_run:
                self._removed(eviction.bytes - before)
            progress.advance()
        progress.finish()
        return eviction

    def _remove_leftovers(self, found: list[Stray], now: float) -> int:
        remove_void_pins(self._root, now)
        return sum(remove(stray.path) for stray in found if stray.is_leftover(now))
