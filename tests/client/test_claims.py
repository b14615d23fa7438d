"""Objects come once, whichever of several processes asks first, and nobody waits for the dead."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from outcrop.client.cache import Cache
from outcrop.client.claims import CLAIMS_NAME, Claims, Waiting
from outcrop.client.contents import Contents, Piece
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.storage.http import HttpStore
from tests.client.published import Published
from tests.faulty_server import Site, serving

DIGEST, OTHER = b"0123456789" * 2, b"9876543210" * 2
_FORK = multiprocessing.get_context("fork")


def test_claim_excludes_everybody_else_until_it_is_given_up(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take(DIGEST)
        assert not two.take(DIGEST)
        assert two.take(OTHER)
        one.release(DIGEST)
        assert two.take(DIGEST)


def test_claims_end_with_their_batch(tmp_path: Path) -> None:
    with Claims(tmp_path) as two:
        with Claims(tmp_path) as one:
            assert one.take(DIGEST)
        assert two.take(DIGEST)


def _hold(directory: Path, holding: object) -> None:
    with Claims(directory) as claims:
        assert claims.take(DIGEST)
        holding.set()  # type: ignore[attr-defined]
        time.sleep(60)


def holder(directory: Path) -> BaseProcess:
    """A process that has claimed `DIGEST`."""
    holding = _FORK.Event()
    process = _FORK.Process(target=_hold, args=(directory, holding), daemon=True)
    process.start()
    assert holding.wait(10)
    return process


@pytest.mark.fault
def test_claim_ends_with_a_killed_process(tmp_path: Path) -> None:
    process = holder(tmp_path)
    with Claims(tmp_path) as claims:
        assert not claims.take(DIGEST)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert claims.take(DIGEST)


@pytest.mark.parametrize("place", ["missing", "a directory"])
def test_where_nothing_can_be_claimed_everything_is_granted(tmp_path: Path, place: str) -> None:
    if place == "a directory":
        (tmp_path / CLAIMS_NAME).mkdir()
    directory = tmp_path / "missing" if place == "missing" else tmp_path
    with Claims(directory) as one, Claims(directory) as two:
        assert one.take(DIGEST)
        assert two.take(DIGEST)
        one.release(DIGEST)


class _NoLocks:
    """A file system without locks."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, _descriptor: int, _command: int, _argument: bytes) -> object:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP, errno.EIO])
def test_file_system_without_locks_grants_everything(tmp_path: Path, number: int) -> None:
    with Claims(tmp_path, lock=_NoLocks(number)) as one, Claims(tmp_path, lock=_NoLocks(number)) as two:
        assert one.take(DIGEST)
        assert two.take(DIGEST)
        one.release(DIGEST)


def test_file_of_claims_is_not_swept_away_while_it_is_used(tmp_path: Path) -> None:
    (tmp_path / CLAIMS_NAME).touch()
    os.utime(tmp_path / CLAIMS_NAME, (0, 0))
    with Claims(tmp_path):
        assert time.time() - (tmp_path / CLAIMS_NAME).stat().st_mtime < 60


def test_wait_ends_when_nothing_comes() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    waiting = Waiting(5 * 1024 * 1024, clock=lambda: now, sleep=sleep)
    while waiting.goes_on():
        assert now < 30
    assert 25 <= now < 25.2
    waiting.something_came()
    assert waiting.goes_on()


# Contents of several processes.

DATA = [b"%d" % number * 50 for number in range(60)]


def _ensure(url: str, cache: Path, pieces: list[Piece], ready: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    contents = Contents([HttpStore(url)], [Cache.create(cache, tell=print)])
    contents.ensure(pieces)
    assert [contents.local_file(piece).read_bytes() for piece in pieces] == DATA
    contents.close()


def pieces_of(published: Published) -> list[Piece]:
    return [Piece(0, len(one), ObjectName(published.add(one), ObjectKind.FILE), Compression.ZLIB) for one in DATA]


def in_processes(count: int, work: Callable[..., None], *arguments: object) -> None:
    """Runs `work` in `count` processes, which begin at the same moment."""
    ready = _FORK.Event()
    processes = [_FORK.Process(target=work, args=(*arguments, ready), daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    ready.set()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * count


def test_object_is_downloaded_once_however_many_processes_ask(tmp_path: Path) -> None:
    published = Published()
    pieces = pieces_of(published)
    Cache.create(tmp_path, tell=print)
    site = Site(published.files, delay=0.02)
    with serving(site) as url:
        in_processes(4, _ensure, url, tmp_path, pieces)
    assert sorted(site.requests) == sorted(piece.object.path for piece in pieces)


@pytest.mark.fault
def test_object_of_a_killed_process_is_downloaded_by_another(tmp_path: Path) -> None:
    published = Published()
    pieces = pieces_of(published)
    Cache.create(tmp_path, tell=print)
    site = Site(published.files, delay=0.2)
    ready = _FORK.Event()
    with serving(site) as url:
        process = _FORK.Process(target=_ensure, args=(url, tmp_path, pieces, ready), daemon=True)
        process.start()
        ready.set()
        while not site.busy:
            time.sleep(0.01)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        site.delay = 0
        began = time.monotonic()
        _ensure(url, tmp_path, pieces, ready)
        assert time.monotonic() - began < 10


@pytest.mark.fault
def test_nobody_waits_for_ever_for_a_process_that_stands_still(tmp_path: Path) -> None:
    published = Published()
    pieces = pieces_of(published)[:1]
    cache = Cache.create(tmp_path, tell=print)
    with Claims(tmp_path / "txn") as stopped, serving(Site(published.files)) as url:
        assert stopped.take(pieces[0].object.digest.raw)
        now = 0.0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

        contents = Contents(
            [HttpStore(url)], [cache], waiting=lambda size: Waiting(size, clock=lambda: now, sleep=sleep)
        )
        contents.ensure(pieces)
        assert contents.local_file(pieces[0]).read_bytes() == DATA[0]
        contents.close()
    assert 20 <= now < 21
