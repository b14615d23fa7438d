"""A caching web proxy on loopback that lies, refuses and breaks off on request. Knows nothing of repositories."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.faulty_server import Behaviour, Request, Site


@dataclass
class ProxySite(Site):
    """A proxy: passes requests on and keeps what comes, unless `every` answers instead.

    `spoil` changes what goes into the cache. `fresh` counts the requests that went past it."""

    kept: dict[str, bytes] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] = bytes
    fresh: int = 0

    def _answer(self, request: Request) -> None:
        if self.every is not None:
            self.every(request)
        else:
            self._pass_on(request)

    def _pass_on(self, request: Request) -> None:
        past_cache = "no-cache" in request.headers.get("Cache-Control", "")
        self.fresh += past_cache
        if request.path in self.kept and not past_cache:
            request.answer(self.kept[request.path])
            return
        parts = urlsplit(request.path)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request(request.command, parts.path)
            response = connection.getresponse()
            body = response.read()
        except OSError:
            refusal(503, **{"X-Squid-Error": "ERR_CONNECT_FAIL 111"})(request)
            return
        finally:
            connection.close()
        if response.status == 200 and request.command == "GET":
            if past_cache:
                self.kept[request.path] = body
            else:
                body = self.kept[request.path] = self.spoil(body)
        request.answer(body, response.status)


def refusal(number: int, **head: str) -> Behaviour:
    """An error of the proxy's own."""
    return lambda request: request.answer(b"<html>the proxy is unwell</html>", number, None, **head)
