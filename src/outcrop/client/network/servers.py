"""Servers of the same objects, and the ways to them: what the routes of `outcrop.client.network.route` come to."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from outcrop.client.network.proxies import DIRECT, ENVIRONMENT, groups_in_use, plain_proxy, proxy_host, shown_proxy
from outcrop.client.network.route import PATIENCE_SECONDS, Route, Router, Step, Walk
from outcrop.client.network.settings import NetworkSettings
from outcrop.client.network.state import NetworkState
from outcrop.client.network.traffic import Traffic
from outcrop.errors import FormatError, IntegrityError, NotFound, OutcropError
from outcrop.storage.http import DEFAULT_LIMITS, HttpStore, TransferLimits, WholeObject
from outcrop.storage.interface import DEFAULT_READ_LIMIT, Fetched, ReadableStore, Wanted
from outcrop.storage.way import NO_PROXY, FetchedOverHttp, Trouble, Way

_AS_THEY_ARE = NetworkSettings(retries=0)
"""For stores that are used with their own limits, which say how often they try again."""


class Servers:
    """`stores` in order of choice, reached as `settings` say; without settings, each as it was opened.

    `tell` is told, in a sentence, when another server or proxy takes over. May be used from any thread."""

    def __init__(
        self,
        stores: Sequence[ReadableStore],
        settings: NetworkSettings | None = None,
        *,
        tell: Callable[[str], None] = lambda _text: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        patience: float = PATIENCE_SECONDS,
        grace: float = DEFAULT_LIMITS.grace,
    ) -> None:
        """`patience` is how long after its first failure a request may begin attempts, `grace` how long a transfer may
        take however slow it is; both in seconds."""
        self.sleep = sleep
        self.traffic = Traffic(clock)
        self._clock = clock
        self._grace = grace
        self._stores = tuple(stores)
        self._settings = settings
        self._tell = tell
        self._router = Router(
            [isinstance(store, HttpStore) for store in stores],
            settings or _AS_THEY_ARE,
            clock=clock,
            rng=rng or random.Random(),
            patience=patience,
        )
        self._by_route: dict[Route, ReadableStore] = {}
        self._told = self._router.first() if stores else None

    def __len__(self) -> int:
        return len(self._stores)

    @property
    def first(self) -> ReadableStore:
        """The server that is asked first."""
        return self._stores[self._router.servers[0]]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the servers, in the order in which they were given."""
        return tuple(store.address for store in self._stores)

    @property
    def proxy_host(self) -> str:
        """The name of the proxy in use; empty where there is none, or only the environment knows."""
        return proxy_host(self._router.proxy)

    @property
    def state(self) -> NetworkState:
        """How the network is used now, and what has come from it."""
        settings = self._settings or _AS_THEY_ARE
        nothing = NetworkState(timeout=settings.timeout, timeout_direct=settings.timeout_direct)
        if not self._stores:
            return nothing
        first = self._router.first()
        address = self._stores[first.server].address
        members = (member for group in groups_in_use(settings) for member in group)
        return replace(
            nothing,
            servers=tuple(self._stores[index].address for index in self._router.servers),
            proxy=plain_proxy(first.proxy, address),
            proxies=tuple(dict.fromkeys(plain_proxy(member, address) for member in members)),
            received=self.traffic.amount,
        )

    def alone(self, index: int) -> ServerByProxies:
        """The server `index`, counted as given, by itself."""
        return ServerByProxies(self, self._stores[index], index)

    def hurried(self, seconds: float) -> Servers:
        """The same servers for questions that must not take long: each gets one attempt of `seconds`."""
        settings = replace(self._settings or NetworkSettings(), timeout=seconds, timeout_direct=seconds, retries=0)
        return Servers(self._stores, settings, clock=self._clock, patience=0, grace=seconds)

    @property
    def in_order(self) -> list[ServerByProxies]:
        """Each server by itself, the one that is asked first in front."""
        return [self.alone(index) for index in self._router.servers]

    def prefer(self, server: ServerByProxies) -> None:
        """Asks `server`, one of `in_order`, first from now on, until time brings the first choice back."""
        route = self._router.first_to(server.index)
        self._router.delivered(route)
        self._told = route

    def set_order(self, indices: Sequence[int]) -> None:
        """Makes the order of choice that of `indices` into the stores. Those that are left out are not asked."""
        self._router.set_order(indices)
        self._told = self._router.first()

    def begin(self, only_server: int | None = None) -> Route:
        """Where a request begins; with `only_server`, one for that server alone."""
        if only_server is not None:
            return self._router.first_to(only_server)
        route = self._router.first()
        if self._told is not None and route.server == self._router.first_choice != self._told.server:
            # Time has brought the first choice back.
            self._told = route
        return route

    def walk(self, only_server: int | None = None) -> Walk:
        """For a request that has just failed."""
        return Walk(self._router, only_server)

    def delivered(self, route: Route, walk: Walk) -> None:
        """Takes note that `route` gave what others had not, and tells of it if it is asked first from now on."""
        self._router.delivered(route)
        told, self._told = self._told, route
        if told is None or told == route:
            return
        if told.server != route.server:
            self._tell(f"{self._stores[route.server].address} is asked first from now on: {walk.error}")
        elif told.proxy != route.proxy and self._router.first().proxy == route.proxy:
            self._tell(f"{shown_proxy(route.proxy)} is used from now on: {walk.error}")

    def store(self, route: Route) -> ReadableStore:
        """The server of `route`, reached by it."""
        store = self._stores[route.server]
        if not isinstance(store, HttpStore) or (self._settings is None and not route.fresh):
            return store
        known = self._by_route.get(route)
        if known is None:
            known = self._by_route[route] = self._reached(store, route)
        return known

    def close(self) -> None:
        """Lets go of the connections."""
        for store in self._stores:
            store.close()

    def _reached(self, store: HttpStore, route: Route) -> HttpStore:
        if self._settings is None:
            return store.by_way(Way(store.way.proxy, route.fresh))
        proxy = {DIRECT: NO_PROXY, ENVIRONMENT: None}.get(route.proxy, route.proxy)
        return store.by_way(Way(proxy, route.fresh), self._limits(self._settings, route))

    def _limits(self, settings: NetworkSettings, route: Route) -> TransferLimits:
        """The limits of one transfer. Whether it is tried again is for the router to say."""
        timeout = settings.timeout if route.is_proxied else settings.timeout_direct
        return replace(
            DEFAULT_LIMITS,
            parallel=settings.parallel,
            most_parallel=settings.parallel * DEFAULT_LIMITS.most_parallel // DEFAULT_LIMITS.parallel,
            connect=timeout,
            stall=timeout,
            stall_bytes=settings.low_speed_bytes,
            grace=self._grace,
            redirects=DEFAULT_LIMITS.redirects if settings.follow_redirects else 0,
            retries=0,
        )


