"""The server for trying things out: what it serves, what it does not, and readers that are slow."""

from __future__ import annotations

import http.client
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
    with pytest.raises(StorageError, match="cannot be listened on"):
        RepositoryServer({}, port=server.server_port)
