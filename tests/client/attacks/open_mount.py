"""A mount that stays open while its servers change, in a process that `machine` starts.

It mounts, opens the file `HELD` and keeps it open, as a program does that goes on reading. Then it answers requests, a
JSON document a line:

    {"do": "read", "names": [...]}   files as base64, failures by errno; without names, of all that can be walked
    {"do": "held"}                   what the program finds in the file that it holds open
    {"do": "look"}                   has the mount look for a new revision; its report afterwards
    {"do": "report"}                 what the mount reports of itself
    {"do": "now", "now": MOMENT}     moves this machine's clock
    {"do": "forbid", "text": LINES}  writes the site's blacklist
    {"do": "end"}                    is not answered: the mount ends
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from outcrop.client.mount.processes import RunningMount
from outcrop.client.mount.report import REPORT_ATTRIBUTE, Report, parse_report
from tests.client.attacks.reading_once import Order, open_mount_of
from tests.client.attacks.shown_files import read_all

HELD = "edition"
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
                return read_all(str(self.running.mountpoint), request["names"])
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


def keep_open(order: Order) -> None:
    """Mounts what `order` says, says `open`, and answers requests from standard input until the end is asked for."""
    clock = order.place("now")
    clock.write_text(order.now)
    blacklist = order.place("blacklist")
    blacklist.touch()
    settings = replace(order.settings(), now=lambda: datetime.fromisoformat(clock.read_text()))
    address = replace(order.address(), blacklists=(blacklist,))
    mountpoint = order.place("mount")
    mountpoint.mkdir()
    with open_mount_of(order, mountpoint, address, settings) as running:
        program = Program(running, clock, blacklist, os.open(mountpoint / HELD, os.O_RDONLY))
        try:
            _say("open")
            for line in sys.stdin:
                request = json.loads(line)
                if request["do"] == "end":
                    break
                _say(program.answer(request))
        finally:
            os.close(program.held)


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
