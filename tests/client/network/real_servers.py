"""nginx and Squid as Debian ships them, on loopback, with all of their files in a directory of the test's."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_START_SECONDS = 20


def program(name: str) -> str:
    """The program `name`; skips the test where it is not installed."""
    found = shutil.which(name, path=_PLACES)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@dataclass
class RealServer:
    """A program that listens at `port` while it runs. It may be stopped and started again."""

    command: list[str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> RealServer:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"{self.command[0]} does not start: {self.log.read_text('utf-8', 'replace')}")
                time.sleep(0.02)
            else:
                return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def nginx(directory: Path, root: Path) -> RealServer:
    """An nginx that serves `root` and writes a line for each request into `directory/access.log`."""
    directory.mkdir()
    port = _free_port()
    configuration = directory / "nginx.conf"
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration.write_text(
        f"""
        daemon off; pid {directory}/pid; {"user root;" if os.geteuid() == 0 else ""}
        events {{}}
        http {{
            {temporary}
            access_log {directory}/access.log;
            server {{ listen 127.0.0.1:{port}; root {root}; location /cvmfs/ {{ expires 3d; }} }}
        }}
        """,
        "utf-8",
    )
    log = directory / "error.log"
    return RealServer([program("nginx"), "-c", str(configuration), "-e", str(log)], port, log).start()


def squid(directory: Path, *rules: str) -> RealServer:
    """A Squid that keeps what it fetches in memory; `rules` come before the one that allows everything."""
    directory.mkdir()
    port = _free_port()
    configuration = directory / "squid.conf"
    configuration.write_text(
        "\n".join(
            (
                f"http_port 127.0.0.1:{port}",
                *rules,
                "http_access allow all",
                "cache_mem 16 MB",
                "maximum_object_size_in_memory 1 MB",
                "memory_cache_mode always",
                "access_log none",
                "cache_log /dev/null",
                "pid_filename none",
                "netdb_filename none",
                "pinger_enable off",
                "shutdown_lifetime 0 seconds",
                "connect_timeout 2 seconds",
                "max_filedescriptors 1024",
                f"visible_hostname squid-{port}.test",
                "",
            )
        ),
        "utf-8",
    )
    return RealServer([program("squid"), "-N", "-f", str(configuration)], port, directory / "log").start()


def requests(directory: Path) -> int:
    """How many requests the nginx in `directory` has answered."""
    return len((directory / "access.log").read_text("utf-8").splitlines())


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
