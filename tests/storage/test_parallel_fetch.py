"""Several fetches at once: bounded, in the caller's thread, and over when the caller leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from outcrop.errors import NetworkError
from outcrop.storage.interface import Wanted
from outcrop.storage.parallel_fetch import fetch_in_parallel
from tests.storage.conformance import Collected

PARALLEL = 4


def test_no_more_are_under_way_than_asked_for() -> None:
    lock, together = threading.Lock(), threading.Barrier(PARALLEL)
    busy = busiest = 0

    def pieces(_name: str) -> Iterator[bytes]:
        nonlocal busy, busiest
        with lock:
            busy += 1
            busiest = max(busiest, busy)
        together.wait(10)
        yield b"x"
        with lock:
            busy -= 1

    wanted = [Wanted(str(number), Collected()) for number in range(3 * PARALLEL)]
    assert len(list(fetch_in_parallel(wanted, pieces, PARALLEL))) == len(wanted)
    assert busiest == PARALLEL


def test_sinks_are_written_by_the_caller_alone() -> None:
    writers = set()

    class Noting:
        def write(self, _piece: bytes, /) -> None:
            writers.add(threading.get_ident())

    list(fetch_in_parallel([Wanted("a", Noting())] * 10, lambda _name: iter([b"x"] * 10), PARALLEL))
    assert writers == {threading.get_ident()}


def test_leaving_early_stops_what_is_under_way() -> None:
    def endless(name: str) -> Iterator[bytes]:
        while name != "short":
            yield b"x"

    wanted = [Wanted(name, Collected()) for name in ("short", "endless", "endless")]
    with closing(fetch_in_parallel(wanted, endless, PARALLEL)) as running:
        assert next(running).wanted.name == "short"
    assert [thread for thread in threading.enumerate() if thread.name.startswith("fetch")] == []


def test_an_error_of_ours_ends_one_fetch_and_a_fault_of_the_program_all() -> None:
    def pieces(name: str) -> Iterator[bytes]:
        if name == "network":
            raise NetworkError(what=name, problem="hangs up")
        yield b"x"
        if name == "fault":
            raise ZeroDivisionError

    fetched = list(fetch_in_parallel([Wanted("network", Collected()), Wanted("a", Collected())], pieces, PARALLEL))
    assert {one.wanted.name: type(one.error) for one in fetched} == {"network": NetworkError, "a": type(None)}
    with pytest.raises(ZeroDivisionError):
        list(fetch_in_parallel([Wanted("fault", Collected())], pieces, PARALLEL))
