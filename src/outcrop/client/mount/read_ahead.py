"""Fetching what will probably be read next, while what is being read now is on its way.

A round trip for each small file is what makes an empty cache slow. Two things that programs do can be foreseen:

- They walk the tree. A file that is not in the cache, right behind one that was read or guessed before, begins a
  *stream*: the files behind it, in the order of a walk, are fetched in one go. When one of the first of them is read,
  the guess was right, and twice as much comes next, across directories.
- They read many files of a directory that are of one kind, as an import reads `.pyc`, in no order. A file that is not
  in the cache brings some behind it that have the same suffix, the third of a directory all of them.

Chunks of large files follow each other, too. A wrong guess costs a few files that nobody reads.

Nothing here answers anybody: whoever asks for a file that is on its way waits for that same download.
"""

from __future__ import annotations

import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from outcrop.client.contents import Piece
from outcrop.client.mount import protocol
from outcrop.client.mount.directory import Directory
from outcrop.client.mount.inodes import Nodes
from outcrop.errors import OutcropError

FIRST_FILES, MOST_FILES = 8, 128
"""How many files a stream fetches at first, and at most, at once."""
DIRECTORY_MISSES = 3
"""So many misses in a directory bring all that is of the same kind there, but not more than the following."""
DIRECTORY_FILES, DIRECTORY_BYTES = 512, 16_000_000
WINDOW_BYTES = 8_000_000
LARGEST_BYTES = 8_000_000
"""A larger file takes its time anyway; a round trip more does not matter to it."""
BATCH_FILES = 32
"""Whoever waits for one file of a batch waits for the batch: a few milliseconds."""
MAXIMUM_WAITING = 8
"""Batches that may wait for a thread; when a slow line lags behind, no more are begun."""
_MOST_STREAMS = 64
_MOST_DIRECTORIES = 4096
_MOST_RECENT = 4096
"""How many files are remembered as read or guessed."""

Submit = Callable[[Callable[[], None]], object]


@dataclass(slots=True)
class _Stream:
    """Where a walk will go on, and how far ahead of it the next fetch goes."""

    files: Iterator[tuple[int, Piece]]
    window: int


