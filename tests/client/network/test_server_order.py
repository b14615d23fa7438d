"""The nearest server is asked first: as the geo API says, or as measured, and it never takes long to find out."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.network.geography import geo_request, parse_geo_reply
from outcrop.client.network.order_memory import OrderMemory
from outcrop.client.network.server_order import order_servers
from outcrop.client.network.servers import Servers
from outcrop.client.network.settings import NetworkSettings, ServerOrder
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.errors import NetworkError
from outcrop.storage.http import HttpStore
from outcrop.storage.interface import ReadableStore
from outcrop.storage.memory import MemoryStore
from tests.faulty_proxy import ProxySite
from tests.faulty_server import Behaviour, Request, Site, html_page, serving, silence, status

NOWHERE = OrderMemory(None)


class GeoSite(Site):
    """A replica with a geo API, and a manifest that it takes `delay` seconds to give."""

    reply: bytes | None = None
    geo: Behaviour | None = None

    def _answer(self, request: Request) -> None:
        if "/geo/" in f"/{request.name}" and (self.reply is not None or self.geo is not None):
            (self.geo or (lambda request: request.answer(self.reply or b"")))(request)
        else:
            super()._answer(request)


@pytest.fixture
def sites() -> Iterator[tuple[list[GeoSite], list[str]]]:
    with ExitStack() as stack:
        sites = [GeoSite({MANIFEST_NAME: b"x"}) for _ in range(3)]
        yield sites, [stack.enter_context(serving(site)) for site in sites]


def ordered(
    addresses: list[str], order: ServerOrder, memory: OrderMemory = NOWHERE, maximum: int = 0, **network: object
) -> list[int]:
    """The order in which the servers are asked."""
    servers = Servers([HttpStore(address) for address in addresses], NetworkSettings(**network))  # type: ignore[arg-type]
    order_servers(servers, order, memory, maximum=maximum, rng=random.Random(1))
    found = [addresses.index(server.address) for server in servers.in_order]
    servers.close()
    return found


def test_servers_stay_as_given_without_a_question(sites: tuple[list[GeoSite], list[str]]) -> None:
    assert ordered(sites[1], ServerOrder.AS_GIVEN) == [0, 1, 2]
    assert not any(site.requests for site in sites[0])


def test_geo_api_decides(sites: tuple[list[GeoSite], list[str]]) -> None:
    for site in sites[0]:
        site.reply = b"3,1,2\n"
    assert ordered(sites[1], ServerOrder.GEOGRAPHIC) == [2, 0, 1]
    requests = [name for site in sites[0] for name in site.requests]
    assert len(requests) == 1
    assert requests[0].startswith("api/v1.0/geo/")
    assert requests[0].endswith("/127.0.0.1,127.0.0.1,127.0.0.1")


@pytest.mark.parametrize(
    ("order", "maximum", "found"),
    [
        (ServerOrder.AS_GIVEN, 2, [0, 1]),
        (ServerOrder.GEOGRAPHIC, 2, [2, 0]),
        (ServerOrder.GEOGRAPHIC, 3, [2, 0, 1]),
        (ServerOrder.GEOGRAPHIC, 9, [2, 0, 1]),
    ],
)
def test_only_the_nearest_servers_are_used(
    sites: tuple[list[GeoSite], list[str]], order: ServerOrder, maximum: int, found: list[int]
) -> None:
    for site in sites[0]:
        site.reply = b"3,1,2\n"
    assert ordered(sites[1], order, maximum=maximum) == found


def test_servers_that_were_left_out_are_not_asked_when_others_fail(sites: tuple[list[GeoSite], list[str]]) -> None:
    for site in sites[0]:
        site.every = status(503)
    servers = Servers([HttpStore(address) for address in sites[1]], NetworkSettings(retries=0))
    order_servers(servers, ServerOrder.AS_GIVEN, NOWHERE, maximum=2)
    for server in servers.in_order:
        with pytest.raises(NetworkError):
            server.read(MANIFEST_NAME)
    servers.close()
    assert [len(site.requests) for site in sites[0]] == [1, 1, 0]


def test_servers_of_the_repository_know_where_others_are(sites: tuple[list[GeoSite], list[str]]) -> None:
    """Servers of external files have no geo API of their own."""
    sites[0][0].reply = b"2,1\n"
    guides = Servers([HttpStore(sites[1][0])], NetworkSettings())
    servers = Servers([HttpStore(address) for address in sites[1][1:]], NetworkSettings())
    order_servers(servers, ServerOrder.GEOGRAPHIC, NOWHERE, maximum=1, guides=guides)
    assert [server.address for server in servers.in_order] == [sites[1][2]]
    assert not sites[0][1].requests + sites[0][2].requests
    servers.close()
    guides.close()


def test_place_of_the_proxy_counts(sites: tuple[list[GeoSite], list[str]]) -> None:
    for site in sites[0]:
        site.reply = b"2,3,1\n"
    with serving(ProxySite()) as proxy:
        assert ordered(sites[1], ServerOrder.GEOGRAPHIC, proxies=((proxy,),)) == [1, 2, 0]
    assert any(name.startswith("api/v1.0/geo/127.0.0.1/") for site in sites[0] for name in site.requests)


@pytest.mark.parametrize("geo", [html_page, status(400), status(404), silence])
def test_latency_decides_where_no_server_knows_places(sites: tuple[list[GeoSite], list[str]], geo: Behaviour) -> None:
    for site, delay in zip(sites[0], (0.4, 0.2, 0.0), strict=True):
        site.geo, site.delay = geo, delay
    began = time.monotonic()
    assert ordered(sites[1], ServerOrder.GEOGRAPHIC) == [2, 1, 0]
    assert time.monotonic() - began < 15


def test_latency_is_measured(sites: tuple[list[GeoSite], list[str]]) -> None:
    for site, delay in zip(sites[0], (0.2, 0.0, 0.4), strict=True):
        site.delay = delay
    assert ordered(sites[1], ServerOrder.LATENCY) == [1, 0, 2]


@pytest.mark.fault
def test_silent_server_comes_last_and_holds_nobody_up(sites: tuple[list[GeoSite], list[str]]) -> None:
    sites[0][0].every = silence
    sites[0][2].delay = 0.2
    began = time.monotonic()
    assert ordered(sites[1], ServerOrder.LATENCY) == [1, 2, 0]
    assert time.monotonic() - began < 8


def test_where_nobody_answers_the_order_is_as_given(sites: tuple[list[GeoSite], list[str]], tmp_path: Path) -> None:
    for site in sites[0]:
        site.every = status(500)
    path = tmp_path / "orders.json"
    assert ordered(sites[1], ServerOrder.GEOGRAPHIC, OrderMemory(path)) == [0, 1, 2]
    assert not path.exists()


def test_servers_that_are_not_on_the_web_keep_their_places(sites: tuple[list[GeoSite], list[str]]) -> None:
    for site in sites[0]:
        site.reply = b"2,1\n"
    stores: list[ReadableStore] = [HttpStore(sites[1][0]), MemoryStore("disk"), HttpStore(sites[1][1])]
    servers = Servers(stores, NetworkSettings())
    order_servers(servers, ServerOrder.GEOGRAPHIC, NOWHERE)
    assert [server.address for server in servers.in_order] == [sites[1][1], "disk", sites[1][0]]
    servers.close()


def test_answer_is_remembered_for_an_hour(sites: tuple[list[GeoSite], list[str]], tmp_path: Path) -> None:
    now = 1e9
    memory = OrderMemory(tmp_path / "deep" / "orders.json", clock=lambda: now)
    for site in sites[0]:
        site.reply = b"3,1,2\n"
    for _ in range(3):
        assert ordered(sites[1], ServerOrder.GEOGRAPHIC, memory) == [2, 0, 1]
    assert sum(len(site.requests) for site in sites[0]) == 1
    now += 3600
    assert ordered(sites[1], ServerOrder.GEOGRAPHIC, memory) == [2, 0, 1]
    assert sum(len(site.requests) for site in sites[0]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '{"orders": 1}',
        '{"orders": {"KEY": {"at": 1e9, "order": [0, 0]}}}',
        '{"orders": {"KEY": 1}}',
    ],
)
def test_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    memory = OrderMemory(tmp_path / "orders.json", clock=lambda: 1e9)
    memory.remember(ServerOrder.LATENCY, "", ["a", "b"], [1, 0])
    (key,) = json.loads((tmp_path / "orders.json").read_text("utf-8"))["orders"]
    (tmp_path / "orders.json").write_text(text.replace("KEY", key), "utf-8")
    assert memory.recall(ServerOrder.LATENCY, "", ["a", "b"]) is None
    memory.remember(ServerOrder.LATENCY, "", ["a", "b"], [1, 0])
    assert memory.recall(ServerOrder.LATENCY, "", ["a", "b"]) == (1, 0)
    assert memory.recall(ServerOrder.GEOGRAPHIC, "", ["a", "b"]) is None


def test_memory_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memory = OrderMemory(tmp_path / "file" / "orders.json")
    memory.remember(ServerOrder.LATENCY, "", ["a", "b"], [1, 0])
    assert memory.recall(ServerOrder.LATENCY, "", ["a", "b"]) is None


@pytest.mark.property
@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_reply_is_an_order_or_none(reply: bytes, count: int) -> None:
    order = parse_geo_reply(reply, count)
    assert order is None or sorted(order) == list(range(count))


@pytest.mark.property
@given(st.permutations(range(6)))
def test_every_order_is_understood(order: list[int]) -> None:
    reply = ",".join(str(number + 1) for number in order).encode() + b"\n"
    assert parse_geo_reply(reply, 6) == tuple(order)


def test_request_names_hosts_alone() -> None:
    request = geo_request("proxy.example", ["http://s1.example:8000/cvmfs/a.b", "https://s2.example/cvmfs/a.b"])
    assert request == "api/v1.0/geo/proxy.example/s1.example,s2.example"
