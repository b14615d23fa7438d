"""The server for trying things out: what it serves, what it does not, and readers that are slow."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.errors import StorageError
from outcrop.stratum0.serve import RepositoryServer

NAME = repository_name("test.example.org")
LARGE_BYTES = 20_000_000
OBJECT = "data/ab/" + "c" * 38


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RepositoryServer]:
    repository = tmp_path / "with space" / NAME
    (repository / "data" / "ab").mkdir(parents=True)
    (repository / OBJECT).write_bytes(bytes(LARGE_BYTES))
    (repository / ".cvmfspublished").write_bytes(b"manifest")
    (repository / "secret").write_text("not a file of the format")
    with RepositoryServer({NAME: repository}) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def connect(server: RepositoryServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)


def ask(server: RepositoryServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = connect(server)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.mark.parametrize("prefix", ["", "/cvmfs"])
def test_a_repository_is_served_with_and_without_the_usual_prefix(server: RepositoryServer, prefix: str) -> None:
    assert ask(server, f"{prefix}/{NAME}/.cvmfspublished") == (200, b"manifest")
    assert ask(server, f"{prefix}/{NAME}/.cvmfspublished", "HEAD") == (200, b"")


@pytest.mark.parametrize(
    "path", ["secret", "../secret", "data/../secret", "%2e%2e/secret", "data/ab/short", "data", ".cvmfswhitelist"]
)
def test_nothing_else_of_the_disk_is_served(server: RepositoryServer, path: str) -> None:
    assert ask(server, f"/{NAME}/{path}")[0] == 404


def test_a_large_object_reaches_a_slow_reader_whole(server: RepositoryServer) -> None:
    connection = connect(server)
    connection.request("GET", f"/{NAME}/{OBJECT}")
    response = connection.getresponse()
    first = response.read(1000)
    time.sleep(0.3)
    assert len(first) + len(response.read()) == LARGE_BYTES
    connection.close()


def test_a_port_in_use_is_said(server: RepositoryServer) -> None:
    with pytest.raises(StorageError, match="cannot be listened on") as caught:
        RepositoryServer({}, port=server.server_port)
    assert "--port" in caught.value.hint


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no address"])
def test_an_address_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(StorageError, match="cannot be listened on") as caught:
        RepositoryServer({}, host)
    assert "--bind" in caught.value.hint


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_served_and_its_url_has_brackets() -> None:
    with RepositoryServer({}, "::1") as running:
        assert running.url == f"http://[::1]:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        connection = http.client.HTTPConnection("::1", running.server_port, timeout=20)
        connection.request("GET", "/cvmfs/info/v1/repositories.json")
        assert connection.getresponse().status == 200
        connection.close()
        running.shutdown()
        thread.join()
