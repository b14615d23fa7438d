"""The bytes of a changed file, for any of the prefixes that it may have: a change can be made, made again, undone.

All places are counted in the file as it was built. A padded file has its places there for ever; in an exact one they
moved forward, each by what all before it became shorter.
"""

from __future__ import annotations

from collections.abc import Iterable

from outcrop.client.relocate.changes import Change, Style
from outcrop.client.relocate.places import Data
from outcrop.client.relocate.prefix import Prefix


def slot(change: Change, original: Prefix, prefix: Prefix) -> bytes:
    """What stands at each place of `change` while the tree has the prefix `prefix`."""
    return prefix.padded(len(original)) if change.style is Style.PADDED else prefix.path


def offsets(change: Change, original: Prefix, prefix: Prefix) -> Iterable[int]:
    """Where the places of `change` are while the tree has the prefix `prefix`."""
    shorter = len(original) - len(slot(change, original, prefix))
    return (place.offset - number * shorter for number, place in enumerate(change.places))


def size(change: Change, original: Prefix, prefix: Prefix) -> int:
    """How many bytes the file of `change` has while the tree has the prefix `prefix`."""
    return change.size - len(change.places) * (len(original) - len(slot(change, original, prefix)))


def state_of(data: Data, change: Change, original: Prefix, candidates: Iterable[Prefix]) -> Prefix | None:
    """Which of `candidates` all places of `change` hold in `data`; None if that is none of them.

    Two prefixes that begin alike give an exact file two lengths, so there is one answer at most."""
    for candidate in candidates:
        expected = slot(change, original, candidate)
        places = offsets(change, original, candidate)
        if len(data) == size(change, original, candidate) and all(
            data[offset : offset + len(expected)] == expected for offset in places
        ):
            return candidate
    return None


def rewritten(data: Data, change: Change, original: Prefix, before: Prefix, after: Prefix) -> bytes:
    """`data`, whose places hold the prefix `before`, with the prefix `after` in them, and nothing else changed."""
    old, new = slot(change, original, before), slot(change, original, after)
    parts: list[bytes] = []
    position = 0
    for offset in offsets(change, original, before):
        parts += (data[position:offset], new)
        position = offset + len(old)
    return b"".join((*parts, data[position:]))


def restored(data: Data, change: Change, original: Prefix, candidates: Iterable[Prefix]) -> Data | None:
    """`data` as it was built; None where some place of `change` holds none of `candidates`.

    A padded file whose change was interrupted holds several of them, an exact one only one.
    """
    candidates = (*candidates, original)
    if change.style is Style.EXACT:
        state = state_of(data, change, original, candidates)
        return None if state is None else rewritten(data, change, original, state, original)
    if len(data) != change.size:
        return None
    slots = {candidate.padded(len(original)) for candidate in candidates}
    built = bytearray(data[:])
    for place in change.places:
        end = place.offset + len(original)
        if data[place.offset : end] not in slots:
            return None
        built[place.offset : end] = original.path
    return bytes(built)