class ReadAhead:
    """Guesses for the entries of `nodes`, fetched in threads that `submit` hands work to, `batch` files at once."""

    def __init__(self, nodes: Nodes, submit: Submit, batch: int = BATCH_FILES) -> None:
        self._nodes = nodes
        self._batch = batch
        self._submit = submit
        self._lock = threading.Lock()
        self._streams: OrderedDict[int, _Stream] = OrderedDict()
        self._misses: OrderedDict[int, int] = OrderedDict()
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._waiting = 0

    def missed(self, node: int, directory: Directory, position: int) -> None:
        """The file `node`, at `position` of `directory`, is read and not in the cache."""
        before = _file_before(self._nodes, directory, position)
        with self._lock:
            misses = self._misses.get(directory.node, 0) + 1
            self._misses[directory.node] = misses
            if len(self._misses) > _MOST_DIRECTORIES:
                self._misses.popitem(last=False)
            is_walk = before in self._recent
            self._remember([node])
        if is_walk:
            self._go_on(_Stream(_files_behind(self._nodes, directory, position), 2 * FIRST_FILES))
        elif misses < DIRECTORY_MISSES:
            self._go_on(_Stream(_of_the_same_kind(directory, position, position + 1), FIRST_FILES))
        elif misses == DIRECTORY_MISSES:
            self._fetch_all(_of_the_same_kind(directory, position, 0))

    def missed_piece(self, pieces: Sequence[Piece], number: int) -> None:
        """The piece `number` of a file in `pieces` is read and not in the cache."""
        self._fetch_all(iter([(0, piece) for piece in pieces[number + 1 : number + 2]]))

    def read(self, node: int) -> None:
        """The file `node` is read and was in the cache."""
        # Nearly always there is nothing to do, and this is in the way of every read.
        if node in self._streams:
            with self._lock:
                stream = self._streams.pop(node, None)
            if stream is not None:
                stream.window = min(2 * stream.window, MOST_FILES)
                self._go_on(stream)

    def _go_on(self, stream: _Stream) -> None:
        files: list[tuple[int, Piece]] = []
        size = 0
        for number, piece in islice(stream.files, stream.window):
            files.append((number, piece))
            size += piece.size
            if size > WINDOW_BYTES:
                break
        if not files:
            return
        with self._lock:
            # A third of the way: what comes next has the other two thirds of the time to arrive.
            self._streams[files[len(files) // 3][0]] = stream
            self._remember([number for number, _ in files])
            while len(self._streams) > _MOST_STREAMS:
                self._streams.popitem(last=False)
        self._begin([piece for _, piece in files])

    def _remember(self, numbers: Sequence[int]) -> None:
        self._recent.update(dict.fromkeys(numbers))
        while len(self._recent) > _MOST_RECENT:
            self._recent.popitem(last=False)

    def _fetch_all(self, files: Iterator[tuple[int, Piece]]) -> None:
        chosen: list[Piece] = []
        size = 0
        for _, piece in islice(files, DIRECTORY_FILES):
            size += piece.size
            if chosen and size > DIRECTORY_BYTES:
                break
            chosen.append(piece)
        self._begin(chosen)

    def _begin(self, pieces: list[Piece]) -> None:
        for start in range(0, len(pieces), self._batch):
            with self._lock:
                if self._waiting >= MAXIMUM_WAITING:
                    return
                self._waiting += 1
            self._submit(lambda batch=pieces[start : start + self._batch]: self._bring(batch))  # type: ignore[misc]

    def _bring(self, pieces: Sequence[Piece]) -> None:
        try:
            self._nodes.tree.fetch(pieces)
        except OutcropError:
            # Nobody asked for it. Who does will try for himself, and be told.
            return
        finally:
            with self._lock:
                self._waiting -= 1


def _of_the_same_kind(directory: Directory, position: int, begin: int) -> Iterator[tuple[int, Piece]]:
    """The files of `directory` from `begin` on that have the suffix of the one at `position`, but for that one."""
    suffix = _suffix(directory.name(position))
    for other in range(begin, directory.visible):
        if other != position and _suffix(directory.name(other)) == suffix:
            piece = directory.whole_file(other)
            if piece is not None and piece.size <= LARGEST_BYTES:
                yield directory.number(other), piece


def _suffix(name: bytes) -> bytes:
    return name[name.rfind(b".") :] if b"." in name else b""


def _file_before(nodes: Nodes, directory: Directory, position: int) -> int | None:
    """The number of the file before `position` of `directory` in the order of a walk, as far as it is known."""
    while True:
        found = _last_file(nodes, directory, position)
        if found is not None or directory.node in (protocol.NO_NODE, protocol.ROOT_NODE):
            return found
        try:
            directory, position = nodes.place(directory.node)
        except KeyError:
            return None


def _last_file(nodes: Nodes, directory: Directory, end: int) -> int | None:
    for position in range(min(end, directory.visible) - 1, -1, -1):
        number = directory.number(position)
        if stat.S_ISREG(directory.mode(position)):
            return number
        below = nodes.known(number) if stat.S_ISDIR(directory.mode(position)) else None
        found = None if below is None else _last_file(nodes, below, below.visible)
        if found is not None:
            return found
    return None


def _files_behind(nodes: Nodes, directory: Directory, position: int) -> Iterator[tuple[int, Piece]]:
    """The files behind `position` of `directory` as a walk through the tree comes to them, as far as it is known."""
    while True:
        yield from _files_from(nodes, directory, position + 1)
        if directory.node in (protocol.NO_NODE, protocol.ROOT_NODE):
            return
        try:
            directory, position = nodes.place(directory.node)
        except KeyError:
            return


def _files_from(nodes: Nodes, directory: Directory, begin: int) -> Iterator[tuple[int, Piece]]:
    for position in range(begin, directory.visible):
        if stat.S_ISDIR(directory.mode(position)):
            below = nodes.known(directory.number(position))
            if below is not None:
                yield from _files_from(nodes, below, 0)
        else:
            piece = directory.whole_file(position)
            if piece is not None and piece.size <= LARGEST_BYTES:
                yield directory.number(position), piece
