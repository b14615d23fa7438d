"""External files: their bytes lie at their path below another server, not among the objects.

The chunks of an external file are consecutive parts of one transfer. So those that are wanted of one file are taken
from one stream, which ends with the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from outcrop.client.content import Content, ExternalPlace
from outcrop.client.incoming import Incoming
from outcrop.cvmfs.objects import ObjectKind
from outcrop.errors import OutcropError


class Complete(OutcropError):
    """Ends a transfer of which everything that is wanted has come. Never shown."""

    template = "complete"


class Sections:
    """A sink for one external file, whose bytes go on to `sections`: the chunks that are wanted, in order."""

    def __init__(self, sections: list[Incoming]) -> None:
        self.sections = sections
        self._position = 0
        self._index = 0

    @property
    def complete(self) -> bool:
        """Whether every section has had all its bytes."""
        return self._index == len(self.sections)

    def write(self, piece: bytes) -> None:
        """Hands the bytes on; raises `Complete` once nothing more is wanted."""
        rest = memoryview(piece)
        while not self.complete:
            section = self.sections[self._index]
            begin = place_of(section.content).offset
            end = begin + (section.content.size or 0)
            skipped = min(max(begin - self._position, 0), len(rest))
            taken = rest[skipped : skipped + end - max(self._position, begin)]
            section.write(bytes(taken))
            self._position += skipped + len(taken)
            rest = rest[skipped + len(taken) :]
            if self._position < end:
                return
            self._index += 1
        raise Complete


def place_of(content: Content) -> ExternalPlace:
    """Where an external content comes from."""
    assert content.external is not None
    return content.external


def by_file(contents: Iterable[Content]) -> Iterator[list[Content]]:
    """External contents, those of one file together and in the order of their places. Files that are no chunks of
    anything stand alone."""
    ordered = sorted(contents, key=lambda content: (place_of(content).path, place_of(content).offset))
    for _, group in groupby(ordered, key=lambda content: place_of(content).path):
        chunks = list(group)
        if all(content.object.kind is ObjectKind.CHUNK for content in chunks):
            yield chunks
        else:
            yield from ([content] for content in chunks)
