"""A limit is kept, whoever shares the cache and however they end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.client.cache import Cache
from outcrop.client.cache.ledger import Ledger
from outcrop.client.cache.quota import Quota
from outcrop.client.cache.room import MEASURE_AGAIN_SECONDS
from outcrop.client.cache.scan import Stored, all_stored
from outcrop.client.content import Content
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import StorageError
from tests.client.cache.crowd import LARGEST_BYTES
from tests.client.cache.objects import content_of, insert, read

BLOCK = 4096
NOW = 1_800_000_000.0


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(directory: Path, limit: int | None, clock: Callable[[], float] = time.time) -> Cache:
    return Cache.create(directory, tell=pytest.fail, clock=clock, quota=Quota(limit) if limit else None)


def held(directory: Path) -> int:
    """The bytes on disk of all objects."""
    return sum(one.size for one in all_stored(os.fsencode(directory)) if isinstance(one, Stored))


def fill(cache: Cache, count: int, size: int = BLOCK, clock: Clock | None = None, first: int = 0) -> list[Content]:
    """Puts `count` objects in, a second after each other."""
    contents = []
    for number in range(first, first + count):
        content, stored = content_of(number.to_bytes(4, "big") * (size // 4), Compression.NONE)
        insert(cache, content, stored)
        if clock is not None:
            os.utime(cache.path(content), (clock.now, clock.now))
            clock.now += 1
        contents.append(content)
    return contents


def test_limit_holds_and_half_of_it_stays(tmp_path: Path) -> None:
    cache = opened(tmp_path, 100 * BLOCK)
    for number in range(300):
        fill(cache, 1, first=number)
        assert held(tmp_path) <= 100 * BLOCK
    assert held(tmp_path) >= 40 * BLOCK


def test_least_recently_used_goes_first(tmp_path: Path, clock: Clock) -> None:
    cache = opened(tmp_path, 100 * BLOCK, clock)
    contents = fill(cache, 80, clock=clock)
    clock.now += 1000
    used = contents[:10]
    for content in used:
        assert read(cache, content) is not None
    clock.now += 1000
    fill(cache, 30, clock=clock, first=1000)
    assert all(cache.holds(content) for content in used)
    assert not any(cache.holds(content) for content in contents[10:20])


def test_use_in_another_process_counts(tmp_path: Path, clock: Clock) -> None:
    cache = opened(tmp_path, 100 * BLOCK, clock)
    contents = fill(cache, 80, clock=clock)
    clock.now += 1000
    assert read(opened(tmp_path, None, clock), contents[0]) is not None
    fill(cache, 30, clock=clock, first=1000)
    assert cache.holds(contents[0])


def test_object_that_no_room_can_hold_is_told_clearly(tmp_path: Path) -> None:
    cache = opened(tmp_path, 100 * BLOCK)
    content, stored = content_of(b"x" * 51 * BLOCK, Compression.NONE)
    with pytest.raises(StorageError, match="larger than half of the cache's limit") as caught:
        insert(cache, content, stored)
    assert "OUTCROP_CACHE_LIMIT=1G" in caught.value.hint
    assert os.listdir(tmp_path / "txn") == []


def test_large_object_whose_size_nobody_knows_finds_its_room_piece_by_piece(tmp_path: Path) -> None:
    cache = opened(tmp_path, 1000 * BLOCK)
    contents = fill(cache, 900)
    data = os.urandom(400 * BLOCK)
    content, stored = content_of(data, size=None)
    insert(cache, content, stored)
    assert read(cache, content) == data
    assert held(tmp_path) <= 1000 * BLOCK
    assert not all(cache.holds(one) for one in contents)


def test_catalogs_in_use_stay(tmp_path: Path, clock: Clock) -> None:
    reader = opened(tmp_path, 100 * BLOCK, clock)
    catalog, stored = content_of(b"catalog", Compression.NONE, kind=ObjectKind.CATALOG)
    insert(reader, catalog, stored)
    fill(opened(tmp_path, 100 * BLOCK, clock), 300, clock=clock)
    assert reader.holds(catalog)
    reader.keep_pinned([])
    clock.now += 1000
    fill(opened(tmp_path, 100 * BLOCK, clock), 300, clock=clock, first=1000)
    assert read(reader, catalog) is None


def test_pins_take_no_more_than_half(tmp_path: Path, clock: Clock) -> None:
    cache = opened(tmp_path, 100 * BLOCK, clock)
    for number in range(200):
        content, stored = content_of(b"catalog %d" % number, Compression.NONE, kind=ObjectKind.CATALOG)
        insert(cache, content, stored)
        assert held(tmp_path) <= 100 * BLOCK


def test_pins_end_with_their_process(tmp_path: Path, clock: Clock) -> None:
    program = """
