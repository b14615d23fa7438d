from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from outcrop.errors import IntegrityError, Interrupted, NetworkError, StorageError
from outcrop.software.sources.download import ABANDONED_AFTER_SECONDS, Downloads, remove_abandoned
from tests.software.sources.pretended import digest_of

BODY = b"0123456789" * 1000


class Answers(BaseHTTPRequestHandler):
    """`/file` is whole, `/cut` breaks off half-way, everything else is not there."""

    def do_GET(self) -> None:
        if self.path not in ("/file", "/cut"):
            self.send_error(404)
            return
        if self.headers.get("If-None-Match") == '"tag"':
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("ETag", '"tag"')
        self.end_headers()
        self.wfile.write(BODY if self.path == "/file" else BODY[:5000])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path / ".partial")


def store(downloads: Downloads, url: str, destination: Path, digest: str = digest_of(BODY)) -> int:
    received: list[int] = []
    downloads.store(url, destination, (digest,), received.append)
    return sum(received)


def test_a_verified_file_gets_its_name(server: str, downloads: Downloads, tmp_path: Path) -> None:
    assert store(downloads, f"{server}/file", tmp_path / "x" / "file") == len(BODY)
    assert (tmp_path / "x" / "file").read_bytes() == BODY
    assert list(downloads.partial.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "digest", "error"),
    [
        ("/file", "0" * 64, IntegrityError),
        ("/cut", digest_of(BODY), NetworkError),
        ("/cut", digest_of(BODY[:5000]), NetworkError),
        ("/missing", digest_of(BODY), NetworkError),
    ],
)
def test_anything_else_leaves_nothing(
    server: str, downloads: Downloads, tmp_path: Path, path: str, digest: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        store(downloads, server + path, tmp_path / "file", digest)
    assert not (tmp_path / "file").exists()
    assert list(downloads.partial.iterdir()) == []


def test_a_dead_host_is_tried_once(downloads: Downloads, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(NetworkError, match="cannot be fetched"):
            store(downloads, url, tmp_path / "file")
        with pytest.raises(NetworkError, match="is not tried again"):
            store(downloads, url, tmp_path / "file")


def test_a_host_that_lacks_one_file_is_tried_for_the_next(server: str, downloads: Downloads, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="404"):
        store(downloads, f"{server}/missing", tmp_path / "file")
    store(downloads, f"{server}/file", tmp_path / "file")


def test_an_unchanged_answer_is_not_read_again(server: str, downloads: Downloads) -> None:
    first = downloads.read_changed(f"{server}/file", "")
    assert first is not None
    assert (first.body, first.etag) == (BODY, '"tag"')
    assert downloads.read_changed(f"{server}/file", first.etag) is None


def test_a_cancelled_download_stops(server: str, downloads: Downloads, tmp_path: Path) -> None:
    downloads.cancelled.set()
    with pytest.raises(Interrupted):
        store(downloads, f"{server}/file", tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.fault
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_as_one(server: str, tmp_path: Path) -> None:
    partial = tmp_path / ".partial"
    partial.mkdir()
    # The unfinished file's name is known, so a link can lead it to a device on which every write fails.
    (partial / f"{os.getpid()}-{threading.get_ident()}-1").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="the disk is full"):
        store(Downloads(partial), f"{server}/file", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_only_what_is_long_abandoned_is_removed(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "old", (1.0, 1.0))
    os.utime(tmp_path / "new", (2.0 + ABANDONED_AFTER_SECONDS,) * 2)
    remove_abandoned(tmp_path, now=2.0 + ABANDONED_AFTER_SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    remove_abandoned(tmp_path / "nothing")
