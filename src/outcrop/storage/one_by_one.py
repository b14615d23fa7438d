"""Fetching many objects from a store that has each of them at hand: one after the other, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from outcrop.errors import OutcropError
from outcrop.storage.interface import PIECE_BYTES, Fetched, Wanted


def fetched_one_by_one(read: Callable[[str], bytes], wanted: Iterable[Wanted]) -> Iterator[Fetched]:
    """How the fetch of each of `wanted` ended, with the bytes that `read` returns for its name."""
    for one in wanted:
        try:
            data = read(one.name)
            for begin in range(0, len(data), PIECE_BYTES):
                one.sink.write(data[begin : begin + PIECE_BYTES])
        except OutcropError as error:
            yield Fetched(one, error)
        else:
            yield Fetched(one)
