"""Finding out which server is near: by the servers' geo API, else by measuring. Bounded in time, and remembered.

Nothing that a server answers here is trusted: the worst that it does is to make us ask another server first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from outcrop.client.network.geography import MAXIMUM_REPLY_BYTES, geo_request, parse_geo_reply
from outcrop.client.network.order_memory import OrderMemory
from outcrop.client.network.servers import ServerByProxies, Servers
from outcrop.client.network.settings import ServerOrder
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.errors import OutcropError

PROBE_SECONDS = 2.0
"""How long a server may take to connect or to answer a probe. One that takes longer is not near."""

GEO_SERVERS = 3
"""How many servers are asked for the order, as in the reference client."""

GEO_SECONDS = 4.0
"""After this no further server is asked for the order."""


def order_servers(
    servers: Servers,
    order: ServerOrder,
    memory: OrderMemory,
    *,
    rng: random.Random | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Puts the web servers among `servers` into `order`; they keep the given one where nothing can be found out.

    Takes at most `GEO_SECONDS` and three times `PROBE_SECONDS`, and no time at all where `memory` knows the answer."""
    web = [index for index, address in enumerate(servers.addresses) if address.startswith(("http://", "https://"))]
    if order is ServerOrder.AS_GIVEN or len(web) < 2:
        return
    addresses = [servers.addresses[index] for index in web]
    known = memory.recall(order, servers.proxy_host, addresses)
    if known is None:
        hurried = servers.hurried(PROBE_SECONDS)
        probes = [hurried.alone(index) for index in web]
        if order is ServerOrder.GEOGRAPHIC:
            known = _order_by_geography(probes, servers.proxy_host, rng or random.Random(), clock)
        known = known or _order_by_latency(probes, clock)
        if known is None:
            return
        memory.remember(order, servers.proxy_host, addresses, known)
    nearest_first = iter(web[number] for number in known)
    servers.set_order([next(nearest_first) if index in web else index for index in range(len(servers))])


def _order_by_geography(
    probes: list[ServerByProxies], proxy_host: str, rng: random.Random, clock: Callable[[], float]
) -> tuple[int, ...] | None:
    # Any word that is no host name. A random one is not the same for everybody in a cache on the way.
    request = geo_request(proxy_host or f"{rng.getrandbits(64):016x}", [probe.address for probe in probes])
    began = clock()
    for probe in rng.sample(probes, min(GEO_SERVERS, len(probes))):
        if clock() - began > GEO_SECONDS:
            break
        try:
            order = parse_geo_reply(probe.read(request, limit=MAXIMUM_REPLY_BYTES), len(probes))
        except OutcropError:
            continue
        if order is not None:
            return order
    return None


def _order_by_latency(probes: list[ServerByProxies], clock: Callable[[], float]) -> tuple[int, ...] | None:
    """The servers that answer, the fastest first, then the others; None if none answers."""

    def latency(probe: ServerByProxies) -> float:
        # The first question pays for names and handshakes, the second measures.
        probe.exists(MANIFEST_NAME)
        began = clock()
        probe.exists(MANIFEST_NAME)
        return clock() - began

    with ThreadPoolExecutor(len(probes), "latency") as pool:
        measured = [pool.submit(latency, probe) for probe in probes]
        wait(measured)
    times = [_seconds(one) for one in measured]
    if all(seconds == _NEVER for seconds in times):
        return None
    return tuple(sorted(range(len(probes)), key=lambda number: times[number]))


_NEVER = float("inf")


def _seconds(measured: Future[float]) -> float:
    error = measured.exception()
    if error is None:
        return measured.result()
    if isinstance(error, OutcropError):
        return _NEVER
    raise error
