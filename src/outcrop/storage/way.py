"""The way of a transfer to its server, and whose trouble it is when one ends badly. Pure.

Who is to blame decides what is tried next, by the reference client's rules (download.cc of CernVM-FS 2.12): a status of
500 and up, 400, 404 and 429 is the server's, any other refusal is the proxy's where there is one, and a proxy that says
that the page is its own (`X-Squid-Error`, or `Proxy-Status` of RFC 9209 with an error) takes the blame for it. 410
means that the object is gone, as 404 does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from outcrop.storage.interface import Fetched

NO_PROXY = ""
"""No proxy, whatever the environment says."""

PAST_CACHES = ("Cache-Control: no-cache", "Pragma: no-cache")
"""What makes every cache on the way ask the server again: RFC 9111, and its predecessor."""

MISSING_STATUS = frozenset({404, 410})
_SERVER_STATUS = frozenset({400, 429})


@dataclass(frozen=True, slots=True)
class Way:
    """How a server is reached.

    `proxy` is a proxy's URL, `NO_PROXY`, or None for what the environment says (as curl takes it). `fresh` goes past
    every cache on the way."""

    proxy: str | None = None
    fresh: bool = False

    @property
    def has_proxy(self) -> bool:
        """Whether a proxy that we chose is on the way. One of the environment is part of the line."""
        return bool(self.proxy)


STRAIGHT = Way()
"""As the environment says, caches and all."""


class Trouble(Enum):
    """Whose trouble ended a transfer."""

    MISSING = "missing"
    """The server says that there is no such object."""
    DAMAGED = "damaged"
    """Bytes came, but not those that were asked for. Only who knows the digest can tell."""
    SERVER = "server"
    """The server refused, or cannot be reached."""
    PROXY = "proxy"
    """The proxy refused, or cannot be reached."""
    BROKEN = "broken"
    """The line broke on the way: the proxy's trouble if there is one, else the server's."""
    SLOW = "slow"
    """It took too long: to be blamed as a broken line."""


@dataclass(frozen=True, slots=True)
class FetchedOverHttp(Fetched):
    """How a fetch over HTTP ended; `trouble` is None where it went well, or where its sink ended it."""

    trouble: Trouble | None = None


def trouble_of_status(status: int, head: Iterable[bytes], way: Way) -> Trouble:
    """Who is to blame for an answer that is not 200. `head` are the lines before the body."""
    if way.has_proxy and _is_of_proxy(head):
        return Trouble.PROXY
    if status in MISSING_STATUS:
        return Trouble.MISSING
    if status >= 500 or status in _SERVER_STATUS or not way.has_proxy:
        return Trouble.SERVER
    return Trouble.PROXY


def _is_of_proxy(head: Iterable[bytes]) -> bool:
    found = False
    for line in head:
        if line.startswith(b"HTTP/"):
            # After a redirect or a tunnel, another head follows: the last one is the answer's.
            found = False
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name == b"x-squid-error" or (name == b"proxy-status" and b"error=" in value.lower().replace(b" ", b"")):
            found = True
    return found