import os, sys
from pathlib import Path
from outcrop.client.cache import Cache
from outcrop.client.cache.quota import Quota
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectKind
from tests.client.cache.objects import content_of, insert
cache = Cache.create(Path(sys.argv[1]), tell=print, quota=Quota(100 * 4096))
insert(cache, *content_of(b"catalog", Compression.NONE, kind=ObjectKind.CATALOG))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert len(list((tmp_path / ".outcrop" / "pins").iterdir())) == 1
    cache = opened(tmp_path, 100 * BLOCK)
    fill(cache, 300)
    assert list((tmp_path / ".outcrop" / "pins").iterdir()) == []
    assert not cache.holds(content_of(b"catalog", Compression.NONE, kind=ObjectKind.CATALOG)[0])


def test_what_is_on_its_way_in_is_never_evicted(tmp_path: Path) -> None:
    cache = opened(tmp_path, 1000 * BLOCK)
    data = os.urandom(100 * BLOCK)
    content, stored = content_of(data, Compression.NONE)
    incoming = cache.incoming(content)
    incoming.write(stored[: 90 * BLOCK])
    fill(opened(tmp_path, 1000 * BLOCK), 1500)
    incoming.write(stored[90 * BLOCK :])
    incoming.finish()
    assert read(cache, content) == data


def test_same_object_from_two_sides_is_counted_once(tmp_path: Path) -> None:
    cache = opened(tmp_path, 100 * BLOCK)
    content, stored = content_of(b"x" * BLOCK, Compression.NONE)
    first, second = cache.incoming(content), opened(tmp_path, 100 * BLOCK).incoming(content)
    for one in (first, second):
        one.write(stored)
    first.finish()
    second.finish()
    usage = Ledger(os.fsencode(tmp_path)).usage()
    assert usage is not None
    assert usage.bytes <= BLOCK + 2 * (BLOCK + Quota(100 * BLOCK).step(1))


def test_others_who_keep_no_ledger_are_noticed_within_a_day(tmp_path: Path, clock: Clock) -> None:
    cache = opened(tmp_path, 100 * BLOCK, clock)
    fill(cache, 10, clock=clock)
    fill(opened(tmp_path, None, clock), 500, clock=clock, first=1000)
    clock.now += MEASURE_AGAIN_SECONDS + 1
    fill(cache, 20, clock=clock, first=5000)
    assert held(tmp_path) <= 100 * BLOCK


@pytest.mark.parametrize("jump", [-40 * 24 * 3600, 40 * 24 * 3600], ids=["back", "ahead"])
def test_clock_that_jumps_costs_no_object_that_is_in_use(tmp_path: Path, clock: Clock, jump: int) -> None:
    cache = opened(tmp_path, 100 * BLOCK, clock)
    contents = fill(cache, 60, clock=clock)
    clock.now += jump
    used = contents[:5]
    for content in used:
        assert read(cache, content) is not None
    clock.now += 10
    fill(cache, 45, clock=clock, first=1000)
    assert held(tmp_path) <= 100 * BLOCK
    assert all(cache.holds(content) for content in used)


