"""Objects from a real nginx by way of a real Squid, which goes away, comes back, and keeps what is damaged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outcrop.client.cache import Cache
from outcrop.client.contents import Contents, Piece
from outcrop.client.network.proxies import DIRECT
from outcrop.client.network.servers import Servers
from outcrop.client.network.settings import NetworkSettings
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.storage.http import HttpStore
from tests.client.network.clock import Clock
from tests.client.network.real_servers import RealServer, nginx, requests, squid
from tests.client.published import NAME, Published

pytestmark = pytest.mark.integration

DATA = [b"%d" % number * 500 for number in range(40)]


@dataclass
class Site:
    """Two replicas, a proxy, and clients with empty caches."""

    directory: Path
    replicas: list[RealServer]
    proxy: RealServer
    pieces: list[Piece]
    clock: Clock = field(default_factory=Clock)
    told: list[str] = field(default_factory=list)
    clients: int = 0

    def path(self, replica: int, piece: Piece) -> Path:
        return self.directory / f"www{replica}" / "cvmfs" / NAME / piece.object.path

    def requests(self, replica: int) -> int:
        return requests(self.directory / f"nginx{replica}")

    def servers(self, *groups: tuple[str, ...]) -> Servers:
        """The replicas as a client of this site reaches them."""
        return Servers(
            [HttpStore(f"{replica.url}/cvmfs/{NAME}") for replica in self.replicas],
            NetworkSettings(proxies=groups or ((self.proxy.url,), (DIRECT,)), timeout=3, timeout_direct=3),
            tell=self.told.append,
            clock=self.clock,
            sleep=self.clock.sleep,
            rng=random.Random(1),
        )

    def fetch(self, servers: Servers) -> None:
        """Fetches everything into a new cache, and compares what came."""
        self.clients += 1
        cache = Cache.create(self.directory / f"cache{self.clients}", tell=self.told.append)
        contents = Contents(servers, [cache], tell=self.told.append)
        contents.ensure(self.pieces)
        assert [contents.local_file(piece).read_bytes() for piece in self.pieces] == DATA
        contents.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    published = Published()
    pieces = [Piece(0, len(one), ObjectName(published.add(one), ObjectKind.FILE), Compression.ZLIB) for one in DATA]
    started: list[RealServer] = []
    try:
        for number in range(2):
            root = tmp_path / f"www{number}"
            published.write(root / "cvmfs" / NAME)
            started.append(nginx(tmp_path / f"nginx{number}", root))
        started.append(squid(tmp_path / "squid"))
        yield Site(tmp_path, started[:2], started[2], pieces)
    finally:
        for server in started:
            server.stop()


def test_second_client_is_served_from_the_proxy(site: Site) -> None:
    site.fetch(site.servers())
    assert site.requests(0) == len(DATA)
    site.fetch(site.servers())
    assert site.requests(0) == len(DATA)
    assert not site.told


def test_damaged_copy_in_the_proxy_is_replaced(site: Site) -> None:
    path = site.path(0, site.pieces[7])
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"!")
    site.servers().in_order[0].read(site.pieces[7].object.path)
    path.write_bytes(good)
    site.fetch(site.servers())
    assert not site.requests(1)
    seen = site.requests(0)
    # Nobody finds the damaged copy again.
    site.fetch(site.servers())
    assert site.requests(0) == seen


def test_object_that_a_replica_damaged_comes_from_the_other(site: Site) -> None:
    site.path(0, site.pieces[7]).write_bytes(b"rotten")
    site.fetch(site.servers())
    assert site.requests(1)
    assert "is asked first from now on" in site.told[0]


def test_proxy_that_goes_away_is_done_without_and_used_again_when_it_is_back(site: Site) -> None:
    servers = site.servers()
    site.fetch(servers)
    site.proxy.stop()
    site.fetch(servers)
    assert "no proxy is used from now on" in site.told[0]
    assert site.requests(0) == 2 * len(DATA)
    site.proxy.start()
    site.fetch(servers)
    assert site.requests(0) == 3 * len(DATA)
    site.clock.ahead += 300
    # It has forgotten everything meanwhile, and learns it again.
    site.fetch(servers)
    site.fetch(servers)
    assert site.requests(0) == 4 * len(DATA)
    assert not site.requests(1)


@pytest.mark.parametrize("groups", ["proxy alone", "proxy, then direct"])
def test_replica_behind_the_proxy_that_is_down_gives_way_to_the_other_and_comes_back(site: Site, groups: str) -> None:
    servers = site.servers((site.proxy.url,)) if groups == "proxy alone" else site.servers()
    site.replicas[0].stop()
    site.fetch(servers)
    assert site.requests(1) == len(DATA)
    site.replicas[0].start()
    site.clock.ahead += 1800
    assert servers.first.address.startswith(site.replicas[0].url)
    site.fetch(servers)
    assert site.requests(0) == len(DATA)


def test_proxy_that_denies_access_gives_way_to_the_next_group(site: Site) -> None:
    strict = squid(site.directory / "strict", "http_access deny all")
    try:
        site.fetch(site.servers((strict.url,), (DIRECT,)))
    finally:
        strict.stop()
    assert site.requests(0) == len(DATA)
    assert not site.requests(1)


def test_name_that_the_proxy_cannot_resolve_gives_way_to_the_next_server(site: Site) -> None:
    servers = Servers(
        [HttpStore(f"http://{'x' * 64}.test/cvmfs/{NAME}"), HttpStore(f"{site.replicas[1].url}/cvmfs/{NAME}")],
        NetworkSettings(proxies=((site.proxy.url,),), timeout=10, timeout_direct=3),
        tell=site.told.append,
    )
    site.fetch(servers)
    assert site.requests(1) == len(DATA)
