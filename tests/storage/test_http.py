"""A store behind HTTP: what servers do wrong ends in a typed error within a stated time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from outcrop import __version__
from outcrop.errors import InvalidValue, NetworkError, NotFound, StorageError
from outcrop.storage.http import HttpStore, TransferLimits
from outcrop.storage.interface import Wanted
from tests.faulty_server import (
    Site,
    drip,
    endless,
    hang_up,
    once,
    redirect,
    serving,
    silence,
    status,
    truncated,
)
from tests.storage.conformance import Collected, Place, ReadableConformance, Refusing

QUICK = TransferLimits(connect=1, stall=1, grace=2, retry_pause=0.01)
"""Limits that let a test of a stall end soon."""


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def store(site: Site) -> Iterator[HttpStore]:
    with serving(site) as url:
        store = HttpStore(url, QUICK)
        yield store
        store.close()


class TestConformance(ReadableConformance):
    @pytest.fixture
    def store(self, site: Site) -> Iterator[HttpStore]:
        with serving(site) as url:
            store = HttpStore(url, QUICK)
            yield store
            store.close()

    @pytest.fixture
    def place(self, site: Site) -> Place:
        return lambda name, data: site.files.update({name: data})


def test_many_objects_come_over_few_connections(site: Site, store: HttpStore) -> None:
    site.files = {f"data/{number}": str(number).encode() for number in range(300)}
    sinks = {name: Collected() for name in site.files}
    outcomes = list(store.fetch(Wanted(name, sink) for name, sink in sinks.items()))
    assert all(fetched.error is None for fetched in outcomes)
    assert {name: sink.data for name, sink in sinks.items()} == site.files
    assert len(site.connections) <= QUICK.parallel


def test_connections_are_kept_between_fetches(site: Site, store: HttpStore) -> None:
    site.files = {"a": b"1"}
    for _ in range(5):
        store.read("a")
    assert len(site.connections) == 1


def test_several_objects_are_asked_for_at_once_but_not_too_many(site: Site, store: HttpStore) -> None:
    site.files = {str(number): b"x" for number in range(40)}
    site.delay = 0.05
    list(store.fetch(Wanted(name, Collected()) for name in site.files))
    assert 8 <= site.busiest <= QUICK.parallel


def test_client_says_who_it_is(site: Site, store: HttpStore) -> None:
    site.files = {"a": b"1"}
    store.read("a")
    assert site.agents == {f"outcrop/{__version__}"}


def test_names_are_quoted(site: Site, store: HttpStore) -> None:
    name = "with space/ünï?#%25/\udcff"
    site.files = {name: b"1"}
    assert store.read(name) == b"1"


def test_missing_object_is_named_by_its_url(store: HttpStore) -> None:
    with pytest.raises(NotFound, match=r"http://127\.0\.0\.1:[0-9]+/data/nothing does not exist"):
        store.read("data/nothing")


@pytest.mark.parametrize("number", [204, 403, 418, 500, 503])
def test_other_statuses_are_the_servers_trouble(site: Site, store: HttpStore, number: int) -> None:
    site.every = status(number)
    with pytest.raises(NetworkError, match=str(number)):
        store.read("a")


@pytest.mark.parametrize("fault", [status(503), hang_up, truncated(b"0123456789" * 100)])
def test_trouble_that_passes_is_tried_again(site: Site, store: HttpStore, fault: object) -> None:
    site.files = {"a": b"0123456789" * 100}
    site.every = once(fault, site.files)  # type: ignore[arg-type]
    assert store.read("a") == site.files["a"]
    assert site.requests == ["a", "a"]


def test_trouble_that_stays_is_tried_twice(site: Site, store: HttpStore) -> None:
    site.every = hang_up
    with pytest.raises(NetworkError, match="closed the connection"):
        store.read("a")
    assert len(site.requests) == 2


def test_truncated_body_is_an_error(site: Site, store: HttpStore) -> None:
    site.every = truncated(b"x" * 1000)
    with pytest.raises(NetworkError, match="too early"):
        store.read("a")


def test_endless_body_ends(site: Site, store: HttpStore) -> None:
    site.every = endless
    with pytest.raises(NetworkError, match="more than 100000 bytes"):
        store.read("a", limit=100_000)


def test_byte_now_and_then_ends(site: Site, store: HttpStore) -> None:
    site.every = drip
    began = time.monotonic()
    with pytest.raises(NetworkError, match="too slowly"):
        store.read("a")
    assert time.monotonic() - began < 4


def test_body_that_is_never_slow_enough_to_stall_ends(site: Site) -> None:
    site.every = drip
    with serving(site) as url:
        store = HttpStore(url, TransferLimits(stall_bytes=1, stall=60, grace=0.5, average_bytes=1000))
        with pytest.raises(NetworkError, match="too slowly"):
            store.read("a")
        store.close()


def test_silent_server_ends(site: Site, store: HttpStore) -> None:
    site.every = silence
    began = time.monotonic()
    with pytest.raises(NetworkError, match="too slowly"):
        store.read("a")
    assert time.monotonic() - began < 4


def test_redirect_is_followed(site: Site, store: HttpStore) -> None:
    site.files = {"b": b"there"}
    site.faults = {"a": redirect("/b")}
    assert store.read("a") == b"there"


def test_redirects_in_a_circle_end(site: Site, store: HttpStore) -> None:
    site.every = redirect("/a")
    with pytest.raises(NetworkError, match="redirects too often"):
        store.read("a")
    assert len(site.requests) == QUICK.redirects + 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"])
def test_redirect_out_of_the_web_is_refused(site: Site, store: HttpStore, target: str) -> None:
    site.every = redirect(target)
    with pytest.raises(NetworkError, match="http and https"):
        store.read("a")


def test_refused_connection_says_so() -> None:
    with serving(Site()) as url:
        pass
    with pytest.raises(NetworkError, match="refused"):
        HttpStore(url, QUICK).read("a")


def test_dead_server_is_not_asked_for_everything() -> None:
    with serving(Site()) as url:
        pass
    store = HttpStore(url, QUICK)
    began = time.monotonic()
    outcomes = list(store.fetch(Wanted(str(number), Collected()) for number in range(2000)))
    assert len(outcomes) == 2000
    assert all(isinstance(fetched.error, NetworkError) for fetched in outcomes)
    assert time.monotonic() - began < 3


def test_error_of_a_sink_ends_its_transfer_alone(site: Site, store: HttpStore) -> None:
    site.files = {"a": b"x" * 100_000, "b": b"1"}
    good = Collected()
    outcomes = {
        fetched.wanted.name: fetched.error for fetched in store.fetch([Wanted("a", Refusing()), Wanted("b", good)])
    }
    assert isinstance(outcomes["a"], StorageError)
    assert outcomes["b"] is None
    assert good.data == b"1"


def test_fetch_can_be_given_up_in_the_middle(site: Site, store: HttpStore) -> None:
    site.files = {str(number): b"x" for number in range(100)}
    outcomes = store.fetch(Wanted(name, Collected()) for name in site.files)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert store.read("5") == b"x"


def test_threads_share_a_store(site: Site, store: HttpStore) -> None:
    site.files = {str(number): str(number).encode() for number in range(50)}
    seen: list[bytes] = []

    def read_all() -> None:
        seen.extend(store.read(name) for name in site.files)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(4 * list(site.files.values()))


@pytest.mark.fault
def test_interrupt_during_a_transfer_is_heard_at_once(site: Site) -> None:
    site.every = silence
    with serving(site) as url:
        store = HttpStore(url)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        began = time.monotonic()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            store.read("a")
        assert time.monotonic() - began < 2
        timer.join()


def test_only_web_addresses_are_accepted() -> None:
    with pytest.raises(InvalidValue):
        HttpStore("ftp://example.org/x")
