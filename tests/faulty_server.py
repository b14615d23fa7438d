"""A web server on loopback that lies, stalls and breaks off on request. Knows nothing of repositories."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

HTML = b"<html><body>The page that you want is not here, but look at this one</body></html>"

Behaviour = Callable[["Request"], None]
"""What the server does instead of answering well."""


class Request(BaseHTTPRequestHandler):
    """One request, for behaviours to answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self.server.site.answer(self)

    def do_HEAD(self) -> None:
        self.server.site.answer(self)

    @property
    def name(self) -> str:
        return unquote_to_bytes(self.path.lstrip("/")).decode("utf-8", "surrogateescape")

    def answer(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """The tests look at `requests` instead."""


@dataclass
class Site:
    """What a server serves: `files` by name, and `faults` that come before them."""

    files: MutableMapping[str, bytes] = field(default_factory=dict)
    faults: dict[str, Behaviour] = field(default_factory=dict)
    every: Behaviour | None = None
    requests: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    connections: set[tuple[str, int]] = field(default_factory=set)
    delay: float = 0.0
    busy: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> None:
        with self.lock:
            self.requests.append(request.name)
            self.agents.add(request.headers.get("User-Agent", ""))
            self.connections.add(request.client_address)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            time.sleep(self.delay)
            self._answer(request)
        except (BrokenPipeError, ConnectionResetError):
            # The client had enough.
            request.close_connection = True
        finally:
            with self.lock:
                self.busy -= 1

    def _answer(self, request: Request) -> None:
        behaviour = self.faults.get(request.name) or self.every
        if behaviour is not None:
            behaviour(request)
        elif request.name in self.files:
            request.answer(self.files[request.name])
        else:
            request.answer(HTML, 404)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        super().__init__(("127.0.0.1", port), Request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what many tests want."""


@contextmanager
def serving(site: Site, port: int = 0) -> Iterator[str]:
    """The URL under which `site` is served within the block, at `port` or any free one."""
    server = Server(site, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def html_page(request: Request) -> None:
    """A friendly page with status 200, as captive portals send."""
    request.answer(HTML)


def wrong_bytes(data: bytes) -> Behaviour:
    """Other bytes under the name."""
    return lambda request: request.answer(data)


def status(number: int) -> Behaviour:
    """An error."""
    return lambda request: request.answer(HTML, number)


def truncated(data: bytes) -> Behaviour:
    """Half of the bytes that the head promises."""

    def answer(request: Request) -> None:
        request.answer(data[: len(data) // 2], length=len(data))
        request.close_connection = True

    return answer


def shortened(data: bytes) -> Behaviour:
    """Half of the bytes, with a head that fits them."""
    return lambda request: request.answer(data[: len(data) // 2])


def endless(request: Request) -> None:
    """Bytes without end."""
    request.send_response(200)
    request.end_headers()
    request.close_connection = True
    while True:
        request.wfile.write(b"\0" * 65536)


def drip(request: Request) -> None:
    """A byte now and then."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    request.close_connection = True
    while True:
        request.wfile.write(b"x")
        time.sleep(0.1)


def silence(request: Request) -> None:
    """Takes the question and never answers."""
    request.close_connection = True
    time.sleep(5)


def hang_up(request: Request) -> None:
    """Closes the connection without a word."""
    request.close_connection = True


def redirect(target: str, number: int = 302) -> Behaviour:
    """Sends the client elsewhere."""
    return lambda request: request.answer(b"", number, Location=target)


def once(behaviour: Behaviour, files: Mapping[str, bytes]) -> Behaviour:
    """Misbehaves the first time, and answers well after that."""
    done = threading.Event()

    def answer(request: Request) -> None:
        if done.is_set():
            request.answer(files[request.name])
        else:
            done.set()
            behaviour(request)

    return answer
