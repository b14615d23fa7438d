"""Where requests go when servers and proxies fail, for every way in which they can."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.network.proxies import DIRECT
from outcrop.client.network.route import Route, Router, Walk
from outcrop.client.network.settings import NetworkSettings
from outcrop.errors import NetworkError, NotFound, OutcropError
from outcrop.storage.way import Trouble

ERROR = NetworkError(what="it", problem="fails")
GROUPS = (("a", "b"), ("c",), (DIRECT,))


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def router(
    servers: int = 3,
    proxies: Sequence[Sequence[str]] = GROUPS,
    *,
    retries: int = 0,
    clock: Clock | None = None,
    seed: int = 0,
    over_http: Sequence[bool] | None = None,
) -> Router:
    settings = NetworkSettings(proxies=tuple(map(tuple, proxies)), retries=retries)
    return Router(over_http or [True] * servers, settings, clock=clock or Clock(), rng=random.Random(seed), patience=60)


Behaviour = Callable[[Route], Trouble | None]


def journey(router: Router, behave: Behaviour, walk: Walk | None = None) -> tuple[list[Route], bool]:
    """The routes that a request takes, and whether the last one delivered."""
    routes = [router.first()]
    while trouble := behave(routes[-1]):
        error: OutcropError = NotFound(what="it") if trouble is Trouble.MISSING else ERROR
        walk = walk or Walk(router)
        step = walk.failed(routes[-1], trouble, error)
        if step is None:
            return routes, False
        routes.append(step.route)
    return routes, True


# The order in which things are tried.


def test_members_then_groups_then_the_next_server() -> None:
    routes, _ = journey(router(2), lambda _route: Trouble.PROXY if _route.is_proxied else Trouble.SERVER)
    groups = [next(number for number, group in enumerate(GROUPS) if route.proxy in group) for route in routes]
    assert [route.server for route in routes[:4]] == [0, 0, 0, 0]
    assert groups[:4] == [0, 0, 1, 2]
    assert {route.proxy for route in routes[:2]} == {"a", "b"}
    assert routes[4].server == 1


def test_failure_of_a_server_moves_to_the_next_server_by_the_same_proxy() -> None:
    routes, _ = journey(router(), lambda route: None if route.server == 2 else Trouble.SERVER)
    assert [route.server for route in routes] == [0, 1, 2]
    assert len({route.proxy for route in routes}) == 1


@pytest.mark.parametrize("trouble", [Trouble.BROKEN, Trouble.SLOW, Trouble.PROXY])
def test_a_line_that_breaks_is_the_proxys_fault_if_there_is_one(trouble: Trouble) -> None:
    assert Route(0, "http://a:1").is_fault_of_proxy(trouble)
    assert not Route(0, DIRECT).is_fault_of_proxy(trouble)
    assert not Route(0, "").is_fault_of_proxy(trouble)


def test_damaged_bytes_are_asked_for_past_the_caches_and_then_elsewhere() -> None:
    routes, _ = journey(router(2), lambda route: None if route.server == 1 else Trouble.DAMAGED)
    assert [(route.server, route.fresh) for route in routes] == [(0, False), (0, True), (1, False)]


def test_a_server_without_http_has_no_caches_and_no_proxies() -> None:
    routes, _ = journey(router(over_http=[False, True]), lambda route: None if route.server else Trouble.DAMAGED)
    assert [(route.server, route.fresh) for route in routes] == [(0, False), (1, False)]
    assert routes[0].proxy == DIRECT
    assert routes[1].proxy in ("a", "b")


def test_missing_object_is_asked_for_once_of_each_server() -> None:
    routes, delivered = journey(router(3, retries=5), lambda _route: Trouble.MISSING)
    assert [route.server for route in routes] == [0, 1, 2]
    assert not delivered


# What all requests share.


def test_proxy_that_failed_is_not_used_by_the_next_request() -> None:
    shared = router()
    first = shared.first()
    shared.failed(first, Trouble.BROKEN)
    second = shared.first()
    assert {first.proxy, second.proxy} == {"a", "b"}
    # Others that were under way by the same proxy change nothing more.
    shared.failed(first, Trouble.BROKEN)
    assert shared.first() == second


def test_server_that_failed_is_asked_last() -> None:
    shared = router()
    shared.failed(shared.first(), Trouble.SERVER)
    assert shared.servers == (1, 2, 0)
    shared.failed(Route(0, "a"), Trouble.SERVER)
    assert shared.servers == (1, 2, 0)


@pytest.mark.parametrize("trouble", [Trouble.MISSING, Trouble.DAMAGED])
def test_trouble_with_one_object_changes_nothing_unless_another_server_delivers(trouble: Trouble) -> None:
    shared = router()
    shared.failed(shared.first(), trouble)
    assert shared.servers == (0, 1, 2)
    shared.delivered(Route(2, "a"))
    assert shared.servers == (2, 0, 1)


def test_when_all_proxies_failed_they_live_again_and_the_next_server_is_asked_first() -> None:
    shared = router(2, [["a"], ["b"]])
    for _ in range(2):
        shared.failed(shared.first(), Trouble.PROXY)
    assert shared.first() == Route(1, "a")


def test_first_choices_come_back_in_time() -> None:
    clock = Clock()
    shared = router(clock=clock)
    first = shared.first()
    shared.failed(first, Trouble.SERVER)
    for _ in range(2):
        shared.failed(shared.first(), Trouble.BROKEN)
    assert shared.first() == Route(1, "c")
    clock.now += 299
    assert shared.first() == Route(1, "c")
    clock.now += 1
    assert shared.first().proxy in ("a", "b")
    clock.now += 1500
    assert shared.first().server == 0


def test_order_that_was_set_is_what_time_returns_to() -> None:
    clock = Clock()
    shared = router(clock=clock)
    shared.set_order([2, 1, 0])
    shared.failed(shared.first(), Trouble.SERVER)
    assert shared.servers == (1, 0, 2)
    clock.now += 1800
    assert shared.servers == (2, 1, 0)


def test_many_clients_share_the_load_of_a_group() -> None:
    chosen = [router(seed=seed).first().proxy for seed in range(200)]
    assert 60 < chosen.count("a") < 140
    assert set(chosen) == {"a", "b"}


# Pauses and ends.


def test_pauses_are_random_and_grow_up_to_a_bound() -> None:
    shared = router()
    for turn, bound in enumerate((2, 4, 8, 10, 10), start=1):
        pauses = [shared.pause_before(turn) for _ in range(300)]
        assert 0 <= min(pauses) < bound / 10
        assert bound * 0.9 < max(pauses) <= bound


def test_all_ways_are_tried_again_after_a_pause() -> None:
    shared = router(1, [[DIRECT]], retries=2)
    walk = Walk(shared)
    first, second = (walk.failed(Route(0, DIRECT), Trouble.BROKEN, ERROR) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.pause > 0
    assert walk.failed(Route(0, DIRECT), Trouble.BROKEN, ERROR) is None


def test_nothing_begins_after_the_patience_is_used_up() -> None:
    clock = Clock()
    shared = router(clock=clock)
    walk = Walk(shared)
    assert walk.failed(shared.first(), Trouble.SLOW, ERROR) is not None
    clock.now += 60
    assert walk.failed(shared.first(), Trouble.SLOW, ERROR) is None


def test_error_that_is_told_says_more_than_that_an_object_is_missing() -> None:
    walk = Walk(router())
    walk.failed(Route(0, "a"), Trouble.MISSING, NotFound(what="it"))
    walk.failed(Route(1, "a"), Trouble.SERVER, ERROR)
    walk.failed(Route(2, "a"), Trouble.MISSING, NotFound(what="it"))
    assert walk.error is ERROR


# Rules that hold for whatever happens.

troubles = st.sampled_from(list(Trouble))
groups = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True), min_size=1, max_size=3)


@pytest.mark.property
@given(
    servers=st.lists(st.booleans(), min_size=1, max_size=4),
    proxies=groups,
    retries=st.integers(0, 2),
    seed=st.integers(0, 99),
    happens=st.randoms(use_true_random=False),
)
def test_every_request_ends_and_no_way_is_tried_twice_in_a_turn(
    servers: list[bool], proxies: list[list[str]], retries: int, seed: int, happens: random.Random
) -> None:
    shared = router(over_http=servers, proxies=proxies, retries=retries, seed=seed)
    routes, delivered = journey(shared, lambda _route: happens.choice(list(Trouble)))
    members = len({member for group in proxies for member in group})
    assert not delivered
    assert len(routes) <= 2 * len(servers) * members * (1 + retries)
    if not retries:
        assert len(set(routes)) == len(routes)


@pytest.mark.property
@given(
    servers=st.integers(1, 4),
    proxies=groups,
    seed=st.integers(0, 99),
    data=st.data(),
    happens=st.randoms(use_true_random=False),
)
def test_the_one_way_that_works_is_found(
    servers: int, proxies: list[list[str]], seed: int, data: st.DataObject, happens: random.Random
) -> None:
    members = sorted({member for group in proxies for member in group})
    good = data.draw(st.sampled_from([(server, proxy) for server in range(servers) for proxy in members]))

    def behave(route: Route) -> Trouble | None:
        if (route.server, route.proxy) == good:
            return None
        # That it has no such object is nothing that the good server says by another proxy.
        kinds = [one for one in Trouble if one is not Trouble.MISSING or route.server != good[0]]
        return happens.choice(kinds)

    routes, delivered = journey(router(servers, proxies, seed=seed), behave)
    assert delivered
    assert (routes[-1].server, routes[-1].proxy) == good


@pytest.mark.property
@given(proxies=groups, seed=st.integers(0, 99), servers=st.integers(1, 3))
def test_a_later_group_is_never_used_while_an_earlier_one_lives(
    proxies: list[list[str]], seed: int, servers: int
) -> None:
    distinct = [[f"{number}{member}" for member in group] for number, group in enumerate(proxies)]
    routes, _ = journey(router(servers, distinct, seed=seed), lambda _route: Trouble.PROXY)
    used = [int(route.proxy[0]) for route in routes if route.server == routes[0].server]
    assert used == sorted(used)


@pytest.mark.property
@given(
    events=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", "c", DIRECT]), troubles, st.floats(0, 400))
    ),
    seed=st.integers(0, 99),
)
def test_what_is_shared_stays_sound_and_heals(events: list[tuple[int, str, Trouble, float]], seed: int) -> None:
    clock = Clock()
    shared = router(clock=clock, seed=seed)
    for server, proxy, trouble, passed in events:
        shared.failed(Route(server, proxy), trouble)
        if trouble is Trouble.DAMAGED:
            shared.delivered(Route((server + 1) % 3, proxy))
        clock.now += passed
        assert sorted(shared.servers) == [0, 1, 2]
        assert shared.first().proxy in ("a", "b", "c", DIRECT)
    clock.now += 1801
    assert shared.first().server == 0
    assert shared.first().proxy in ("a", "b")