def test_clock_that_jumps_ahead_takes_no_download_away(tmp_path: Path, clock: Clock) -> None:
    cache = opened(tmp_path, 1000 * BLOCK, clock)
    data = os.urandom(100 * BLOCK)
    content, stored = content_of(data, Compression.NONE)
    incoming = cache.incoming(content)
    incoming.write(stored)
    clock.now = time.time() + 400 * 24 * 3600
    opened(tmp_path, 1000 * BLOCK, clock).remove_stale()
    incoming.finish()
    assert read(cache, content) == data


def test_ledger_belongs_to_all_who_share_the_cache(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    before = os.umask(0o077)
    try:
        cache = opened(tmp_path, 100 * BLOCK)
        catalog, stored = content_of(b"catalog", Compression.NONE, kind=ObjectKind.CATALOG)
        insert(cache, catalog, stored)
        fill(cache, 150)
    finally:
        os.umask(before)
    paths = [path for path in (tmp_path / ".outcrop").rglob("*") if path.name != "own"]
    assert {path.parent.name for path in paths} == {".outcrop", "members", "pins"}
    for path in paths:
        assert path.stat().st_mode & 0o7777 == (0o2770 if path.is_dir() else 0o660), path


def test_forked_child_keeps_its_own_account(tmp_path: Path) -> None:
    cache = opened(tmp_path, 100 * BLOCK)
    fill(cache, 5)
    child = os.fork()
    if child == 0:
        try:
            fill(cache, 200, first=1000)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    fill(cache, 50, first=2000)
    assert held(tmp_path) <= 100 * BLOCK
    assert len(Ledger(os.fsencode(tmp_path)).accounts()) >= 1


def test_emptied_cache_fills_again(tmp_path: Path) -> None:
    import shutil

    cache = opened(tmp_path / "objects", 100 * BLOCK)
    fill(cache, 60)
    shutil.rmtree(tmp_path / "objects")
    fill(cache, 60)
    assert held(tmp_path / "objects") <= 100 * BLOCK


def crowd(directory: Path, limit: int, seed: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.client.cache.crowd", directory, str(limit), str(seed), str(seconds)]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE)


CROWD = 6
CROWD_LIMIT = 2_000_000


@pytest.mark.fault
def test_many_processes_share_a_small_cache(tmp_path: Path) -> None:
    processes = [crowd(tmp_path, CROWD_LIMIT, seed, 5) for seed in range(CROWD)]
    most = 0
    while any(process.poll() is None for process in processes):
        most = max(most, held(tmp_path))
        time.sleep(0.02)
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    # While this process looks through the directories, some objects are seen and others come.
    assert most <= CROWD_LIMIT + CROWD * LARGEST_BYTES
    assert held(tmp_path) <= CROWD_LIMIT
    assert os.listdir(tmp_path / "txn") == []


@pytest.mark.fault
def test_processes_are_killed_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    choice = random.Random(seed)
    running = [crowd(tmp_path, CROWD_LIMIT, number, 60) for number in range(4)]
    for number in range(10):
        time.sleep(choice.uniform(0.2, 0.8))
        victim = running.pop(choice.randrange(len(running)))
        victim.send_signal(signal.SIGKILL)
        errors = victim.communicate()[1]
        assert errors == b""
        assert victim.returncode == -signal.SIGKILL
        running.append(crowd(tmp_path, CROWD_LIMIT, 100 + number, 60))
    for process in running:
        process.kill()
        process.communicate()
    last = crowd(tmp_path, CROWD_LIMIT, 1000, 2)
    assert last.communicate()[1] == b""
    assert last.returncode == 0
    assert held(tmp_path) <= CROWD_LIMIT
    cache = opened(tmp_path, CROWD_LIMIT)
    assert os.listdir(tmp_path / "txn") == []
    assert cache.damaged == 0
