"""What has come over the network, and by which way, is told as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.client.cache import Cache
from outcrop.client.contents import Contents, Piece
from outcrop.client.network.proxies import DIRECT, ENVIRONMENT, plain_proxy
from outcrop.client.network.servers import Servers
from outcrop.client.network.settings import NetworkSettings
from outcrop.client.network.traffic import Amount, Traffic
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import IntegrityError
from outcrop.storage.http import HttpStore
from tests.client.network.clock import Clock
from tests.client.published import Published
from tests.faulty_proxy import ProxySite, refusal
from tests.faulty_server import Site, serving, wrong_bytes


def test_seconds_in_which_several_fetch_count_once() -> None:
    now = 0.0
    traffic = Traffic(lambda: now)
    with traffic.under_way():
        now = 1.0
        with traffic.under_way():
            now = 3.0
        assert traffic.amount.seconds == 3.0
        now = 4.0
    now = 100.0
    traffic.came(10, 1)
    traffic.came(5)
    assert traffic.amount == Amount(15, 1, 4.0)


def test_every_byte_counts_and_right_objects_do(tmp_path: Path) -> None:
    published = Published()
    good = published.add(b"good" * 1000)
    bad = published.add(b"other")
    site = Site(dict(published.files))
    path = ObjectName(bad, ObjectKind.FILE).path
    site.faults[path] = wrong_bytes(b"x" * 100)
    with serving(site) as url:
        servers = Servers([HttpStore(url)], NetworkSettings(retries=0))
        contents = Contents(servers, [Cache.create(tmp_path / "cache", tell=lambda _text: None)])
        contents.ensure([Piece(0, 4000, ObjectName(good, ObjectKind.FILE), Compression.ZLIB)])
        stored = len(published.files[ObjectName(good, ObjectKind.FILE).path])
        received = servers.state.received
        assert (received.bytes, received.objects) == (stored, 1)
        assert received.seconds > 0
        with pytest.raises(IntegrityError):
            contents.ensure([Piece(0, 5, ObjectName(bad, ObjectKind.FILE), Compression.ZLIB)])
        received = servers.state.received
        assert (received.bytes, received.objects) == (stored + 200, 1), "it is asked for once more past all caches"
        servers.alone(0).read(path)
        assert servers.state.received.bytes == stored + 300
        contents.close()


def test_state_names_the_proxy_that_took_over() -> None:
    clock = Clock()
    published = Published()
    published.files["hello"] = b"hello"
    sites = (Site(published.files), ProxySite(every=refusal(403)), ProxySite())
    with serving(sites[0]) as url, serving(sites[1]) as bad, serving(sites[2]) as good:
        settings = NetworkSettings(proxies=((bad,), (good,), (DIRECT,)), timeout=3.0, timeout_direct=4.0, retries=0)
        servers = Servers([HttpStore(url)], settings, clock=clock, sleep=clock.sleep)
        assert servers.state.proxy == bad
        assert servers.alone(0).read("hello") == b"hello"
        state = servers.state
        assert (state.servers, state.proxy, state.proxies) == ((url,), good, (bad, good, DIRECT))
        assert (state.timeout, state.timeout_direct) == (3.0, 4.0)
        servers.close()


def test_proxies_are_named_without_their_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert plain_proxy(DIRECT, "http://server.example.org") == DIRECT
    assert plain_proxy("http://me:secret@proxy:3128", "http://server.example.org") == "http://proxy:3128"
    assert plain_proxy(ENVIRONMENT, "http://server.example.org") == DIRECT
    monkeypatch.setenv("http_proxy", "me:secret@proxy:3128")
    monkeypatch.setenv("no_proxy", "near.example.org")
    assert plain_proxy(ENVIRONMENT, "http://server.example.org/cvmfs/x") == "http://proxy:3128"
    assert plain_proxy(ENVIRONMENT, "http://near.example.org/cvmfs/x") == DIRECT
    assert plain_proxy(ENVIRONMENT, "/srv/directory") == DIRECT


def test_nothing_to_ask_is_no_trouble() -> None:
    assert Servers([]).state.servers == ()
