"""Time and network: the clock, names, and the servers of a repository, by the same routes as reading.

Every question has a time limit."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import outcrop
from outcrop.client.address import RepositoryAddress
from outcrop.client.ladder.findings import Finding, Topic, no, ok
from outcrop.client.ladder.trial import tried
from outcrop.client.network.proxies import DIRECT, groups_in_use, plain_proxy, proxy_host
from outcrop.client.network.servers import ServerByProxies, Servers
from outcrop.client.network.settings import NetworkSettings
from outcrop.client.repository import ClientSettings, reach_servers
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.cvmfs.signed_text import MAXIMUM_SIGNED_TEXT_BYTES
from outcrop.errors import OutcropError
from outcrop.storage.http import HttpStore

NAME_SECONDS = 5.0
"""A resolver that takes longer makes every first access wait."""

ANSWER_SECONDS = 60.0
"""As long as reading goes on to another proxy or server: one that is down costs 5 or 10 seconds an attempt."""

_MOST_SECONDS_OFF = 300.0
"""Whitelists are valid for weeks, so minutes do not matter; a clock that is further off is wrong in other ways."""

_FIRST_RELEASE = datetime(2026, 1, 1, tzinfo=UTC)
"""No machine that runs this program is in an earlier year."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What asking the servers has shown. `ahead` is by how many seconds the clock of the one that answered is ahead of
    ours; None where none answered, or it does not say."""

    finding: Finding
    ahead: float | None = None


def hosts_to_resolve(servers: Sequence[str], network: NetworkSettings) -> tuple[str, ...]:
    """The hosts whose names this machine itself resolves to read from `servers`, in order of the alphabet: the
    servers', or those of the proxies where nothing is reached without one. A directory has none."""
    members = [member for group in groups_in_use(network) for member in group]
    hosts = set()
    for server in servers:
        host = urlsplit(server).hostname
        if not host:
            continue
        proxies = {plain_proxy(member, server) for member in members}
        hosts |= {host} if DIRECT in proxies else {proxy_host(proxy) for proxy in proxies}
    return tuple(sorted(hosts))


def dns(hosts: Sequence[str]) -> Finding:
    """Whether names are resolved in time: those of `hosts`, or this machine's own."""
    wanted = hosts or ["localhost"]
    for host in wanted:
        outcome = tried(lambda host=host: str(socket.getaddrinfo(host, None)[0][4][0]), NAME_SECONDS)  # type: ignore[misc]
        if not outcome.succeeded:
            return no(Topic.DNS, f"{host} is not resolved ({outcome.problem})", "look at /etc/resolv.conf")
    return ok(Topic.DNS, f"{', '.join(wanted)} resolved")


def servers(address: RepositoryAddress, settings: ClientSettings) -> Reached:
    """Whether one of the servers of `address` has a manifest: asked in the order and by the proxies by which
    the repository is read."""
    outcome = tried(lambda: _ask(address, settings), ANSWER_SECONDS)
    if not outcome.succeeded:
        hint = f"check the address and the proxies (`outcrop config show {address.name}` names them), and the firewall"
        return Reached(no(Topic.SERVERS, outcome.problem, hint))
    answer = json.loads(outcome.answer)
    return Reached(ok(Topic.SERVERS, str(answer["sentence"])), answer["ahead"])


def _ask(address: RepositoryAddress, settings: ClientSettings) -> str:
    """What the first server that has a manifest shows, as JSON; an error that says of each why not, if none has."""
    problems = []
    with closing(reach_servers(address, settings, lambda _note: None)) as reached:
        for server in reached.in_order:
            try:
                server.read(MANIFEST_NAME, limit=MAXIMUM_SIGNED_TEXT_BYTES)
            except OutcropError as error:
                problems.append(error.message)
                continue
            reached.prefer(server)
            proxy = reached.state.proxy
            by = f" (by the proxy {proxy})" if urlsplit(server.address).hostname and proxy != DIRECT else ""
            sentence = f"{server.address} has the repository{by}"
            return json.dumps({"sentence": sentence, "ahead": _seconds_ahead(reached, server)})
    raise OutcropError(problem="; ".join(problems) or "none is known")


def _seconds_ahead(reached: Servers, server: ServerByProxies) -> float | None:
    """By how many seconds the clock of `server` is ahead, where it says what it shows."""
    # A cache on the way would answer with a date of its own.
    store = reached.store(replace(reached.begin(server.index), fresh=True))
    said = store.server_time(MANIFEST_NAME) if isinstance(store, HttpStore) else None
    return None if said is None else said - datetime.now(UTC).timestamp()


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
