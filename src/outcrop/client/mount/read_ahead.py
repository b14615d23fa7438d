"""Bringing what will probably be read next, while what is being read now is on its way.

A round trip for each small file is what makes an empty cache slow; with a full one it is that each file is opened,
checked and read while somebody waits. Two things that programs do can be foreseen:

- They walk the tree. A file that is not in the cache, right behind one that was read or guessed before, begins a
  *stream*: the files behind it, in the order of a walk, are fetched in one go. When one of the first of them is read,
  the guess was right, and twice as much comes next, across directories.
- They read many files of a directory that are of one kind, as an import reads `.pyc`, in no order. A file that is not
  in the cache brings some behind it that have the same suffix, the third of a directory all of them.

Both are for files that have to be fetched. A walk is followed through the cache, too: while somebody uses one small
file, the next one is opened, checked and read.

Chunks of large files follow each other, too. A wrong guess costs a few files that nobody reads.

Nothing here answers anybody: whoever asks for a file that is on its way waits for that same download.
"""

from __future__ import annotations

import logging
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
from outcrop.client.mount.requests import Request
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
READY_FILE_BYTES = 128 * 1024
"""A larger file is read when the kernel asks: it takes several requests anyway."""
READY_BYTES = 8_000_000
"""All that is kept ready: one file for each of `_MOST_STREAMS` walks."""
_LAST_READ = 256
"""How many files of the cache are remembered as read, to see who walks. Few, so that readers at random seldom look like
walkers."""
_NOTHING = memoryview(b"")
_LOG = logging.getLogger("outcrop.mount")
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
        self._last_read: OrderedDict[int, None] = OrderedDict()
        self._walks: OrderedDict[int, Iterator[tuple[int, Piece]]] = OrderedDict()
        self._ready: OrderedDict[int, memoryview] = OrderedDict()
        self._ready_bytes = 0
        self._coming: dict[int, list[Request]] = {}
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

    def ready(self, node: int, offset: int, size: int) -> memoryview | None:
        """The `size` bytes from `offset` on of the file `node`, if it is kept ready; whoever gets the last ones is the
        last."""
        data = self._ready.get(node)
        if data is None:
            return None
        if offset == 0:
            self._follow(node)
        if offset + size >= len(data):
            self._let_go(node)
        return data[offset : offset + size]

    def comes(self, request: Request) -> bool:
        """Whether another thread is making ready the file that `request` asks for; its `prepare` gives back the
        request, to be answered there."""
        # Nearly always there is nothing, and this is in the way of every read.
        if request.node not in self._coming:
            return False
        with self._lock:
            coming = self._coming.get(request.node)
            if coming is not None:
                coming.append(request.kept())
            return coming is not None

    def read(self, node: int, directory: Directory, position: int) -> None:
        """The file `node`, at `position` of `directory`, is read from its beginning and was in the cache."""
        self._follow(node)
        # Whoever walks reads two that are neighbours soon. To look further would be in the way of readers at random.
        is_walk = position > 0 and directory.number(position - 1) in self._last_read
        with self._lock:
            self._last_read[node] = None
            if len(self._last_read) > _LAST_READ:
                self._last_read.popitem(last=False)
        if is_walk and node not in self._walks:
            self._goes_on_behind(node, _files_behind(self._nodes, directory, position))

    def prepare(self, node: int) -> Sequence[Request]:
        """Makes the file behind `node` ready, where somebody walks; to be called when `node` has been answered. Those
        who asked for that file meanwhile, to be answered by the caller.

        The reader is busy with what it got meanwhile, so this costs nobody time. Other threads would do it in parallel,
        but hand the interpreter lock to and fro at each call of the system: three times the processor time."""
        files = self._walks.pop(node, None)
        if files is None:
            return ()
        number, piece = next(files, (0, None))
        if piece is None:
            return ()
        if piece.size > READY_FILE_BYTES or number in self._last_read or number in self._ready:
            self._goes_on_behind(number, files)
            return ()
        with self._lock:
            self._coming.setdefault(number, [])
        try:
            if self._make_ready(number, piece):
                self._goes_on_behind(number, files)
        except OutcropError:
            # Nobody asked for it. Who does will try for himself, and be told.
            pass
        except Exception as error:
            # Those who wait must not be lost, whatever it is.
            _LOG.error("a fault in outcrop itself", exc_info=error)
        finally:
            with self._lock:
                waiting = self._coming.pop(number, [])
        return waiting

    def _goes_on_behind(self, number: int, files: Iterator[tuple[int, Piece]]) -> None:
        with self._lock:
            self._walks[number] = files
            if len(self._walks) > _MOST_STREAMS:
                self._walks.popitem(last=False)

    def _follow(self, node: int) -> None:
        """Goes on with the stream of which `node` is the trigger, if there is one."""
        # Nearly always there is nothing to do, and this is in the way of every read.
        if node in self._streams:
            with self._lock:
                stream = self._streams.pop(node, None)
            if stream is not None:
                stream.window = min(2 * stream.window, MOST_FILES)
                self._submit(lambda: self._go_on(stream))

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
        self._begin(files)

    def _remember(self, numbers: Sequence[int]) -> None:
        self._recent.update(dict.fromkeys(numbers))
        while len(self._recent) > _MOST_RECENT:
            self._recent.popitem(last=False)

    def _fetch_all(self, files: Iterator[tuple[int, Piece]]) -> None:
        chosen: list[tuple[int, Piece]] = []
        size = 0
        for number, piece in islice(files, DIRECTORY_FILES):
            size += piece.size
            if chosen and size > DIRECTORY_BYTES:
                break
            chosen.append((number, piece))
        self._begin(chosen)

    def _begin(self, files: list[tuple[int, Piece]]) -> None:
        for start in range(0, len(files), self._batch):
            with self._lock:
                if self._waiting >= MAXIMUM_WAITING:
                    return
                self._waiting += 1
            self._submit(lambda batch=files[start : start + self._batch]: self._bring(batch))  # type: ignore[misc]

    def _bring(self, files: Sequence[tuple[int, Piece]]) -> None:
        try:
            self._nodes.tree.fetch([piece for _, piece in files])
        except OutcropError:
            # Nobody asked for it. Who does will try for himself, and be told.
            return
        finally:
            with self._lock:
                self._waiting -= 1

    def _make_ready(self, number: int, piece: Piece) -> bool:
        """Has all of the small file `number` checked and kept in memory; whether it is here."""
        data = self._nodes.tree.read_cached(piece, memoryview(bytearray(piece.size)))
        if data is None:
            return False
        self._keep_ready(number, data)
        return True

    def _keep_ready(self, number: int, data: memoryview) -> None:
        self._let_go(number)
        with self._lock:
            self._ready[number] = data
            self._ready_bytes += len(data)
            while self._ready_bytes > READY_BYTES:
                self._ready_bytes -= len(self._ready.popitem(last=False)[1])

    def _let_go(self, number: int) -> None:
        with self._lock:
            self._ready_bytes -= len(self._ready.pop(number, _NOTHING))


def _of_the_same_kind(directory: Directory, position: int, begin: int) -> Iterator[tuple[int, Piece]]:
    """The files of `directory` from `begin` on that have the suffix of the one at `position`, but for that one."""
    suffix = _suffix(directory.name(position))
    for other in range(begin, directory.visible):
        if other != position and _suffix(directory.name(other)) == suffix:
            piece = directory.whole_file(other)
            if piece is not None and 0 < piece.size <= LARGEST_BYTES:
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
    above: list[tuple[Directory, Iterator[int]]] = []
    positions = iter(range(begin, directory.visible))
    while True:
        for position in positions:
            if stat.S_ISDIR(directory.mode(position)):
                below = nodes.known(directory.number(position))
                if below is not None:
                    above.append((directory, positions))
                    directory, positions = below, iter(range(below.visible))
                    break
            else:
                piece = directory.whole_file(position)
                if piece is not None and 0 < piece.size <= LARGEST_BYTES:
                    yield directory.number(position), piece
        else:
            if not above:
                return
            directory, positions = above.pop()
