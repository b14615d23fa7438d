"""Stands before the S3 server of the tests: counts what is asked, and answers badly on request."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.storage.s3_server import BUCKET, S3Server

Fault = Callable[["Asked"], None]
"""Answers a request in the place of the server."""


class Asked(BaseHTTPRequestHandler):
    """One request: forwarded as it is, so that its signature still fits."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        relay = self.server.relay
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = relay.next_fault(self.command)
        if fault is None:
            self.forward(body)
        else:
            fault(self)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def forward(self, body: bytes, *, cut_to: int | None = None) -> None:
        """Gives the server's answer; with `cut_to`, ends the connection after so many bytes of it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.relay.behind.port)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:cut_to])
        self.close_connection = cut_to is not None

    def refuse(self, status: int, code: str) -> None:
        """Answers with an error as S3 does."""
        self.give(f"<Error><Code>{code}</Code><Message>by the relay</Message></Error>".encode(), status)

    def give(self, content: bytes, status: int = 200) -> None:
        """Answers with `content`."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """The tests look at `asked` instead."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        super().__init__(("127.0.0.1", 0), Asked)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what some tests want."""


@dataclass
class Relay:
    """What was `asked` (methods, with their numbers), and the `faults` to come: each for the next so many requests."""

    behind: S3Server
    endpoint: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    _fault: Fault | None = None
    _methods: frozenset[str] = frozenset()
    _times: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def address(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}?endpoint={self.endpoint}"

    def fail(self, fault: Fault, *methods: str, times: int = 1) -> None:
        """`fault` answers the next requests with one of `methods` (any, by default)."""
        with self._lock:
            self._fault, self._methods, self._times = fault, frozenset(methods), times

    def next_fault(self, method: str) -> Fault | None:
        with self._lock:
            self.asked[method] += 1
            if not self._times or (self._methods and method not in self._methods):
                return None
            self._times -= 1
            return self._fault


@contextmanager
def relaying(behind: S3Server) -> Iterator[Relay]:
    """A relay before the server `behind`, within the block."""
    relay = Relay(behind)
    server = _Server(relay)
    relay.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer_with(status: int, code: str) -> Fault:
    """An error of S3's."""
    return lambda asked: asked.refuse(status, code)


def cut_after(count: int) -> Fault:
    """The server's answer to a request without a body, broken off after `count` bytes."""
    return lambda asked: asked.forward(b"", cut_to=count)


def hang_up(asked: Asked) -> None:
    """Closes the connection without a word."""
    asked.close_connection = True
