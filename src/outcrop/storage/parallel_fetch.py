"""Fetches several objects at once from a store that gives each as a sequence of pieces.

Threads wait for bytes; the caller's own thread writes them into the sinks, so that a sink needs no lock. What has
arrived and waits to be written is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from queue import Queue

from outcrop.errors import OutcropError
from outcrop.storage.interface import Fetched, Wanted

Pieces = Callable[[str], Iterator[bytes]]
"""The bytes of the object of that name, in order."""


@dataclass(slots=True, eq=False)
class _Transfer:
    """A fetch under way. Its thread sets `broken` before it says that it has ended; all else is the caller's."""

    wanted: Wanted
    given_up: bool = False
    refused: OutcropError | None = None
    broken: BaseException | None = None


_News = tuple[_Transfer, bytes | None]
"""A piece that has arrived; None when the transfer has ended."""


def fetch_in_parallel(wanted: Iterable[Wanted], pieces: Pieces, parallel: int) -> Generator[Fetched]:
    """Tells of each fetch as it ends, with at most `parallel` under way. Leaving early stops those."""
    arrived: Queue[_News] = Queue(parallel)
    waiting = iter(wanted)
    under_way: set[_Transfer] = set()

    with ThreadPoolExecutor(parallel, "fetch") as pool:

        def begin(count: int) -> None:
            for one in islice(waiting, count):
                transfer = _Transfer(one)
                under_way.add(transfer)
                pool.submit(_bring, transfer, pieces, arrived)

        try:
            begin(parallel)
            while under_way:
                transfer, piece = arrived.get()
                if piece is not None:
                    _deliver(transfer, piece)
                    continue
                under_way.remove(transfer)
                yield _ended(transfer)
                begin(1)
        finally:
            # A thread that waits to hand over a piece would wait for ever.
            for transfer in under_way:
                transfer.given_up = True
            while under_way:
                transfer, piece = arrived.get()
                if piece is None:
                    under_way.remove(transfer)


def _bring(transfer: _Transfer, pieces: Pieces, arrived: Queue[_News]) -> None:
    try:
        for piece in pieces(transfer.wanted.name):
            if transfer.given_up:
                break
            arrived.put((transfer, piece))
    except BaseException as error:
        transfer.broken = error
    finally:
        arrived.put((transfer, None))


def _deliver(transfer: _Transfer, piece: bytes) -> None:
    if transfer.given_up:
        return
    try:
        transfer.wanted.sink.write(piece)
    except OutcropError as error:
        transfer.refused, transfer.given_up = error, True


def _ended(transfer: _Transfer) -> Fetched:
    if transfer.broken is not None and not isinstance(transfer.broken, OutcropError):
        raise transfer.broken
    return Fetched(transfer.wanted, transfer.refused or transfer.broken)
