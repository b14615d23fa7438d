"""Which server is asked by way of which proxy, and what comes next when that fails. Pure: no input, no output.

The rules are the reference client's (download.cc of CernVM-FS 2.12), made safe against its dead ends:

- All requests share a *preference*: an order of servers, and one proxy, a random live member of the first group that
  has one. A request begins there.
- A proxy that fails is not used any more; another member of its group takes over, then the next group. When none is
  left, the server may have been the cause: all proxies are live again, and the next server is asked first.
- A server that fails goes to the end of the order.
- After `proxy_reset_after` and `host_reset_after` seconds, what failed is forgotten, so that the first choice returns.
- A request that failed goes on by itself, over every pair of server and proxy at most once: after a proxy's failure to
  the same server by the next proxy, after a server's to the next server by the same proxy. A server that misses the
  object is not asked for it again.
- Damaged bytes are asked for once more past all caches, then counted as the server's failure. They and a missing object
  say nothing about other objects: the preference changes only when another server delivers.
- When all pairs failed and some may do better a little later, there is a pause (random, growing) and another turn,
  `retries` times. No attempt begins later than `patience` seconds after a request's first failure.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from outcrop.client.network.proxies import DIRECT, ENVIRONMENT, groups_in_use
from outcrop.client.network.settings import NetworkSettings
from outcrop.errors import NotFound, OutcropError
from outcrop.storage.way import Trouble

PATIENCE_SECONDS = 60.0
"""How long after its first failure a request may begin attempts. Whoever waits for a file sees an error after this and
one more attempt, not after servers times proxies times their time-outs."""

_ABOUT_THE_OBJECT = frozenset({Trouble.MISSING, Trouble.DAMAGED})
"""Trouble that says nothing about other objects, and does not pass by itself."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way to one server: its index, a proxy's URL (or `DIRECT`, or `ENVIRONMENT`), past all caches or not."""

    server: int
    proxy: str
    fresh: bool = False

    @property
    def is_proxied(self) -> bool:
        """Whether a proxy of the settings is on the way."""
        return self.proxy not in (DIRECT, ENVIRONMENT)

    def is_fault_of_proxy(self, trouble: Trouble) -> bool:
        """Who is to blame: the proxy, or the server. A line that broke, broke nearby."""
        if trouble in (Trouble.BROKEN, Trouble.SLOW):
            return self.is_proxied
        return trouble is Trouble.PROXY and self.is_proxied


@dataclass(frozen=True, slots=True)
class Step:
    """What a request does next: after `pause` seconds, go by `route`."""

    route: Route
    pause: float = 0.0


