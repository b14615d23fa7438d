"""A mount that stays open while its servers change. Serves one test as a program of its own:

    python -m tests.client.attacks.open_mount ORDER

where ORDER is a JSON file that `Order.save` wrote. It mounts, opens the file `HELD` and keeps it open, as a program
does that goes on reading. Then it answers requests, a JSON document a line, until there are no more:

    {"do": "read", "names": [...]}   files as base64, failures by errno; without names, of all that can be walked
    {"do": "held"}                   what the program finds in the file that it holds open
    {"do": "look"}                   has the mount look for a new revision; its report afterwards
    {"do": "report"}                 what the mount reports of itself
    {"do": "now", "now": MOMENT}     moves this machine's clock
    {"do": "forbid", "text": LINES}  writes the site's blacklist
"""

from __future__ import annotations

import base64
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from outcrop.client.address import RepositoryAddress
from outcrop.client.mount.processes import RunningMount, mounted
from outcrop.client.mount.report import REPORT_ATTRIBUTE, Report, parse_report
from outcrop.client.mount.repository_tree import open_mounted_tree
from outcrop.client.network.settings import NetworkSettings
from outcrop.client.repository import ClientSettings
from outcrop.cvmfs.names import repository_name
from tests.client.attacks.reading_once import Order

HELD = "edition"
TIMEOUT_SECONDS = 2.0
"""So that what is slow is given up soon: for connecting, and for a stall."""
_LOOK_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass
class Program:
    """A program that reads from the mount at `running`, and holds `held` open."""

    running: RunningMount
    clock: Path
    blacklist: Path
    held: int

    def answer(self, request: Mapping[str, Any]) -> object:
        match request["do"]:
            case "read":
                return self._read(request["names"])
            case "held":
                os.posix_fadvise(self.held, 0, 0, os.POSIX_FADV_DONTNEED)
                return base64.b64encode(os.pread(self.held, 1_000_000, 0)).decode()
            case "look":
                return msgspec.to_builtins(self._look())
            case "report":
                return msgspec.to_builtins(self._report())
            case "now":
                self.clock.write_text(request["now"])
                return None
            case "forbid":
                self.blacklist.write_text(request["text"])
                return None
        raise ValueError(request)

    def _read(self, names: Sequence[str]) -> object:
        files: dict[str, str] = {}
        failures: dict[str, str] = {}

        def fail(name: str, error: OSError) -> None:
            failures[name] = errno.errorcode.get(error.errno or 0, "?")

        for name in names or self._all_names(fail):
            try:
                files[name] = base64.b64encode((self.running.mountpoint / name).read_bytes()).decode()
            except OSError as error:
                fail(name, error)
        return {"files": files, "failures": failures}

    def _all_names(self, fail: Callable[[str, OSError], None]) -> Iterator[str]:
        """The names of all files; `fail` hears of directories that cannot be listed."""
        top = self.running.mountpoint
        for parent, _, names in os.walk(top, onerror=lambda error: fail(os.path.relpath(error.filename, top), error)):
            yield from (os.path.relpath(os.path.join(parent, name), top) for name in names)

    def _report(self) -> Report:
        return parse_report(os.getxattr(self.running.mountpoint, REPORT_ATTRIBUTE), "the mount")

    def _look(self) -> Report:
        before = self._report().check
        os.kill(self.running.server, signal.SIGUSR2)
        end = time.monotonic() + _LOOK_SECONDS
        while time.monotonic() < end:
            if self._report().check != before:
                # Asked once more: an answer that is under way when a revision comes may have something of both.
                return self._report()
            time.sleep(_POLL_SECONDS)
        raise TimeoutError("the mount does not end its look for a new revision")


def serve(order: Order) -> None:
    """Mounts what `order` says and answers requests from standard input until it ends."""
    directory = Path(order.directory)
    clock = directory / "now"
    clock.write_text(order.now)
    blacklist = directory / "blacklist"
    blacklist.touch()
    settings = ClientSettings(
        cache_directory=directory / "cache",
        state_directory=directory / "state",
        now=lambda: datetime.fromisoformat(clock.read_text()),
    )
    network = NetworkSettings(timeout=TIMEOUT_SECONDS, timeout_direct=TIMEOUT_SECONDS, retries=0)
    address = RepositoryAddress(
        repository_name(order.name), order.servers, (Path(order.key),), network=network, blacklists=(blacklist,)
    )
    mountpoint = directory / "mount"
    mountpoint.mkdir()
    opening = partial(open_mounted_tree, address, settings)
    with mounted(opening, mountpoint, source=order.name, log=directory / "log") as running:
        program = Program(running, clock, blacklist, os.open(mountpoint / HELD, os.O_RDONLY))
        try:
            for line in sys.stdin:
                sys.stdout.write(json.dumps(program.answer(json.loads(line))) + "\n")
                sys.stdout.flush()
        finally:
            os.close(program.held)


if __name__ == "__main__":
    serve(Order.load(Path(sys.argv[1])))
