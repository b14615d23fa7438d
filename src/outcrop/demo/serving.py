"""The demonstration's web server: a process of its own that never outlives the one that started it.

`python -m outcrop.demo.serving DATA-DIRECTORY FQRN PORT PARENT` is that process. It prints the repository's address and
serves until it is told to end, or its parent is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outcrop.children import end_with_parent
from outcrop.cvmfs.names import RepositoryName
from outcrop.demo.workshop import Workshop
from outcrop.errors import CommandFailed, OutcropError
from outcrop.stratum0.serve import RepositoryServer
from outcrop.stratum0.settings import load_settings

_STOP_SECONDS = 5


@contextmanager
def served(workshop: Workshop, repository: RepositoryName, port: int) -> Iterator[str]:
    """The address of the repository, served on loopback while the block runs; CommandFailed if it cannot be."""
    arguments = [str(workshop.data), repository, str(port), str(os.getpid())]
    process = subprocess.Popen(
        [sys.executable, "-m", "outcrop.demo.serving", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            address = process.stdout.readline().strip()
            if not address:
                complaint = process.stderr.read().strip()
                hint = "choose another port with `--port`; 0 takes any that is free"
                raise CommandFailed(what="serving the repository", problem=complaint, hint=hint)
            yield address
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _main(data: str, repository: str, port: str, parent: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(int(parent), signal.SIGTERM)
    name = RepositoryName(repository)
    try:
        storage = Path(load_settings(Path(data), name).storage)
        with RepositoryServer({name: storage}, port=int(port)) as server:
            sys.stdout.write(f"{server.url}/cvmfs/{name}\n")
            sys.stdout.flush()
            server.serve_forever()
    except OutcropError as error:
        sys.stderr.write(error.message)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