class Router:
    """The preference that all requests share. May be used from any thread."""

    def __init__(
        self,
        over_http: Sequence[bool],
        settings: NetworkSettings,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`over_http` says of each server whether it is on the web: the others are reached without a proxy. `clock`
        gives seconds."""
        self.settings = settings
        self.patience = patience
        self.clock = clock
        self._rng = rng
        self._over_http = tuple(over_http)
        self._groups = groups_in_use(settings)
        self._first_order = list(range(len(self._over_http)))
        self._order = list(self._first_order)
        self._first_server_left_at: float | None = None
        self._burned: set[str] = set()
        self._first_burned_at = 0.0
        self._lock = threading.Lock()
        self._proxy = self._chosen_proxy()

    @property
    def servers(self) -> tuple[int, ...]:
        """The servers in the order in which they are asked."""
        with self._lock:
            self._return_in_time()
            return tuple(self._order)

    @property
    def first_choice(self) -> int:
        """The server that time returns to."""
        with self._lock:
            return self._first_order[0]

    @property
    def proxy(self) -> str:
        """The proxy in use."""
        with self._lock:
            self._return_in_time()
            return self._proxy

    def first(self) -> Route:
        """Where a new request begins."""
        with self._lock:
            self._return_in_time()
            return self._pair(self._order[0], self._proxy)

    def first_to(self, server: int) -> Route:
        """Where a request begins that is for `server` alone."""
        with self._lock:
            self._return_in_time()
            return self._pair(server, self._proxy)

    def is_over_http(self, server: int) -> bool:
        return self._over_http[server]

    def set_order(self, servers: Sequence[int]) -> None:
        """Makes `servers` the order of choice: the one that a failure departs from and time returns to."""
        with self._lock:
            self._first_order = list(servers)
            self._order = list(servers)
            self._first_server_left_at = None

    def failed(self, route: Route, trouble: Trouble) -> None:
        """Takes note of a failure, where it concerns other requests too."""
        if trouble in _ABOUT_THE_OBJECT:
            return
        with self._lock:
            if route.is_fault_of_proxy(trouble):
                self._burn(route)
            else:
                self._leave(route.server)

    def delivered(self, route: Route) -> None:
        """Asks the server of `route` first from now on: it gave what another one did not."""
        with self._lock:
            if self._order[0] != route.server:
                self._depart()
                self._order.remove(route.server)
                self._order.insert(0, route.server)

    def pairs(self, near: Route, *, same_server: bool) -> Iterator[Route]:
        """Every pair of a server and a proxy: first those with the server of `near`, or else those with its proxy."""
        with self._lock:
            servers = sorted(self._order, key=lambda server: same_server and server != near.server)
            stay = not same_server and self._over_http[near.server]
            proxies = sorted(self._live_first(), key=lambda proxy: stay and proxy != near.proxy)
        if same_server:
            yield from (self._pair(server, proxy) for server in servers for proxy in proxies)
        else:
            yield from (self._pair(server, proxy) for proxy in proxies for server in servers)

    def pause_before(self, turn: int) -> float:
        """Seconds to wait before the `turn`-th repetition: random, up to a bound that doubles from turn to turn."""
        bound = min(self.settings.backoff_initial * 2 ** (turn - 1), self.settings.backoff_maximum)
        return self._rng.uniform(0, bound)

    def _pair(self, server: int, proxy: str) -> Route:
        return Route(server, proxy if self._over_http[server] else DIRECT)

    def _burn(self, route: Route) -> None:
        if route.proxy in self._burned or route.proxy not in self._live_first():
            return
        if not self._burned:
            self._first_burned_at = self.clock()
        self._burned.add(route.proxy)
        if self._burned.issuperset(self._live_first()):
            self._burned.clear()
            self._leave(route.server)
            self._proxy = self._chosen_proxy()
        elif route.proxy == self._proxy:
            self._proxy = self._chosen_proxy()

    def _leave(self, server: int) -> None:
        if self._order[0] == server and len(self._order) > 1:
            self._depart()
            self._order.append(self._order.pop(0))

    def _depart(self) -> None:
        if self._first_server_left_at is None:
            self._first_server_left_at = self.clock()

    def _return_in_time(self) -> None:
        now = self.clock()
        left_at = self._first_server_left_at
        if left_at is not None and now - left_at >= self.settings.host_reset_after:
            self._order = list(self._first_order)
            self._first_server_left_at = None
        if self._burned and now - self._first_burned_at >= self.settings.proxy_reset_after:
            self._burned.clear()
            self._proxy = self._chosen_proxy()

    def _chosen_proxy(self) -> str:
        """A random live member of the first group that has one."""
        live = ([member for member in group if member not in self._burned] for group in self._groups)
        return self._rng.choice(next(filter(None, live)))

    def _live_first(self) -> list[str]:
        """All proxies: the one in use, the other live ones group by group, the burned ones."""
        members = list(dict.fromkeys(member for group in self._groups for member in group))
        return sorted(members, key=lambda member: (member != self._proxy, member in self._burned))


class Walk:
    """What one request has tried; begins with its first failure.

    `error` is what to tell when nothing delivers: the first error that is more than a missing object."""

    def __init__(self, router: Router, only_server: int | None = None) -> None:
        """With `only_server` the request is for that server alone, by whichever proxy. Where there are others, the one
        who asks goes to them rather than wait, so there is no second turn."""
        self.error: OutcropError | None = None
        self._router = router
        self._only_server = only_server
        self._tried: set[tuple[int, str]] = set()
        self._without_the_object: set[int] = set()
        self._turn = 0
        self._turns = router.settings.retries if only_server is None or len(router.servers) == 1 else 0
        self._may_pass = False
        self._began_at = router.clock()

    def failed(self, route: Route, trouble: Trouble, error: OutcropError) -> Step | None:
        """What to do after `route` failed; None when nothing is left."""
        router = self._router
        if self.error is None or (isinstance(self.error, NotFound) and trouble is not Trouble.MISSING):
            self.error = error
        router.failed(route, trouble)
        if router.clock() - self._began_at >= router.patience:
            return None
        if trouble is Trouble.DAMAGED and not route.fresh and router.is_over_http(route.server):
            return Step(replace(route, fresh=True))
        self._tried.add((route.server, route.proxy))
        if trouble is Trouble.MISSING:
            self._without_the_object.add(route.server)
        self._may_pass = self._may_pass or trouble not in _ABOUT_THE_OBJECT
        following = self._untried(route, same_server=route.is_fault_of_proxy(trouble))
        if following is not None:
            return Step(following)
        return self._next_turn()

    def _untried(self, near: Route, *, same_server: bool) -> Route | None:
        for route in self._router.pairs(near, same_server=same_server):
            if self._only_server not in (None, route.server) or route.server in self._without_the_object:
                continue
            if (route.server, route.proxy) not in self._tried:
                return route
        return None

    def _next_turn(self) -> Step | None:
        if not self._may_pass or self._turn >= self._turns:
            return None
        self._turn += 1
        self._tried.clear()
        self._may_pass = False
        route = self._untried(self._router.first(), same_server=False)
        return None if route is None else Step(route, self._router.pause_before(self._turn))
