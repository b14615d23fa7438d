"""What a limit on the cache costs: opening and inserting objects with and without one, and removing many.

Method: objects of 4 KiB, uncompressed, as are most of a software repository. Each round, in turns: a cache without a
limit and one with a limit that is never reached open the same objects for the first time in a process (which reads and
checks them), and again; then each inserts new ones. A third reaches its limit all the time, and has half of it evicted
again and again. At last, caches with a hundred thousand objects (files without contents of ours: an eviction looks at
names and times only) are measured and evicted.

What it leaves out: file systems other than that of the directory for temporary files, downloads, several processes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.timing import print_circumstances, print_table, take_turns
from outcrop.client.cache import Cache
from outcrop.client.cache.layout import PREFIXES
from outcrop.client.cache.quota import Quota
from outcrop.client.cache.room import LimitedRoom
from outcrop.client.content import BLOCK_BYTES, Content
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName

OBJECTS = 5_000
OPENINGS = 20
MANY = 100_000
ROUNDS = 5
AMPLE, TIGHT = Quota(10**11), Quota(1_000 * BLOCK_BYTES)


class _Subject:
    """A cache in a directory of its own, and the objects that it is filled with."""

    def __init__(self, place: Path, quota: Quota | None) -> None:
        self._place = place
        self._quota = quota
        self._round = 0
        self.known = [_object(b"known %d" % number) for number in range(OBJECTS)]
        self.cache = self.again()
        _insert(self.cache, self.known)

    def again(self) -> Cache:
        """As another process sees it."""
        return Cache.create(self._place, tell=_refuse, quota=self._quota)

    def open_first(self) -> None:
        self.cache = self.again()
        self.open_each()

    def open_each(self) -> None:
        for content, _ in self.known:
            descriptor = self.cache.open(content)
            assert descriptor is not None
            os.close(descriptor)

    def open_again(self) -> None:
        for _ in range(OPENINGS):
            self.open_each()

    def insert(self) -> None:
        self._round += 1
        _insert(self.cache, [_object(b"new %d %d" % (self._round, number)) for number in range(OBJECTS)])


def main() -> None:
    """Prints the tables."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        free, limited = _Subject(place / "free", None), _Subject(place / "limited", AMPLE)
        tight = Cache.create(place / "tight", tell=_refuse, quota=TIGHT)
        timings = take_turns({"no limit": free.open_first, "limit": limited.open_first}, ROUNDS)
        print(f"\nfirst opening in a process, checked, {OBJECTS:,} objects")
        print_table(timings, OBJECTS, "objects", "no limit")
        timings = take_turns({"no limit": free.open_again, "limit": limited.open_again}, ROUNDS)
        print(f"\nopening again, {OBJECTS * OPENINGS:,} times")
        print_table(timings, OBJECTS * OPENINGS, "objects", "no limit")
        rounds = iter(range(10**6))

        def insert_into_tight() -> None:
            number = next(rounds)
            _insert(tight, [_object(b"tight %d %d" % (number, one)) for one in range(OBJECTS)])

        timings = take_turns(
            {"no limit": free.insert, "limit": limited.insert, "limit of 1,000 objects": insert_into_tight}, ROUNDS
        )
        print(f"\ninserting {OBJECTS:,} objects")
        print_table(timings, OBJECTS, "objects", "no limit")
        _evict(place)


def _evict(place: Path) -> None:
    print(f"\nevicting half of {MANY:,} objects, and the rest")
    room = LimitedRoom(_crowded(place / "crowded"), Quota(2 * MANY * BLOCK_BYTES))
    for goal in (MANY // 2 * BLOCK_BYTES, 0):
        began, cpu = time.perf_counter(), time.process_time()
        eviction = room.evict(goal)
        assert eviction is not None
        assert eviction.objects == MANY // 2
        wall, used = time.perf_counter() - began, time.process_time() - cpu
        print(f"{eviction.objects:,} objects in {wall:.2f} s, CPU {used:.2f} s")
    room.leave()


def _crowded(place: Path) -> Path:
    Cache.create(place, tell=_refuse)
    moment = time.time() - 1_000_000
    for number in range(MANY):
        text = Digest.of(b"%d" % number).text
        assert text[:2] in PREFIXES
        path = place / text[:2] / text[2:]
        path.write_bytes(b"x")
        os.utime(path, (moment + number, moment))
    return place


def _object(data: bytes) -> tuple[Content, bytes]:
    stored = data.ljust(BLOCK_BYTES)
    return Content(ObjectName(Digest.of(stored), ObjectKind.FILE), Compression.NONE, len(stored)), stored


def _insert(cache: Cache, objects: Sequence[tuple[Content, bytes]]) -> None:
    for content, stored in objects:
        incoming = cache.incoming(content)
        incoming.write(stored)
        incoming.finish()


def _refuse(text: str) -> None:
    raise AssertionError(text)


if __name__ == "__main__":
    main()
