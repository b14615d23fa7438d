"""Time and network: the clock, names, and the servers of a repository. Every question has a time limit."""

from __future__ import annotations

import email.utils
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import outcrop
from outcrop.client.ladder.findings import Finding, Topic, no, ok
from outcrop.client.ladder.trial import Outcome, tried
from outcrop.cvmfs.objects import MANIFEST_NAME

NAME_SECONDS = 5.0
"""A resolver that takes longer makes every first access wait."""

ANSWER_SECONDS = 10.0
_MOST_SECONDS_OFF = 300.0
"""Whitelists are valid for weeks, so minutes do not matter; a clock that is further off is wrong in other ways."""

_FIRST_RELEASE = datetime(2026, 1, 1, tzinfo=UTC)
"""No machine that runs this program is in an earlier year."""


def host_of(server: str) -> str:
    """The host of the URL `server`; empty for a directory."""
    return urlsplit(server).hostname or ""


def dns(hosts: Sequence[str]) -> Finding:
    """Whether names are resolved in time: those of `hosts`, or this machine's own."""
    wanted = sorted(set(hosts)) or ["localhost"]
    for host in wanted:
        outcome = tried(lambda host=host: str(socket.getaddrinfo(host, None)[0][4][0]), NAME_SECONDS)  # type: ignore[misc]
        if not outcome.succeeded:
            return no(Topic.DNS, f"{host} is not resolved ({outcome.problem})", "look at /etc/resolv.conf")
    return ok(Topic.DNS, f"{', '.join(wanted)} resolved")


def servers(addresses: Sequence[str]) -> tuple[Finding, float | None]:
    """Whether one of the servers at `addresses` has a manifest, and by how many seconds its clock is ahead of ours
    (None where it does not say)."""
    problems = []
    for address in addresses:
        outcome = _asked(address)
        if outcome.succeeded:
            found = ok(Topic.SERVERS, f"{address} has the repository")
            return found, float(outcome.answer) if outcome.answer else None
        problems.append(f"{address}: {outcome.problem}")
    hint = "check the address, the proxy (`http_proxy`) and the firewall"
    return no(Topic.SERVERS, "; ".join(problems) or "none is known", hint), None


def _asked(address: str) -> Outcome:
    if not host_of(address):
        directory = urlsplit(address).path or address
        return tried(lambda: _look_at(Path(directory, MANIFEST_NAME)), ANSWER_SECONDS)
    return tried(lambda: _seconds_ahead(address), ANSWER_SECONDS)


def _look_at(file: Path) -> None:
    os.stat(file)


def _seconds_ahead(address: str) -> str:
    """By how many seconds the server's clock is ahead; OSError if it does not have the manifest."""
    request = urllib.request.Request(f"{address.rstrip('/')}/{MANIFEST_NAME}", headers={"Cache-Control": "no-cache"})
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        date = answer.headers.get("Date", "")
        # A proxy's copy has the date of its making; its age is said beside it.
        age = float(answer.headers.get("Age", "0") or 0)
    if not date:
        return ""
    return str(email.utils.parsedate_to_datetime(date).timestamp() + age - datetime.now(UTC).timestamp())


def clock(ahead: float | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Finding:
    """Whether the clock may be right: not before this program was installed, and within minutes of a server's, which
    is `ahead` seconds ahead (None where no server was asked)."""
    present = now()
    hint = "set it, or ask the administrator to: signatures and whitelists have dates"
    told = f"{present:%Y-%m-%d %H:%M:%S} UTC"
    installed = max(_FIRST_RELEASE, datetime.fromtimestamp(Path(outcrop.__file__).stat().st_mtime, UTC))
    if present < installed:
        return no(Topic.CLOCK, f"it says {told}, before this program was installed", hint)
    if ahead is not None and abs(ahead) > _MOST_SECONDS_OFF:
        side = "behind" if ahead > 0 else "ahead of"
        return no(Topic.CLOCK, f"it says {told}, {abs(ahead):,.0f} seconds {side} the server's", hint)
    return ok(Topic.CLOCK, told if ahead is None else f"{told}, {abs(ahead):.0f} seconds from the server's")
