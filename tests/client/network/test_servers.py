"""Whatever servers and proxies do, the right bytes come by another way, or an error within a stated time."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outcrop.client.cache import Cache
from outcrop.client.content import ExternalPlace
from outcrop.client.contents import Contents, Piece
from outcrop.client.network.proxies import DIRECT
from outcrop.client.network.servers import Servers
from outcrop.client.network.settings import NetworkSettings
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import IntegrityError, NetworkError, NotFound, OutcropError
from outcrop.storage.http import HttpStore
from outcrop.storage.interface import Wanted
from outcrop.storage.memory import MemoryStore
from tests.client.network.clock import Clock
from tests.client.published import Published
from tests.faulty_proxy import ProxySite, refusal
from tests.faulty_server import (
    Behaviour,
    Request,
    Site,
    drip,
    endless,
    hang_up,
    html_page,
    redirect,
    serving,
    shortened,
    silence,
    status,
    truncated,
    wrong_bytes,
)

DATA = [b"%d" % number * 50 for number in range(5)]
NOWHERE = f"http://{'x' * 64}.test:3128"
"""No name can have such a label, so no resolver is asked."""


@dataclass
class Network:
    """Two servers and two proxies on loopback, all well until a test says otherwise."""

    cache: Path
    published: Published = field(default_factory=Published)
    told: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    sites: list[Site] = field(default_factory=list)
    proxies: list[ProxySite] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    proxy_addresses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pieces = [
            Piece(0, len(one), ObjectName(self.published.add(one), ObjectKind.FILE), Compression.ZLIB) for one in DATA
        ]

    def settings(self, proxies: tuple[tuple[str, ...], ...] | None = None, **changes: object) -> NetworkSettings:
        groups = proxies if proxies is not None else tuple((address,) for address in self.proxy_addresses)
        values = {"timeout": 1.0, "timeout_direct": 1.0, "retries": 0, **changes}
        return NetworkSettings(proxies=groups, **values)  # type: ignore[arg-type]

    def servers(self, settings: NetworkSettings, addresses: list[str] | None = None) -> Servers:
        return Servers(
            [HttpStore(address) for address in addresses or self.addresses],
            settings,
            tell=self.told.append,
            clock=self.clock,
            sleep=self.clock.sleep,
            rng=random.Random(1),
        )

    def contents(self, servers: Servers) -> Contents:
        return Contents(servers, [Cache.create(self.cache, tell=self.told.append)], tell=self.told.append)

    def fetch(self, servers: Servers, pieces: list[Piece] | None = None) -> None:
        """Fetches all pieces and compares what came."""
        contents = self.contents(servers)
        wanted = pieces or self.pieces
        contents.ensure(wanted)
        assert [contents.local_file(piece).read_bytes() for piece in wanted] == [
            DATA[self.pieces.index(piece)] for piece in wanted
        ]
        contents.close()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    with ExitStack() as stack:
        for _ in range(2):
            network.sites.append(Site(network.published.files))
            network.addresses.append(stack.enter_context(serving(network.sites[-1])))
            network.proxies.append(ProxySite())
            network.proxy_addresses.append(stack.enter_context(serving(network.proxies[-1])))
        yield network


@dataclass
class Appending:
    data: bytearray

    def write(self, piece: bytes) -> None:
        self.data += piece


def within(seconds: float, work: Callable[[], object]) -> None:
    """Runs `work`, which must not take longer, on a machine that others use too."""
    began = time.monotonic()
    work()
    assert time.monotonic() - began < seconds


def reset(request: Request) -> None:
    """Breaks the connection off in the middle of an answer, with an RST."""
    request.answer(b"x" * 10, length=1000)
    request.close_connection = True
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(request.connection.detach())


FAULTS: dict[str, Behaviour] = {
    "html page": html_page,
    "other bytes": wrong_bytes(b"other"),
    "wrong length": shortened(b"x" * 100),
    "truncated": truncated(b"x" * 100),
    "endless": endless,
    "a byte now and then": drip,
    "silence": silence,
    "hangs up": hang_up,
    "reset": reset,
    "redirect loop": redirect("/loop"),
    "400": status(400),
    "403": status(403),
    "404": status(404),
    "407": status(407),
    "429": status(429),
    "500": status(500),
    "502": status(502),
    "503": status(503),
}


@pytest.mark.fault
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_a_server_does_the_bytes_come_from_another(network: Network, fault: Behaviour) -> None:
    network.sites[0].every = fault
    within(15, lambda: network.fetch(network.servers(network.settings(((DIRECT,),)))))
    assert network.told[-1].startswith(f"{network.addresses[1]} is asked first from now on")


@pytest.mark.fault
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_a_server_behind_a_proxy_does_the_bytes_come_from_another(network: Network, fault: Behaviour) -> None:
    # A proxy hands on what it gets: it can be told from the server only by what it says itself.
    for piece in network.pieces:
        network.sites[0].faults[piece.object.path] = fault if fault not in (endless, drip) else hang_up
    within(30, lambda: network.fetch(network.servers(network.settings())))


# A 404 of a proxy cannot be told from that of a server without the object.
PROXY_FAULTS = {name: fault for name, fault in FAULTS.items() if name != "404"}


@pytest.mark.fault
@pytest.mark.parametrize("fault", PROXY_FAULTS.values(), ids=PROXY_FAULTS)
def test_whatever_a_proxy_does_the_bytes_come_by_another(network: Network, fault: Behaviour) -> None:
    network.proxies[0].every = fault
    within(30, lambda: network.fetch(network.servers(network.settings())))
    assert network.proxies[1].requests


@pytest.mark.fault
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_when_nothing_works_there_is_an_error_in_time(network: Network, fault: Behaviour) -> None:
    for site in network.sites:
        site.every = fault
    servers = network.servers(network.settings(((DIRECT,),)))

    def fails() -> None:
        with pytest.raises((NetworkError, IntegrityError, NotFound)):
            network.fetch(servers)

    within(15, fails)


def test_missing_object_is_not_found(network: Network) -> None:
    piece = Piece(0, 5, ObjectName(Digest.of(b"x"), ObjectKind.FILE), Compression.ZLIB)
    with pytest.raises(NotFound, match=str(piece.object)):
        network.contents(network.servers(network.settings())).ensure([piece])
    assert not network.told


def test_object_that_one_server_misses_comes_from_the_other(network: Network) -> None:
    network.sites[0].faults[network.pieces[2].object.path] = status(404)
    network.fetch(network.servers(network.settings()))


def test_names_that_do_not_resolve_are_passed_over(network: Network) -> None:
    servers = network.servers(network.settings(((NOWHERE,), (DIRECT,))), [NOWHERE, network.addresses[0]])
    within(20, lambda: network.fetch(servers))


def test_proxy_that_is_gone_is_passed_over_and_told_of(network: Network) -> None:
    with serving(Site()) as url:
        pass
    network.fetch(network.servers(network.settings(((url, network.proxy_addresses[0]),))))
    assert network.proxies[0].requests
    # Which member is first is chance; if it was the one that is gone, that is told.
    assert all("is used from now on" in text for text in network.told)


@pytest.mark.parametrize(
    "refused", [refusal(407), refusal(503, **{"X-Squid-Error": "ERR_NO_FORWARDERS 0"}), refusal(502), refusal(503)]
)
def test_proxy_that_refuses_gives_way_to_the_next_group(network: Network, refused: Behaviour) -> None:
    network.proxies[0].every = refused
    servers = network.servers(network.settings(((network.proxy_addresses[0],), (DIRECT,))))
    network.fetch(servers)
    assert len(network.proxies[0].requests) < 50


def test_damaged_copy_in_a_proxy_is_replaced(network: Network) -> None:
    proxy = network.proxies[0]
    proxy.spoil = lambda body: body[:-1] + b"!"
    network.fetch(network.servers(network.settings(((network.proxy_addresses[0],),))))
    assert proxy.fresh == len(DATA)
    assert not network.sites[1].requests
    assert set(proxy.kept.values()) == {network.published.files[piece.object.path] for piece in network.pieces}


def test_first_choices_are_used_again_after_a_while(network: Network) -> None:
    settings = network.settings(((network.proxy_addresses[0],), (network.proxy_addresses[1],)))
    servers = network.servers(settings)
    network.proxies[0].every = refusal(407)
    network.fetch(servers, network.pieces[:1])
    network.proxies[0].every = None
    network.proxies[0].requests.clear()
    network.fetch(servers, network.pieces[1:2])
    assert not network.proxies[0].requests
    network.clock.ahead += settings.proxy_reset_after
    network.fetch(servers, network.pieces[2:3])
    assert len(network.proxies[0].requests) == 1


def test_first_server_is_asked_again_after_a_while(network: Network) -> None:
    settings = network.settings(((DIRECT,),))
    servers = network.servers(settings)
    network.sites[0].every = status(500)
    network.fetch(servers, network.pieces[:1])
    network.sites[0].every = None
    network.sites[0].requests.clear()
    network.fetch(servers, network.pieces[1:2])
    assert not network.sites[0].requests
    network.clock.ahead += settings.host_reset_after
    network.fetch(servers, network.pieces[2:3])
    assert len(network.sites[0].requests) == 1


def test_single_server_is_tried_again_after_a_pause(network: Network) -> None:
    attempts: list[str] = []
    (path,) = {network.pieces[0].object.path}

    def unwell_at_first(request: object) -> None:
        attempts.append(path)
        behaviour = hang_up if len(attempts) == 1 else wrong_bytes(network.published.files[path])
        behaviour(request)  # type: ignore[arg-type]

    network.sites[0].every = unwell_at_first
    servers = network.servers(network.settings(((DIRECT,),), retries=1), network.addresses[:1])
    network.fetch(servers, network.pieces[:1])
    assert len(attempts) == 2
    assert 0 < network.clock.ahead <= 2


def test_each_server_can_be_read_by_itself_by_whichever_proxy_works(network: Network) -> None:
    network.proxies[0].every = refusal(407)
    network.published.files["name"] = b"data"
    for number, server in enumerate(network.servers(network.settings()).in_order):
        assert server.address == network.addresses[number]
        assert server.read("name") == b"data"
        assert server.exists("name")
        assert not server.exists("nothing")
        with pytest.raises(NotFound):
            server.read("nothing")
        with pytest.raises(OutcropError, match="more than 2 bytes"):
            server.read("name", limit=2)
        sink = bytearray()
        (fetched,) = server.fetch([Wanted("name", Appending(sink))])
        assert fetched.error is None
        assert sink == b"data"
    assert all("127.0.0.1" in name for name in network.proxies[1].requests)


@pytest.mark.parametrize("by_settings", [True, False])
def test_server_can_be_read_past_all_caches(network: Network, by_settings: bool) -> None:
    servers = network.servers(network.settings())
    if not by_settings:
        os.environ.update(http_proxy=network.proxy_addresses[0], no_proxy="", NO_PROXY="")
        servers = Servers([HttpStore(network.addresses[0])])
    server = servers.in_order[0]
    for data, seen in ((b"old", b"old"), (b"new", b"old")):
        network.published.files["name"] = data
        assert server.read("name") == seen
    past = server.past_caches()
    assert past is not None
    assert past.read("name") == b"new"


def test_server_that_is_preferred_is_asked_first_for_a_while(network: Network) -> None:
    servers = network.servers(network.settings(((DIRECT,),)))
    servers.prefer(servers.in_order[1])
    network.fetch(servers, network.pieces[1:])
    assert not network.sites[0].requests
    network.clock.ahead += 1800
    network.fetch(servers, network.pieces[:1])
    assert len(network.sites[0].requests) == 1
    assert not network.told


@pytest.mark.parametrize("alone", [True, False])
def test_dead_server_is_tried_again_only_where_there_is_no_other(network: Network, alone: bool) -> None:
    network.sites[0].every = hang_up
    addresses = network.addresses[:1] if alone else network.addresses
    servers = network.servers(network.settings(((DIRECT,),), retries=1), addresses)
    with pytest.raises(NetworkError, match="closed the connection"):
        servers.in_order[0].read("name")
    assert len(network.sites[0].requests) == (2 if alone else 1)


def test_external_files_have_proxies_of_their_own(network: Network) -> None:
    network.published.files["far away"] = b"external"
    place = ExternalPlace(b"/far away", 0)
    piece = Piece(0, 8, ObjectName(Digest.of(b"external"), ObjectKind.FILE), Compression.NONE, place)
    internal = network.servers(network.settings(((network.proxy_addresses[0],),)))
    external = network.servers(network.settings(((network.proxy_addresses[1],),)), network.addresses[1:])
    contents = Contents(internal, [Cache.create(network.cache, tell=print)], external=external)
    contents.ensure([*network.pieces, piece])
    assert contents.local_file(piece).read_bytes() == b"external"
    contents.close()
    assert len(network.proxies[0].requests) == len(DATA)
    assert len(network.proxies[1].requests) == 1


def test_stores_of_other_kinds_stand_among_web_servers(network: Network) -> None:
    memory = MemoryStore()
    memory.objects.update({network.pieces[0].object.path: network.published.files[network.pieces[0].object.path]})
    servers = Servers([memory, HttpStore(network.addresses[0])], network.settings(), tell=network.told.append)
    network.fetch(servers)
    assert len(network.sites[0].requests) == len(DATA) - 1
    assert len(network.proxies[0].requests) == len(DATA) - 1
