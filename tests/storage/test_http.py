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
from outcrop.storage.way import NO_PROXY, Trouble, Way
from tests.faulty_proxy import ProxySite, refusal
from tests.faulty_server import (
    Behaviour,
    Request,
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
    assert len(site.connections) <= QUICK.most_parallel


def test_connections_are_kept_between_fetches(site: Site, store: HttpStore) -> None:
    site.files = {"a": b"1"}
    for _ in range(5):
        store.read("a")
    assert len(site.connections) == 1


def test_several_objects_are_asked_for_at_once_but_not_too_many(site: Site, store: HttpStore) -> None:
    site.files = {str(number): b"x" for number in range(40)}
    site.delay = 0.05
    list(store.fetch(Wanted(name, Collected()) for name in site.files))
    assert 8 <= site.busiest <= QUICK.most_parallel


def test_more_is_asked_for_at_once_where_the_server_is_far_but_not_too_much(site: Site) -> None:
    site.files = {str(number): bytes(1000) for number in range(300)}
    site.delay = 0.03
    limits = TransferLimits(parallel=4, most_parallel=12)
    with serving(site) as url:
        store = HttpStore(url, limits)
        list(store.fetch(Wanted(name, Collected()) for name in site.files))
        store.close()
    assert 8 < site.busiest <= limits.most_parallel
    assert len(site.connections) <= limits.most_parallel


def test_distance_is_found_out_once(site: Site) -> None:
    site.files = {str(number): bytes(1000) for number in range(300)}
    site.delay = 0.03
    with serving(site) as url:
        store = HttpStore(url, TransferLimits(parallel=4, most_parallel=12))
        list(store.fetch(Wanted(name, Collected()) for name in site.files))
        before, site.busiest = site.busiest, 0
        list(store.fetch(Wanted(str(number), Collected()) for number in range(before)))
        store.close()
    assert site.busiest > 4


def test_a_narrow_line_is_not_shared_by_more(site: Site) -> None:
    site.files = {str(number): bytes(10) for number in range(60)}
    site.delay = 0.03
    with serving(site) as url:
        store = HttpStore(url, TransferLimits(parallel=4, most_parallel=12))
        list(store.fetch(Wanted(name, Collected()) for name in site.files))
        store.close()
    assert site.busiest <= 4


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


def saying(answer: bytes) -> Behaviour:
    """Answers with these very bytes, and hangs up."""

    def behaviour(request: Request) -> None:
        request.wfile.write(answer)
        request.close_connection = True

    return behaviour


def test_server_that_speaks_something_else_is_told_so(site: Site, store: HttpStore) -> None:
    site.every = saying(b"SSH-2.0-OpenSSH_9.2\r\n" * 3)
    with pytest.raises(NetworkError, match="does not speak HTTP"):
        store.read("a")


def test_server_says_what_its_clock_shows(site: Site, store: HttpStore) -> None:
    site.every = saying(
        b"HTTP/1.1 200 OK\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nAge: 10\r\nContent-Length: 0\r\n\r\n"
    )
    assert store.server_time("a") == 1445412490
    site.every = hang_up
    assert store.server_time("a") is None


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


# Ways.

NOWHERE = f"http://{'x' * 64}.test:3128"
"""No name can have such a label, so no resolver is asked."""


@pytest.fixture
def proxy() -> Iterator[tuple[ProxySite, str]]:
    site = ProxySite()
    with serving(site) as url:
        yield site, url


def outcome(store: HttpStore, name: str = "a") -> Trouble | None:
    """Whose trouble it is that `name` does not come."""
    (fetched,) = store.fetch([Wanted(name, Collected())])
    return fetched.trouble


def test_objects_come_by_way_of_a_proxy(site: Site, store: HttpStore, proxy: tuple[ProxySite, str]) -> None:
    site.files = {"a": b"1"}
    by_proxy = store.by_way(Way(proxy[1]))
    assert by_proxy.read("a") == b"1"
    assert by_proxy.exists("a")
    assert not by_proxy.exists("b")
    assert proxy[0].requests[0] == f"{store.address}/a"


def test_what_the_environment_says_of_proxies_gives_way_to_settings(
    site: Site, store: HttpStore, proxy: tuple[ProxySite, str]
) -> None:
    site.files = {"a": b"1"}
    os.environ["http_proxy"] = "http://127.0.0.1:1"
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ""
    with pytest.raises(NetworkError, match="refused"):
        store.read("a")
    assert store.by_way(Way(NO_PROXY)).read("a") == b"1"
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    assert store.by_way(Way(proxy[1])).read("a") == b"1"
    assert len(proxy[0].requests) == 1


def test_request_goes_past_the_caches_on_the_way(site: Site, store: HttpStore, proxy: tuple[ProxySite, str]) -> None:
    site.files = {"a": b"1"}
    assert store.by_way(Way(proxy[1])).read("a") == b"1"
    site.files = {"a": b"2"}
    assert store.by_way(Way(proxy[1])).read("a") == b"1"
    assert store.by_way(Way(proxy[1], fresh=True)).read("a") == b"2"


@pytest.mark.parametrize(
    ("number", "head", "trouble"),
    [
        (503, {}, Trouble.SERVER),
        (503, {"X-Squid-Error": "ERR_DNS_FAIL 0"}, Trouble.PROXY),
        (502, {"Proxy-Status": "cache; error=connection_refused"}, Trouble.PROXY),
        (404, {"Proxy-Status": "cache; received-status=404"}, Trouble.MISSING),
        (400, {}, Trouble.SERVER),
        (429, {}, Trouble.SERVER),
        (404, {}, Trouble.MISSING),
        (410, {}, Trouble.MISSING),
        (403, {}, Trouble.PROXY),
        (407, {}, Trouble.PROXY),
        (204, {}, Trouble.PROXY),
    ],
)
def test_answer_by_way_of_a_proxy_says_whose_trouble_it_is(
    store: HttpStore, proxy: tuple[ProxySite, str], number: int, head: dict[str, str], trouble: Trouble
) -> None:
    proxy[0].every = refusal(number, **head)
    assert outcome(store.by_way(Way(proxy[1]))) is trouble


@pytest.mark.parametrize(("number", "trouble"), [(403, Trouble.SERVER), (503, Trouble.SERVER), (404, Trouble.MISSING)])
def test_without_a_proxy_every_refusal_is_the_servers(
    site: Site, store: HttpStore, number: int, trouble: Trouble
) -> None:
    site.every = refusal(number, **{"X-Squid-Error": "ERR_DNS_FAIL 0"})
    assert outcome(store) is trouble


@pytest.mark.parametrize(
    ("behaviour", "trouble"),
    [(hang_up, Trouble.BROKEN), (silence, Trouble.SLOW), (drip, Trouble.SLOW), (truncated(b"12"), Trouble.BROKEN)],
)
def test_line_that_breaks_is_told_from_a_slow_one(
    site: Site, store: HttpStore, behaviour: object, trouble: Trouble
) -> None:
    site.every = behaviour  # type: ignore[assignment]
    assert outcome(store) is trouble


def test_proxy_that_cannot_be_found_is_the_proxys_trouble(store: HttpStore) -> None:
    assert outcome(store.by_way(Way(NOWHERE))) is Trouble.PROXY


def test_server_that_cannot_be_found_is_the_servers_trouble() -> None:
    assert outcome(HttpStore(NOWHERE, QUICK)) is Trouble.SERVER


def test_redirects_can_be_refused(site: Site, store: HttpStore) -> None:
    site.files = {"b": b"there"}
    site.faults = {"a": redirect("/b")}
    strict = store.by_way(Way(NO_PROXY), TransferLimits(redirects=0))
    with pytest.raises(NetworkError, match="302"):
        strict.read("a")


def test_server_that_refuses_everything_is_not_asked_for_everything(site: Site, store: HttpStore) -> None:
    site.every = status(403)
    outcomes = list(store.fetch(Wanted(str(number), Collected()) for number in range(500)))
    assert {fetched.trouble for fetched in outcomes} == {Trouble.SERVER}
    assert len(site.requests) < 100


def test_missing_objects_are_no_reason_to_give_up(site: Site, store: HttpStore) -> None:
    site.files = {"199": b"1"}
    outcomes = list(store.fetch(Wanted(str(number), Collected()) for number in range(200)))
    assert [fetched.wanted.name for fetched in outcomes if fetched.error is None] == ["199"]


def test_only_web_addresses_are_accepted() -> None:
    with pytest.raises(InvalidValue):
        HttpStore("ftp://example.org/x")
