"""Many objects, one cache: what came well is in the cache afterwards, the rest is told with its error.

`download` asks one server by one way. `bring` goes on with what failed, by the routes of
`outcrop.client.network.route`, until everything has come or nothing is left to try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from outcrop.client.cache import Cache
from outcrop.client.claims import Claims
from outcrop.client.content import Content
from outcrop.client.external import Complete, Sections, by_file, place_of
from outcrop.client.incoming import Incoming, ended_by_cache
from outcrop.client.network.route import Route, Walk
from outcrop.client.network.servers import Servers, trouble_of
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import IntegrityError, OutcropError
from outcrop.storage.interface import Fetched, ReadableStore, Wanted
from outcrop.storage.way import Trouble

Landed = Callable[[Content], None]
"""Is told of each content as soon as it is in the cache."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A content that is not in the cache, and why. `of_cache`: the cache refused it, not the server."""

    content: Content
    error: OutcropError
    of_cache: bool
    trouble: Trouble


@dataclass(slots=True)
class Downloaded:
    """How downloads ended: what is not in the cache, what somebody else is bringing, how many bytes came (`received`)
    and how many objects whole and right (`complete`)."""

    failures: list[Failure] = field(default_factory=list)
    elsewhere: list[Content] = field(default_factory=list)
    received: int = 0
    complete: int = 0


@dataclass(slots=True)
class _Batch:
    """What goes by one route, after `pause` seconds."""

    contents: list[Content]
    pause: float


def bring(
    servers: Servers, contents: Sequence[Content], cache: Cache, landed: Landed, claims: Claims | None = None
) -> Downloaded:
    """Fetches `contents` into `cache`, each by as many routes as it takes.

    With `claims`, what another process is bringing is left to it. When the cache takes no more, what has not come ends
    in failures `of_cache`."""
    ended = Downloaded()
    walks: dict[bytes, Walk] = {}
    ahead = {servers.begin(): _Batch(list(contents), 0.0)} if contents else {}
    while ahead:
        route = min(ahead, key=lambda route: ahead[route].pause)
        batch = ahead.pop(route)
        if batch.pause:
            servers.sleep(batch.pause)
        with servers.traffic.under_way():
            downloaded = download(servers.store(route), batch.contents, cache, landed, claims)
        servers.traffic.came(downloaded.received, downloaded.complete)
        ended.elsewhere += downloaded.elsewhere
        full = next((failure for failure in downloaded.failures if failure.of_cache), None)
        if full is not None:
            left = [failure.content for failure in downloaded.failures]
            left += [content for batch in ahead.values() for content in batch.contents]
            ended.failures += [Failure(content, full.error, True, full.trouble) for content in left]
            break
        _note_delivered(servers, route, batch, downloaded, walks)
        for failure in downloaded.failures:
            walk = walks.get(failure.content.key)
            if walk is None:
                walk = walks[failure.content.key] = servers.walk()
            step = walk.failed(route, failure.trouble, failure.error)
            if step is None:
                error = walk.error or failure.error
                ended.failures.append(Failure(failure.content, error, False, failure.trouble))
            else:
                ahead.setdefault(step.route, _Batch([], step.pause)).contents.append(failure.content)
    return ended


def _note_delivered(
    servers: Servers, route: Route, batch: _Batch, downloaded: Downloaded, walks: dict[bytes, Walk]
) -> None:
    """Tells `servers` when `route` gave something that another route had not."""
    if walks:
        missed = {failure.content.key for failure in downloaded.failures}
        missed.update(content.key for content in downloaded.elsewhere)
        for content in batch.contents:
            if content.key in walks and content.key not in missed:
                servers.delivered(route, walks[content.key])
                return


def download(
    server: ReadableStore,
    contents: Sequence[Content],
    cache: Cache,
    landed: Landed,
    claims: Claims | None = None,
) -> Downloaded:
    """Fetches `contents` from `server` into `cache`.

    A content is claimed when its transfer begins, so that processes that want the same share the work."""
    ended = Downloaded()
    open_incoming: dict[int, Incoming] = {}

    def is_ours(content: Content) -> bool:
        if claims is None:
            return True
        if not claims.take(content.object.digest.raw):
            ended.elsewhere.append(content)
            return False
        if cache.holds(content):
            # Whoever had the claim before has brought it.
            claims.release(content.object.digest.raw)
            landed(content)
            return False
        return True

    def incoming(content: Content) -> Incoming:
        one = cache.incoming(content)
        open_incoming[id(one)] = one
        return one

    def wanted() -> Iterator[Wanted]:
        for content in contents:
            if content.external is None and is_ours(content):
                yield Wanted(content.object.path, incoming(content))
        for file in by_file(content for content in contents if content.external is not None):
            group = [content for content in file if is_ours(content)]
            if group:
                name = place_of(group[0]).path.lstrip(b"/").decode("utf-8", "surrogateescape")
                sections = [incoming(content) for content in group]
                yield Wanted(name, sections[0] if len(group) == 1 and not _is_part(group[0]) else Sections(sections))

    try:
        for fetched in server.fetch(wanted()):
            for one, error in _outcomes(fetched):
                del open_incoming[id(one)]
                ended.received += one.received
                failure = _ended(one, fetched, error)
                if claims is not None:
                    claims.release(one.content.object.digest.raw)
                if failure is None:
                    ended.complete += 1
                    landed(one.content)
                else:
                    ended.failures.append(failure)
    finally:
        for one in open_incoming.values():
            one.abandon()
    return ended


def _outcomes(fetched: Fetched) -> Iterable[tuple[Incoming, OutcropError | None]]:
    sink, error = fetched.wanted.sink, fetched.error
    if isinstance(sink, Incoming):
        return [(sink, error)]
    assert isinstance(sink, Sections)
    if error is None and not sink.complete:
        error = IntegrityError(what=sink.sections[-1].what, problem="it ends too early")
    if isinstance(error, Complete):
        error = None
    return [(section, error) for section in sink.sections]


def _ended(incoming: Incoming, fetched: Fetched, error: OutcropError | None) -> Failure | None:
    if error is None:
        try:
            incoming.finish()
        except OutcropError as problem:
            error = problem
        else:
            return None
    incoming.abandon()
    return Failure(incoming.content, error, ended_by_cache(incoming, error), trouble_of(fetched, error))


def _is_part(content: Content) -> bool:
    """Whether an external content is a chunk, so that its file holds more than its bytes."""
    return content.object.kind is ObjectKind.CHUNK
