"""The geo API of replicas: which of several servers is near. Pure.

`GET <server>/api/v1.0/geo/<who>/<host>,<host>,…` is answered with the numbers of the hosts, counted from 1, the nearest
first: `2,1,3`. `<who>` is the name of the proxy, whose place counts then; without one it is any word that is no host,
and the place of whoever asks counts. (webapi/cvmfs_geo.py of CernVM-FS 2.12.)
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

MAXIMUM_REPLY_BYTES = 4096
"""Numbers of a thousand hosts; nobody has so many."""


def geo_request(who: str, servers: Sequence[str]) -> str:
    """The name, below a server's address, by which the order of `servers` (URLs) is asked for."""
    return f"api/v1.0/geo/{who}/{','.join(urlsplit(server).hostname or '' for server in servers)}"


def parse_geo_reply(reply: bytes, count: int) -> tuple[int, ...] | None:
    """The order that the reply gives to `count` servers, counted from 0; None if it is no such order."""
    try:
        order = tuple(int(number) - 1 for number in reply.decode("ascii").strip().split(","))
    except ValueError:
        return None
    return order if sorted(order) == list(range(count)) else None
