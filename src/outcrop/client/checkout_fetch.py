"""Files in batches whose contents are here: while one batch is written, the next one is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from outcrop.client.contents import Contents, Piece
from outcrop.client.tree import Located, Tree
from outcrop.errors import Interrupted
from outcrop.progress import Silent

BATCH_FILES = 1024
BATCH_BYTES = 64 * 1024 * 1024
"""How much is fetched at once before it is written: enough for all connections, little enough to see progress."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file, and where its bytes are; they are in the cache."""

    located: Located
    pieces: tuple[Piece, ...]


def fetched_files(files: Iterable[Located], tree: Tree, contents: Contents) -> Iterator[FetchedFile]:
    """`files` in their order, each when its contents have been fetched and verified.

    Errors are those of fetching, and come when the file's turn has come. A shared cache may drop contents again before
    they are used; `Contents.open` fetches them once more."""

    wanted = _Wanted()

    def fetch(batch: list[Located]) -> list[FetchedFile]:
        fetched = [FetchedFile(located, tree.pieces(located.path, located.entry)) for located in batch]
        contents.ensure((piece for file in fetched for piece in file.pieces), wanted)
        return fetched

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="fetch") as ahead:
        batches = _batches(files)
        coming = [ahead.submit(fetch, batch) for batch in (next(batches, None),) if batch]
        try:
            while coming:
                fetched = coming.pop().result()
                batch = next(batches, None)
                if batch:
                    coming.append(ahead.submit(fetch, batch))
                yield from fetched
        finally:
            wanted.end()


class _Wanted(Silent):
    """Ends a fetch with its next object when nobody waits for it any more."""

    def __init__(self) -> None:
        self._ended = False

    def end(self) -> None:
        self._ended = True

    def advance(self, amount: int = 1, detail: str = "") -> None:
        if self._ended:
            raise Interrupted


def _batches(files: Iterable[Located]) -> Iterator[list[Located]]:
    batch: list[Located] = []
    size = 0
    for located in files:
        batch.append(located)
        size += located.entry.size
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
