"""What a site says of its network: plain values, read from stock configuration files or from our own.

The defaults are the reference client's (options.cc and download.cc of CernVM-FS 2.12).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ServerOrder(Enum):
    """Which of several servers is asked first."""

    AS_GIVEN = "as given"
    GEOGRAPHIC = "geographic"
    """As the servers' geo API says (`CVMFS_USE_GEOAPI`); by latency where no server answers it."""
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How servers are reached. Times in seconds.

    `proxies` are groups in order: the members of a group share the load, the next group is for when all of one fail. A
    member is a proxy's URL, or `DIRECT`. No group at all stands for the environment's proxies, as curl takes them.
    """

    proxies: tuple[tuple[str, ...], ...] = ()
    fallback_proxies: tuple[tuple[str, ...], ...] = ()
    order: ServerOrder = ServerOrder.AS_GIVEN
    timeout: float = 5.0
    """For connecting, and for a stall, by way of a proxy."""
    timeout_direct: float = 10.0
    """The same without a proxy."""
    low_speed_bytes: int = 1024
    """Fewer bytes a second than this are a stall."""
    retries: int = 1
    backoff_initial: float = 2.0
    backoff_maximum: float = 10.0
    proxy_reset_after: float = 300.0
    """How long a lesser group of proxies is used before the first one is tried again."""
    host_reset_after: float = 1800.0
    """How long a lesser server is asked first before the first one is tried again."""
    follow_redirects: bool = True
    parallel: int = 16
    maximum_servers: int = 0
    """Only so many servers are used, the first ones after they have been put in order; 0 for all."""


DEFAULT_NETWORK = NetworkSettings()
