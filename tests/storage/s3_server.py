"""A real S3 server for the tests: a process of its own on loopback that keeps objects on disk and checks signatures."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

BUCKET = "outcrop-tests"
ACCESS_KEY = "tester"
SECRET_KEY = "a secret of the tests"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

_START_SECONDS = 30
_STOP_SECONDS = 10


@dataclass
class S3Server:
    """Serves the buckets in `directory`, in which an object is a file called like its key."""

    directory: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def address(self, prefix: str = "", bucket: str = BUCKET) -> str:
        """What the place is called for publishing."""
        return f"s3://{bucket}{'/' if prefix else ''}{prefix}?endpoint={self.endpoint}"

    def start(self) -> S3Server:
        """Serves, on the same port as before if there was one."""
        (self.directory / BUCKET).mkdir(parents=True, exist_ok=True)
        # The server inherits a socket that listens already: no port is lost between choosing and using it.
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", self.port))
            listening.listen(128)
            self.port = listening.getsockname()[1]
            command = [sys.executable, "-m", "uvicorn", "--factory", "nanio.app:build_app", "--no-access-log"]
            self._process = subprocess.Popen(
                [*command, "--fd", str(listening.fileno()), "--log-level", "critical"],
                env={
                    **os.environ,
                    "NANIO_DATA_DIR": str(self.directory),
                    "NANIO_ACCESS_KEY": ACCESS_KEY,
                    "NANIO_SECRET_KEY": SECRET_KEY,
                },
                pass_fds=[listening.fileno()],
                stdout=subprocess.DEVNULL,
            )
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """Ends at once, whatever is under way."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.endpoint, timeout=_START_SECONDS).close()
            except urllib.error.HTTPError as error:
                error.close()
                return  # it wants a signature
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError("the S3 server for the tests does not start")
