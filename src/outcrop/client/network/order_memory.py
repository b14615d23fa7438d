"""The order of servers that was found out last, kept for an hour in a small file.

So that a command that runs for a tenth of a second does not ask every time. The file is a cache: one that is damaged,
old or not writable costs a question, no more.

    {"format": 1, "orders": {"<key>": {"at": <seconds since 1970>, "order": [1, 0]}}}

A key is a digest of the kind of order, the proxy's name and the servers' addresses.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.network.settings import ServerOrder
from outcrop.errors import StorageError
from outcrop.whole_file import write_whole_file

ORDERS_NAME = "server-orders.json"
KEPT_SECONDS = 3600
"""As long as the geo API lets its replies be cached."""

_MAXIMUM_ORDERS = 100
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class OrderMemory:
    """Remembers in the file `path`, or not at all without one."""

    path: Path | None
    clock: Callable[[], float] = time.time

    def recall(self, kind: ServerOrder, proxy_host: str, servers: Sequence[str]) -> tuple[int, ...] | None:
        """The order of `servers` (numbers from 0) that was found less than an hour ago."""
        found = self._orders().get(_key(kind, proxy_host, servers))
        return found[1] if found is not None and sorted(found[1]) == list(range(len(servers))) else None

    def remember(self, kind: ServerOrder, proxy_host: str, servers: Sequence[str], order: Sequence[int]) -> None:
        """Keeps `order`; where that is not possible, nothing happens."""
        if self.path is None:
            return
        orders = {**self._orders(), _key(kind, proxy_host, servers): (self.clock(), tuple(order))}
        newest = sorted(orders.items(), key=lambda item: item[1][0], reverse=True)[:_MAXIMUM_ORDERS]
        document = {"format": _FORMAT, "orders": {key: {"at": at, "order": known} for key, (at, known) in newest}}
        # Where it cannot be written, the next process asks again.
        with suppress(OSError, StorageError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole_file(self.path, json.dumps(document).encode())

    def _orders(self) -> dict[str, tuple[float, tuple[int, ...]]]:
        """What the file holds and is not too old."""
        now = self.clock()
        try:
            document = json.loads(self.path.read_text("utf-8")) if self.path is not None else {"orders": {}}
            orders = {
                str(key): (float(value["at"]), tuple(int(number) for number in value["order"]))
                for key, value in document["orders"].items()
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}
        return {key: value for key, value in orders.items() if 0 <= now - value[0] < KEPT_SECONDS}


def _key(kind: ServerOrder, proxy_host: str, servers: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join((kind.name, proxy_host, *servers)).encode(), digest_size=16).hexdigest()