class ServerByProxies:
    """A store: one server alone, by whichever proxy works."""

    def __init__(self, servers: Servers, store: ReadableStore, index: int, *, fresh: bool = False) -> None:
        self.index = index
        self._servers = servers
        self._store = store
        self._fresh = fresh

    def past_caches(self) -> ServerByProxies | None:
        """The same server, asked past every cache on the way: for a signed file that a proxy may have kept too long.
        None where no proxy is on the way."""
        proxy = plain_proxy(self._servers.begin(self.index).proxy, self.address)
        if proxy == DIRECT or not isinstance(self._store, HttpStore):
            return None
        return ServerByProxies(self._servers, self._store, self.index, fresh=True)

    @property
    def address(self) -> str:
        return self._store.address

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        if not isinstance(self._store, HttpStore):
            return self._store.read(name, limit=limit)
        whole = WholeObject(self._store.url(name), limit)

        def attempt(store: HttpStore) -> FetchedOverHttp:
            whole.data.clear()
            with self._servers.traffic.under_way():
                (fetched,) = store.fetch([Wanted(name, whole)])
            self._servers.traffic.came(len(whole.data))
            return fetched

        self._try(attempt)
        return bytes(whole.data)

    def exists(self, name: str) -> bool:
        if not isinstance(self._store, HttpStore):
            return self._store.exists(name)
        try:
            self._try(lambda store: store.look(name))
        except NotFound:
            return False
        return True

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        """Fetches by the present proxy: what a sink has taken in cannot be begun again."""
        return self._servers.store(self._route(self._servers.begin(self.index))).fetch(wanted)

    def close(self) -> None:
        self._store.close()

    def _route(self, route: Route) -> Route:
        return replace(route, fresh=True) if self._fresh else route

    def _try(self, attempt: Callable[[HttpStore], FetchedOverHttp]) -> None:
        """Attempts until one goes well; raises the error that says most when none does."""
        step = Step(self._servers.begin(self.index))
        walk: Walk | None = None
        while True:
            if step.pause:
                self._servers.sleep(step.pause)
            store = self._servers.store(self._route(step.route))
            assert isinstance(store, HttpStore)
            fetched = attempt(store)
            if fetched.error is None:
                return
            walk = walk or self._servers.walk(self.index)
            following = walk.failed(step.route, trouble_of(fetched, fetched.error), fetched.error)
            if following is None:
                raise walk.error or fetched.error
            step = following


def trouble_of(fetched: Fetched, error: OutcropError) -> Trouble:
    """Whose trouble `error` is, with which `fetched` ended or its sink refused what had come."""
    if isinstance(fetched, FetchedOverHttp) and fetched.trouble is not None:
        return fetched.trouble
    if isinstance(error, NotFound):
        return Trouble.MISSING
    return Trouble.DAMAGED if isinstance(error, IntegrityError | FormatError) else Trouble.SERVER
