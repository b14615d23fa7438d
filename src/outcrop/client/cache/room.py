"""Room in a cache for what comes in: reserved before anything is written, and made where there is none.

A process reserves more than it needs and says so in the ledger; then it takes from that without writing anything. So an
insertion costs some additions, and a look at the ledger comes once in many. Since every process writes its reservation
before it reads the sum, no two can both take the last room.

The limit is passed only where what is on its way in, in all processes together, leaves no other choice, or while an
eviction by another process takes longer than a minute: by what is on its way in then.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outcrop.client.cache.eviction import Eviction, Sweeper
from outcrop.client.cache.ledger import Account, Ledger
from outcrop.client.cache.members import Member
from outcrop.client.cache.quota import Quota
from outcrop.client.cache.sizes import size_text
from outcrop.errors import StorageError, storage_error
from outcrop.progress import SILENT, Progress

MEASURE_AGAIN_SECONDS = 24 * 3600
"""How long the ledger is believed. Users who keep none (the reference client, `rm`) are noticed after that."""

MOST_ACCOUNTS = 64
"""Above this, accounts of processes that ended are added up. Reading 64 costs a millisecond."""

_WAIT_SECONDS = 60.0
"""For another process that evicts: it removes 100,000 objects in a few seconds."""
_POLL_SECONDS = 0.02
_TURNS = round(_WAIT_SECONDS / _POLL_SECONDS)


class Room(Protocol):
    """What a cache asks before it takes something in. Sizes are bytes on disk."""

    def reserve(self, size: int) -> None: ...

    def give_back(self, size: int) -> None: ...

    def occupy(self, size: int) -> None: ...

    def vacate(self, size: int) -> None: ...

    def leave(self) -> None: ...


class Unlimited:
    """Room without end, and nothing to keep account of."""

    def reserve(self, size: int) -> None: ...

    def give_back(self, size: int) -> None: ...

    def occupy(self, size: int) -> None: ...

    def vacate(self, size: int) -> None: ...

    def leave(self) -> None: ...


@dataclass(slots=True)
class _Books:
    """What this process has done: in bytes on disk. `spare` is reserved and free, `in_transit` reserved and taken."""

    added: int = 0
    removed: int = 0
    in_transit: int = 0
    spare: int = 0

    @property
    def account(self) -> Account:
        return Account(self.added, self.removed, self.in_transit + self.spare)


class LimitedRoom:
    """Room in the cache `root` up to the limit of `quota`, shared with all processes that use it. Any thread may ask.

    Whoever made it ends it with `leave`. Methods raise OSError where the ledger cannot be kept."""

    def __init__(
        self,
        root: Path,
        quota: Quota,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.quota = quota
        self._root = root
        self._clock = clock
        self._sleep = sleep
        self._ledger = Ledger(os.fsencode(root))
        self._sweeper = Sweeper(os.fsencode(root), self._ledger, self._freed, clock)
        self._lock = threading.RLock()
        self._member: Member | None = None
        self._books = _Books()

    def reserve(self, size: int) -> None:
        """Takes `size` bytes, and makes room for them first if need be. StorageError if no room can hold as much."""
        with self._lock:
            self._follow_fork()
            if self._books.spare < size:
                self._grow(size)
            self._books.spare -= size
            self._books.in_transit += size

    def give_back(self, size: int) -> None:
        """Reserved bytes are not needed after all."""
        with self._lock:
            self._follow_fork()
            taken = min(size, self._books.in_transit)
            self._books.in_transit -= taken
            self._books.spare += taken

    def occupy(self, size: int) -> None:
        """Reserved bytes are an object now."""
        with self._lock:
            self._follow_fork()
            self._books.in_transit -= min(size, self._books.in_transit)
            self._books.added += size

    def vacate(self, size: int) -> None:
        """An object of `size` bytes has been removed."""
        with self._lock:
            self._follow_fork()
            self._books.removed += size

    def leave(self) -> None:
        """What this process did stays in the ledger, what it has reserved does not."""
        with self._lock:
            self._follow_fork()
            if self._member is None:
                return
            member, books = self._member, self._books
            self._member, self._books = None, _Books()
            with suppress(OSError):
                if books.added or books.removed:
                    self._ledger.write(member, Account(books.added, books.removed))
                else:
                    self._ledger.forget(member.name)

    def evict(self, goal: int | None = None, progress: Progress = SILENT, *, dry_run: bool = False) -> Eviction | None:
        """Evicts down to `goal` bytes now; None where another process is at it and does not end. StorageError where
        that may not be done."""
        try:
            with self._lock:
                self._follow_fork()
                self._write()
                for _ in range(_TURNS):
                    if self._sweeper.lock.take():
                        try:
                            return self._sweeper.evict(self.quota, goal, progress, dry_run=dry_run)
                        finally:
                            self._write()
                            self._sweeper.lock.release()
                    self._pause()
                return None
        except OSError as error:
            raise storage_error(error, str(self._root)) from error

    def _grow(self, size: int) -> None:
        """Makes `spare` at least `size`, and writes it down."""
        if size > self.quota.largest:
            raise too_large(size, self.quota)
        self._books.spare = size
        self._write()
        if self._total() > self.quota.limit:
            self._make_room()
        usage = self._ledger.usage()
        if usage is None:
            return
        ahead = min(self.quota.step(usage.active), self.quota.limit - usage.bytes)
        if ahead > 0:
            self._books.spare += ahead
            self._write()
            if self._total() > self.quota.limit:
                # Another process was faster; what is ahead of needs can wait.
                self._books.spare = size
                self._write()

    def _make_room(self) -> None:
        """Evicts, or waits for who does, until all is within the limit or cannot be."""
        for _ in range(_TURNS):
            if self._sweeper.lock.take():
                try:
                    if self._total() > self.quota.limit:
                        self._sweeper.evict(self.quota)
                finally:
                    self._write()
                    self._sweeper.lock.release()
                return
            self._pause()
            if self._total() <= self.quota.limit:
                return

    def _total(self) -> int:
        """How full the cache is; somebody looks if nobody has for a day."""
        usage = self._ledger.usage()
        if usage is None or abs(self._clock() - usage.measured_at) > MEASURE_AGAIN_SECONDS:
            self._measure()
            usage = self._ledger.usage()
        return usage.bytes if usage is not None else 0

    def _measure(self) -> None:
        if self._sweeper.lock.take():
            try:
                self._sweeper.measure()
            finally:
                self._sweeper.lock.release()
            return
        for _ in range(_TURNS):
            if self._ledger.measurement() is not None:
                return
            self._pause()

    def _pause(self) -> None:
        self._sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))

    def _freed(self, size: int) -> None:
        self._books.removed += size

    def _write(self) -> None:
        if self._member is None:
            self._join()
        assert self._member is not None
        self._ledger.write(self._member, self._books.account)

    def _join(self) -> None:
        self._ledger.begin()
        self._member = Member.current()
        if len(self._ledger.accounts()) > MOST_ACCOUNTS and self._sweeper.lock.take():
            try:
                now = self._clock()
                self._ledger.fold(lambda one: one.is_gone(now))
            finally:
                self._sweeper.lock.release()

    def _follow_fork(self) -> None:
        """A forked child is a user of its own, which has done nothing yet."""
        if self._member is not None and self._member.process != os.getpid():
            self._member = None
            self._books = _Books()


def too_large(size: int, quota: Quota) -> StorageError:
    """The error for an object that the cache cannot hold, however empty it is."""
    return StorageError(
        what=f"an object of {size_text(size)}",
        problem=f"is larger than half of the cache's limit ({size_text(quota.limit)})",
        hint=f"raise the limit, for instance OUTCROP_CACHE_LIMIT={_generous(size)}, or lift it with `none`",
    )


def _generous(size: int) -> str:
    return f"{max(-(-size * 4 // 2**30), 1)}G"
