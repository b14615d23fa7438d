"""One server, one cache, many objects: what came well is in the cache afterwards, the rest is told with its error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outcrop.client.cache import Cache
from outcrop.client.content import Content
from outcrop.client.external import Complete, Sections, by_file, place_of
from outcrop.client.incoming import Incoming, ended_by_cache
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import IntegrityError, OutcropError
from outcrop.progress import Progress
from outcrop.storage.interface import Fetched, ReadableStore, Wanted


@dataclass(frozen=True, slots=True)
class Failure:
    """A content that is not in the cache, and why. `of_cache`: the cache refused it, not the server."""

    content: Content
    error: OutcropError
    of_cache: bool


def download(server: ReadableStore, contents: list[Content], cache: Cache, progress: Progress) -> list[Failure]:
    """Fetches `contents` from `server` into `cache`; `progress` advances by the plain bytes that came well."""
    if not contents:
        return []
    failures: list[Failure] = []
    open_incoming: dict[int, Incoming] = {}

    def incoming(content: Content) -> Incoming:
        one = cache.incoming(content)
        open_incoming[id(one)] = one
        return one

    def wanted() -> Iterator[Wanted]:
        for content in contents:
            if content.external is None:
                yield Wanted(content.object.path, incoming(content))
        for group in by_file(content for content in contents if content.external is not None):
            name = place_of(group[0]).path.lstrip(b"/").decode("utf-8", "surrogateescape")
            sections = [incoming(content) for content in group]
            yield Wanted(name, sections[0] if len(group) == 1 and not _is_part(group[0]) else Sections(sections))

    try:
        for fetched in server.fetch(wanted()):
            for one, error in _outcomes(fetched):
                del open_incoming[id(one)]
                failure = _ended(one, error)
                if failure is None:
                    progress.advance(one.content.size or 0)
                else:
                    failures.append(failure)
    finally:
        for one in open_incoming.values():
            one.abandon()
    return failures


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


def _ended(incoming: Incoming, error: OutcropError | None) -> Failure | None:
    if error is None:
        try:
            incoming.finish()
        except OutcropError as problem:
            error = problem
        else:
            return None
    incoming.abandon()
    return Failure(incoming.content, error, ended_by_cache(incoming, error))


def _is_part(content: Content) -> bool:
    """Whether an external content is a chunk, so that its file holds more than its bytes."""
    return content.object.kind is ObjectKind.CHUNK
