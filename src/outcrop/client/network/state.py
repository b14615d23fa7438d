"""How the network is used at this moment, as a mount tells it."""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.client.network.proxies import DIRECT
from outcrop.client.network.traffic import NOTHING, Amount


@dataclass(frozen=True, slots=True)
class NetworkState:
    """`servers` in the order in which they are asked, the next one in front, and the `proxy` by which that is reached:
    a URL without its password, or `DIRECT`. `proxies` are all that may be used, group by group. Time-outs are in
    seconds, `received` is what has come so far."""

    servers: tuple[str, ...] = ()
    proxy: str = DIRECT
    proxies: tuple[str, ...] = ()
    timeout: float = 0.0
    timeout_direct: float = 0.0
    received: Amount = NOTHING


NO_NETWORK = NetworkState()
