"""Servers on loopback to measure with, each within a block."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.repositories import NAME
from outcrop.stratum0.serve import RepositoryServer

_START_SECONDS = 10
_CONFIGURATION = """
daemon off; worker_processes {workers}; pid {place}/nginx.pid; error_log {place}/nginx.log; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def nginx_program() -> str | None:
    """The nginx of this machine, which most systems keep from users' search paths."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def nginx(place: Path, root: Path, *, port: int = 0, workers: int = 1) -> Iterator[int]:
    """The port at which an nginx serves the files below `root`: `port`, or one that is free. Its own files go to
    `place`."""
    program = nginx_program()
    assert program is not None, "nginx is not installed"
    port = port or free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = place / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(place=place, root=root, port=port, workers=workers, user=user))
    with subprocess.Popen([program, "-c", configuration, "-e", place / "nginx.log"]) as server:
        try:
            wait_for(port)
            yield port
        finally:
            server.terminate()


@contextmanager
def own_server(storage: Path) -> Iterator[str]:
    """The address of the repository that lies in `storage`, at a server of ours that is a process of its own."""
    context = multiprocessing.get_context("fork")
    addresses = context.SimpleQueue()
    server = context.Process(target=_serve, args=(storage, addresses), daemon=True)
    server.start()
    try:
        yield str(addresses.get())
    finally:
        server.terminate()
        server.join()


def _serve(storage: Path, addresses: multiprocessing.SimpleQueue[str]) -> None:
    with RepositoryServer({NAME: storage / NAME}) as server:
        addresses.put(f"{server.url}/{NAME}")
        server.serve_forever()


def free_port() -> int:
    """A port of loopback at which nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for(port: int) -> None:
    """Returns when somebody listens at `port`; OSError if nobody does in time."""
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
