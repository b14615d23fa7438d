"""Serves repositories as static files over HTTP on this machine, for trying things out. Real life has nginx.

`/FQRN/…` and `/cvmfs/FQRN/…` are the repository's files, `/cvmfs/info/v1/` says which there are. Only names that the
format knows are served, so that nothing else of the disk can be reached.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from outcrop import __version__
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import StorageError
from outcrop.storage.freshness import CHANGING_MAX_AGE_SECONDS, UNCHANGING_MAX_AGE_SECONDS

IDLE_SECONDS = 60
"""How long a connection without requests is kept."""

_SERVED = re.compile(
    r"(?:/cvmfs)?/(?P<repository>[A-Za-z0-9._-]+)/"
    r"(?P<name>\.cvmfs(?:published|whitelist|reflog|_master_replica|_status\.json|_last_snapshot|_outcrop_freshness)"
    r"|data/[0-9a-f]{2}/[0-9a-f]{38}(?:-rmd160|-shake128)?[PCHXML]?)"
)
_REPOSITORY_LIST = "/cvmfs/info/v1/repositories.json"

_PORT_ERRORS = frozenset({errno.EADDRINUSE, errno.EACCES})
"""The errors that another port mends: this one is taken, or belongs to the system's administrator."""


class RepositoryServer(ThreadingHTTPServer):
    """Serves the directories in `repositories`. `port` 0 takes one that is free; `server_port` says which."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, repositories: Mapping[RepositoryName, Path], host: str = "127.0.0.1", port: int = 0) -> None:
        self.repositories = dict(repositories)
        try:
            self.address_family = _family_of(host)
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise StorageError(
                what=f"the address {_in_url(host)}:{port}",
                problem=f"cannot be listened on ({error.strerror})",
                hint="choose another with `--port` (0 takes any that is free)"
                if error.errno in _PORT_ERRORS
                else "choose an address of this machine with `--bind`, such as 127.0.0.1 or ::1",
            ) from error

    @property
    def url(self) -> str:
        """The address under which repositories are `<url>/FQRN`."""
        return f"http://{_in_url(str(self.server_address[0]))}:{self.server_port}"


def _family_of(host: str) -> socket.AddressFamily:
    """The family of addresses that `host` has, IPv4 where it has both; OSError where it is no address."""
    found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    families = {family for family, *_ in found}
    return socket.AF_INET if socket.AF_INET in families else socket.AF_INET6


def _in_url(host: str) -> str:
    """`host` as it stands before a colon and a port: IPv6 addresses are in brackets."""
    return f"[{host}]" if ":" in host else host


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"outcrop/{__version__}"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        if path == _REPOSITORY_LIST:
            self._send_bytes(self._repository_list(), with_body)
            return
        match = _SERVED.fullmatch(path)
        directory = self._server.repositories.get(RepositoryName(match["repository"])) if match else None
        if match is None or directory is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            with open(directory / match["name"], "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._send_head(size, changing=not match["name"].startswith("data/"))
                if with_body:
                    self.wfile.flush()
                    self._send_file(file, size)
        except FileNotFoundError:
            self.send_error(HTTPStatus.NOT_FOUND)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    @property
    def _server(self) -> RepositoryServer:
        assert isinstance(self.server, RepositoryServer)
        return self.server

    def _repository_list(self) -> bytes:
        rows = [{"name": name, "url": f"/cvmfs/{name}"} for name in sorted(self._server.repositories)]
        return json.dumps({"schema": 1, "repositories": rows, "replicas": []}).encode()

    def _send_bytes(self, data: bytes, with_body: bool) -> None:
        self._send_head(len(data), changing=True)
        if with_body:
            self.wfile.write(data)

    def _send_head(self, size: int, *, changing: bool) -> None:
        max_age = CHANGING_MAX_AGE_SECONDS if changing else UNCHANGING_MAX_AGE_SECONDS
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-cvmfs" if changing else "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.send_header("Cache-Control", f"max-age={max_age}")
        self.end_headers()

    def _send_file(self, source: BinaryIO, size: int) -> None:
        # The socket's own sendfile waits, no longer than `timeout`, for a reader that is slower than the disk.
        if size and self.connection.sendfile(source, 0, size) < size:
            # The file became shorter; a broken connection tells the reader more than padding would.
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged: this is no server for production."""
