"""Finding out which server is near: by the servers' geo API, else by measuring. Bounded in time, and remembered.

Nothing that a server answers here is trusted: the worst that it does is to make us ask another server first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
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
    maximum: int = 0,
    guides: Servers | None = None,
    rng: random.Random | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Puts the web servers among `servers` into `order`; they keep the given one where nothing can be found out. Of all
    of them only the first `maximum` are used after that (0: all).

    `guides` know where servers are, by default `servers` themselves. Takes at most `GEO_SECONDS` and three times
    `PROBE_SECONDS`, and no time at all where `memory` knows the answer."""
    web = [index for index, address in enumerate(servers.addresses) if _is_on_the_web(address)]
    wanted = as_given = list(range(len(servers)))
    if order is not ServerOrder.AS_GIVEN and len(web) > 1:
        addresses = [servers.addresses[index] for index in web]
        known = memory.recall(order, servers.proxy_host, addresses)
        if known is None:
            if order is ServerOrder.GEOGRAPHIC:
                asked = _probes(guides or servers)
                known = _order_by_geography(asked, servers, addresses, rng or random.Random(), clock)
            known = known or _order_by_latency(_probes(servers), clock)
            if known is not None:
                memory.remember(order, servers.proxy_host, addresses, known)
        nearest_first = iter([web[number] for number in known] if known else web)
        wanted = [next(nearest_first) if index in web else index for index in as_given]
    wanted = wanted[: maximum or None]
    if wanted != as_given:
        servers.set_order(wanted)


def _is_on_the_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _probes(servers: Servers) -> list[ServerByProxies]:
    """The web servers among `servers`, for questions that must not take long."""
    hurried = servers.hurried(PROBE_SECONDS)
    return [hurried.alone(index) for index, address in enumerate(servers.addresses) if _is_on_the_web(address)]


def _order_by_geography(
    asked: Sequence[ServerByProxies],
    servers: Servers,
    addresses: Sequence[str],
    rng: random.Random,
    clock: Callable[[], float],
) -> tuple[int, ...] | None:
    """The order of `addresses`, of `servers`, that one of `asked` says."""
    # Any word that is no host name. A random one is not the same for everybody in a cache on the way.
    request = geo_request(servers.proxy_host or f"{rng.getrandbits(64):016x}", addresses)
    began = clock()
    for probe in rng.sample(asked, min(GEO_SERVERS, len(asked))):
        if clock() - began > GEO_SECONDS:
            break
        try:
            order = parse_geo_reply(probe.read(request, limit=MAXIMUM_REPLY_BYTES), len(addresses))
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
